"""One growth, seen through a patient's outlines at every moment.

A single run of the solver passes through all durations. Where a density grows like a logistic, its
logit z = ln(u / (1 - u)) is nearly linear in time: between two steps of the run it is interpolated
so, and the duration whose outlines overlap the patient's best is found without another simulation.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import EllipsisType

import numpy as np
from numpy.typing import NDArray

from ...atlas.regions import bounding_box
from ...errors import InputError
from ...query import dice_from_counts, dice_of_masks
from ...solver import (
    Accuracy,
    FisherKolmogorov,
    GrowthModel,
    GrowthParameters,
    State,
    Status,
    Thresholds,
    Tissue,
    TumorDensity,
    TumorMasks,
    march,
    own_arithmetic,
    simulate,
)
from ...solver.models import reach_of
from .coordinates import Coordinates, Free

MAX_RHO_T = 300.0
"""Most e-foldings of proliferation in a run: the largest rho T of the default space."""

VOLUME_SHARES = (0.5, 2.0)
"""Whole volumes, relative to the patient's, between which a run is examined. Beyond them the Dice
of the whole is at most 2 / 3, however well the shape fits."""

BETWEEN_STEPS = 8
"""Parts into which an interval between two steps of a run is divided in search of the best."""

LEAST_DENSITY = 1e-9
"""Least density in a logit, which is infinite at 0; far below any threshold."""

MOST_DENSITY = 1 - 1e-6
"""Distance of the largest density in a logit from 1, about the resolution of float32."""


Part = EllipsisType | tuple[slice, ...]
"""Index of a part of the box."""

EVERYWHERE: Part = ...


def logit(u: NDArray[np.float32]) -> NDArray[np.float32]:
    """ln(u / (1 - u)), finite everywhere."""
    kept = np.clip(u, np.float32(LEAST_DENSITY), np.float32(MOST_DENSITY))
    return np.log(kept / (1 - kept))


@dataclass(frozen=True, eq=False)
class Target:
    """A patient's outlines on a tissue's box, and the growth that is to meet them.

    Attributes
    ----------
    masks : TumorMasks
        The patient's, on the tissue's grid.
    tissue : Tissue
    model : GrowthModel
    thresholds : Thresholds
        Densities at which a tumour's outlines are drawn.
    free : tuple of Free
        Parameters of the model that are fitted.

    Raises
    ------
    InputError
        If the outlines lie on another grid than the tissue, or no tissue is in the whole one.
    """

    masks: TumorMasks
    tissue: Tissue
    model: GrowthModel = field(default_factory=FisherKolmogorov)
    thresholds: Thresholds = field(default_factory=Thresholds)
    free: tuple[Free, ...] = ()

    def __post_init__(self) -> None:
        self.masks.require_grid(self.tissue.grid, "the tissue to grow into")
        if not (self.masks.whole & self.tissue.domain).any():
            raise InputError(
                "there is nothing to grow into: no tissue lies in the whole outline; expected an "
                "outline, and maps of the tissue, of one brain"
            )

    @cached_property
    def coordinates(self) -> Coordinates:
        """The directions in which a growth is improved."""
        return Coordinates(self.model, self.free)

    @cached_property
    def reach(self) -> NDArray[np.bool_]:
        """Voxels of the tissue's box where outlines of the model's growths may lie."""
        return reach_of(self.model, self.tissue).domain[self.tissue.box]

    @cached_property
    def core(self) -> NDArray[np.bool_]:
        """The core on the tissue's box."""
        return self.masks.core[self.tissue.box]

    @cached_property
    def whole(self) -> NDArray[np.bool_]:
        """The whole tumour on the tissue's box."""
        return self.masks.whole[self.tissue.box]

    @cached_property
    def n_core(self) -> int:
        """Voxels of the core, those outside the box included."""
        return int(self.masks.core.sum())

    @cached_property
    def n_whole(self) -> int:
        """Voxels of the whole tumour, likewise."""
        return int(self.masks.whole.sum())

    def grown(self, growth: GrowthParameters, accuracy: Accuracy) -> TumorDensity | None:
        """The density of a growth in the tissue, up to its `days`.

        Parameters
        ----------
        growth : GrowthParameters
        accuracy : Accuracy

        Returns
        -------
        TumorDensity or None
            None where it folds the tissue or does not stay finite, which is no solution.

        Raises
        ------
        OriginError
            As `follow`.
        """
        run = simulate(
            self.tissue, growth, model=self.model, thresholds=self.thresholds, accuracy=accuracy
        )
        return None if run.status in (Status.FOLDED, Status.NOT_FINITE) else run.density

    def dice_of(self, density: TumorDensity) -> tuple[float, float]:
        """Dice of core and whole with the outlines of a density on the tissue's grid.

        Parameters
        ----------
        density : TumorDensity
            On the tissue's grid.

        Returns
        -------
        dice_core, dice_whole : float
        """
        return dice_of_masks(self.masks, density.outlines(self.thresholds))

    @property
    def levels(self) -> tuple[float, float]:
        """Logits of the thresholds of core and whole."""
        core, whole = self.thresholds.core, self.thresholds.whole
        return math.log(core / (1 - core)), math.log(whole / (1 - whole))

    def dice(self, logits: NDArray[np.float32], part: Part = EVERYWHERE) -> tuple[float, float]:
        """Dice of core and whole with the outlines of a density on a part of the box.

        Outside the part there is no outline.

        Parameters
        ----------
        logits : float32 array of the part's shape
            Logits of the density.
        part : tuple of slice
            Part of the tissue's box.

        Returns
        -------
        dice_core, dice_whole : float
        """
        core, whole = (
            float(
                dice_from_counts(np.count_nonzero(ours & mask[part]), np.count_nonzero(ours) + n)
            )
            for ours, mask, n in (
                (logits >= self.levels[0], self.core, self.n_core),
                (logits >= self.levels[1], self.whole, self.n_whole),
            )
        )  # fmt: skip
        return core, whole

    def score(self, logits: NDArray[np.float32], part: Part = EVERYWHERE) -> float:
        """Sum of the two Dice.

        Parameters
        ----------
        logits, part : as in `dice`

        Returns
        -------
        float
        """
        return sum(self.dice(logits, part))


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A run while its whole volume is like the patient's.

    Attributes
    ----------
    target : Target
    parameters : GrowthParameters
        Parameters of the run; `days` is its end.
    days : tuple of float
        Times that were kept, rising; at least two.
    densities : tuple of float32 arrays of the box's shape
        Densities at these times.
    """

    target: Target
    parameters: GrowthParameters
    days: tuple[float, ...]
    densities: tuple[NDArray[np.float32], ...]

    def at(self, days: float, part: Part = EVERYWHERE) -> NDArray[np.float32]:
        """The logit at a time, held within the times that were kept, on a part of the box."""
        after = int(np.clip(np.searchsorted(self.days, days), 1, len(self.days) - 1))
        before, later = (logit(self.densities[i][part]) for i in (after - 1, after))
        return between(before, later, self.days[after - 1], self.days[after], days)

    def best(self, parts: int = BETWEEN_STEPS) -> tuple[float, float]:
        """The largest score along the run, and its time in days.

        Parameters
        ----------
        parts : int
            Number of parts into which the two intervals around the best step are divided.
        """
        part = self.reach
        logits = [logit(u[part]) for u in self.densities]
        scores = [self.target.score(z, part) for z in logits]
        peak = int(np.argmax(scores))
        best = scores[peak], self.days[peak]
        for i in range(max(peak - 1, 0), min(peak + 1, len(self.days) - 1)):
            start, end = self.days[i : i + 2]
            for days in np.linspace(start, end, parts + 1)[1:-1]:
                z = between(logits[i], logits[i + 1], start, end, float(days))
                score = self.target.score(z, part)
                if score > best[0]:
                    best = score, float(days)
        return best

    @cached_property
    def reach(self) -> tuple[slice, ...]:
        """The part of the box that holds every outline at every time."""
        # A little less than the threshold, which is compared as a logit.
        least = 0.99 * min(self.target.thresholds.core, self.target.thresholds.whole)
        return bounding_box(functools.reduce(np.maximum, self.densities) >= least)


def between(
    before: NDArray[np.float32], later: NDArray[np.float32], start: float, end: float, days: float
) -> NDArray[np.float32]:
    """A logit at a time from those at a start and an end, (nx, ny, nz)."""
    share = np.float32(np.clip((days - start) / (end - start), 0, 1))
    return before + share * (later - before)


@own_arithmetic()
def follow(
    target: Target,
    parameters: GrowthParameters,
    accuracy: Accuracy,
    *,
    until: float = math.inf,
) -> Trajectory | None:
    """Grow a tumour past the patient's volume; its `days` play no part.

    Parameters
    ----------
    target : Target
    parameters : GrowthParameters
    accuracy : Accuracy
    until : float
        Days up to which the run is examined: it need not grow further.

    Returns
    -------
    Trajectory or None
        None where the tumour never comes near the patient's volume.

    Raises
    ------
    OriginError
        If the origin lies outside the tissue, or the tissue there is too small to hold a seed.
    """
    low, high = (share * target.n_whole for share in VOLUME_SHARES)
    return grow_between(target, parameters, accuracy, low, high, until=until)


@own_arithmetic()
def grow_between(
    target: Target,
    parameters: GrowthParameters,
    accuracy: Accuracy,
    low: float,
    high: float,
    *,
    until: float = math.inf,
) -> Trajectory | None:
    """Grow a tumour, and keep it from one volume on to another; as `follow`.

    Parameters
    ----------
    low, high : float
        Voxels of the whole outline.
    """
    if parameters.rho == 0:
        return None
    n_domain = int(target.tissue.domain.sum())
    longest = MAX_RHO_T / parameters.rho
    kept: list[State] = []
    states = march(
        target.tissue,
        parameters,
        model=target.model,
        thresholds=target.thresholds,
        accuracy=accuracy,
    )
    for before, state in itertools.pairwise(states):
        if not state.is_finite:
            return None
        if state.whole_voxels >= low:
            kept += [state] if kept else [before, state]
            if state.days >= until or state.whole_voxels >= high or state.core_voxels >= n_domain:
                break
        if state.days >= longest:
            break
    if not kept:
        return None
    return Trajectory(
        target,
        replace(parameters, days=kept[-1].days),
        tuple(state.days for state in kept),
        tuple(state.u for state in kept),
    )
