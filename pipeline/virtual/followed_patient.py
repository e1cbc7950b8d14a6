"""A virtual patient who is scanned twice: one head, one tumour that goes on growing.

As in arm a of the trial, the scans show the cells alone. At the second one the head lies otherwise.
A third state of the tumour, later than both scans, is what a forecast can be compared with.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ...atlas import Grid
from ...errors import FailedError
from ...paths import StrPath
from ...solver import TumorDensity, TumorMasks
from ...solver.own_settings import own_arithmetic
from ..images.nifti import Scan
from ..images.point_map import affine_about
from ..scans.scan_days import ScanFiles
from .trial_patient import (
    LEAST_CORE_ML,
    MOST_ATTEMPTS,
    Bearer,
    TrialPatient,
    arm_rng,
    image,
    make_bearer,
)
from .true_growth import GrownTumor, TrueGrowth, grow

FIRST_ML = (12.0, 50.0)
"""Range of the whole volume at the first scan, log-uniform."""

TIMES_AS_LARGE = (1.3, 2.2)
"""Range of the factor by which it grows to the second scan, and again to the third state."""

APART_DAYS = (40.0, 200.0)
"""Range of the days between the scans, log-uniform."""

TURN_DEGREES, SHIFT_MM = 6.0, 8.0
"""Most that the head turns about each axis and moves along it between the scans."""


@dataclass(frozen=True, eq=False)
class FollowedPatient:
    """A patient with two scans, and the truth.

    Attributes
    ----------
    scans : tuple of two TrialPatient
        Each in its own world.
    apart_days, ahead_days : float
        From the first scan to the second, and from there to `later`.
    later : TumorDensity
        The tumour after both scans, in the world of the first.
    rho, dw : float
        1/day and mm^2/day, the latter in white matter without the departures of the true growth.
    """

    scans: tuple[TrialPatient, TrialPatient]
    apart_days: float
    ahead_days: float
    later: TumorDensity
    rho: float
    dw: float

    def write(self, folder: StrPath) -> tuple[ScanFiles, ScanFiles]:
        """Write the files of both scans, of days 0 and `apart_days`.

        Parameters
        ----------
        folder : str or os.PathLike
            Folder that receives `scan-1/` and `scan-2/`.

        Returns
        -------
        tuple of ScanFiles
        """
        first, second = (
            ScanFiles(*scan.write(Path(folder) / f"scan-{number}"), day=day)
            for number, scan, day in zip((1, 2), self.scans, (0.0, self.apart_days), strict=True)
        )
        return first, second


@own_arithmetic()
def make_followed_patient(seed: int, number: int) -> FollowedPatient:
    """Make one patient with two scans.

    Parameters
    ----------
    seed : int
        Seed of all patients.
    number : int
        Number of the patient, from 0.

    Returns
    -------
    FollowedPatient

    Raises
    ------
    FailedError
        If no drawn tumour reaches its volumes.
    """
    bearer = make_bearer(seed, number)
    rng = np.random.default_rng([seed, number, 2])
    for _ in range(MOST_ATTEMPTS):
        growth, volumes = _draw(bearer.growth, rng)
        place = int(rng.integers(2**32))
        # The same numbers for each volume: the same place, and the same departures.
        grown = [
            grow(
                bearer.tissue,
                dataclasses.replace(growth, whole_ml=ml),
                np.random.default_rng(place),
            )
            for ml in volumes
        ]
        tumours = [one for one in grown if one is not None]
        if len(tumours) == len(volumes) and tumours[0].density.outlines().core_ml >= LEAST_CORE_ML:
            return _scanned(bearer, growth, tumours, seed, number, rng)
    raise FailedError(
        f"none of {MOST_ATTEMPTS} tumours of patient {number} reached its volumes: give another "
        "seed"
    )


def _draw(growth: TrueGrowth, rng: np.random.Generator) -> tuple[TrueGrowth, list[float]]:
    """A growth of one focus, and the whole volumes at both scans and later."""
    first = _log_uniform(rng, FIRST_ML)
    factors = np.cumprod([1.0, *(_log_uniform(rng, TIMES_AS_LARGE) for _ in range(2))])
    one = dataclasses.replace(growth, has_two_foci=False)
    return one, (first * factors).tolist()


def _scanned(
    bearer: Bearer,
    growth: TrueGrowth,
    tumours: list[GrownTumor],
    seed: int,
    number: int,
    rng: np.random.Generator,
) -> FollowedPatient:
    """The scans of a tumour at its first two volumes."""
    apart = _log_uniform(rng, APART_DAYS)
    rho = (tumours[1].rho_t - tumours[0].rho_t) / apart
    draws = arm_rng(seed, number, "a")
    first, second, later = (
        image(dataclasses.replace(bearer, growth=growth, tumor=tumour), "a", draws)
        for tumour in tumours
    )
    return FollowedPatient(
        scans=(first, _moved(second, _motion(second.grid, rng))),
        apart_days=apart,
        ahead_days=(tumours[2].rho_t - tumours[1].rho_t) / rho,
        later=later.density,
        rho=rho,
        dw=growth.lambda_mm**2 * rho,
    )


def _motion(grid: Grid, rng: np.random.Generator) -> NDArray[np.float64]:
    """A turn about the middle of a grid, and a shift."""
    middle = grid.to_world((np.array(grid.shape) - 1) / 2)
    turns = rng.uniform(-TURN_DEGREES, TURN_DEGREES, 3)
    motion = affine_about(Rotation.from_euler("xyz", turns, degrees=True).as_matrix(), middle)
    motion[:3, 3] += rng.uniform(-SHIFT_MM, SHIFT_MM, 3)
    return motion


def _moved(patient: TrialPatient, motion: NDArray[np.float64]) -> TrialPatient:
    grid = Grid(patient.grid.shape, motion @ patient.grid.affine)
    return dataclasses.replace(
        patient,
        t1=Scan(patient.t1.values, grid),
        masks=TumorMasks(patient.masks.core, patient.masks.whole, grid),
        density=TumorDensity(patient.density.u, grid),
        anatomy=dataclasses.replace(patient.anatomy, grid=grid),
        facts=patient.facts
        | {
            "origins_mm": tuple(
                tuple((motion @ (*origin, 1.0))[:3].tolist())
                for origin in patient.facts["origins_mm"]
            )
        },
    )


def _log_uniform(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    return math.exp(rng.uniform(*np.log(ends)))
