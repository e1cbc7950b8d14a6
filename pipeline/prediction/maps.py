"""An answer's maps on one of the patient's grids: density, uncertainty, planning volumes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...query import dice_of_masks
from ...solver import Thresholds, TumorDensity
from ..agreement import Agreement, DensityMaps, agree, equation_residual, expect_density
from ..fit.answer import Answer
from ..images.point_map import PointMap
from ..images.resampling import resample_in_tissue
from ..travel import Terrain
from ..uncertainty.ensemble import Uncertainty
from .planning import PlanningVolumes, plan_volumes

WHOLE_BRAIN = 0.98
"""Least volume of the brain on a grid that holds all of it, as a share of the largest on any."""


@dataclass(frozen=True)
class MapScore:
    """How well a density fits the scan, and how much it is like a growth.

    Attributes
    ----------
    dice_core, dice_whole : float
        Dice of its isolines with the patient's outlines.
    residual : float
        Residual of the growth equation, see `equation_residual`. Some field fits any outline, but a
        field with a large residual is no growth.
    """

    dice_core: float
    dice_whole: float
    residual: float


@dataclass(frozen=True, eq=False)
class PatientMaps:
    """The maps of an inversion on one grid in the patient's world.

    Attributes
    ----------
    growth : TumorDensity
        Density of the answer, as it grew, in the brain.
    density : TumorDensity
        Density that agrees with the outlines.
    expected : DensityMaps
        How far `density` may be from the truth.
    planning : PlanningVolumes
    growth_score, score : MapScore
        Scores of the growth and of the density.
    """

    growth: TumorDensity
    density: TumorDensity
    expected: DensityMaps
    planning: PlanningVolumes
    growth_score: MapScore
    score: MapScore

    @property
    def grid(self) -> Grid:
        """The grid of all of them."""
        return self.density.grid


@dataclass(frozen=True, eq=False)
class GrownAnswer:
    """An answer in the anatomy in which it grew, and the map from the patient to there.

    Attributes
    ----------
    answer : Answer
    uncertainty : Uncertainty
        How sure it is.
    tissue : bool array
        Where it could grow, on the grid of the answer.
    along : PointMap
        Map from the patient's world to the one in which it grew.
    """

    answer: Answer
    uncertainty: Uncertainty
    tissue: NDArray[np.bool_]
    along: PointMap


def map_to_patient(
    grown: GrownAnswer,
    terrains: Sequence[Terrain],
    *,
    thresholds: Thresholds = Thresholds(),
    levels: Sequence[float] = (),
) -> list[PatientMaps]:
    """Carry an answer to grids of the patient's, let it agree with the outlines, and plan there.

    The agreement is found on the grid of the finest voxels of those that hold the whole brain, and
    interpolated on the others: a segmentation may be cropped to the tumour.

    Parameters
    ----------
    grown : GrownAnswer
    terrains : sequence of Terrain
        Terrains of one patient, on the wanted grids.
    thresholds : Thresholds
        Densities that the outlines show.
    levels : sequence of float
        Densities whose exceedance is mapped.

    Returns
    -------
    list of PatientMaps
        One for each terrain, in the same order.
    """
    # The profile and the tail of the ranking are as wide as the widest front.
    lambda_mm = grown.answer.widest_lambda_mm
    grown_there = [_carried(grown, terrain) for terrain in terrains]
    brains_ml = [float(terrain.brain.sum() * terrain.grid.voxel_ml) for terrain in terrains]
    finest = min(
        (i for i, ml in enumerate(brains_ml) if ml >= WHOLE_BRAIN * max(brains_ml)),
        key=lambda i: terrains[i].grid.voxel_ml,
    )
    agreement = agree(
        grown_there[finest][0], terrains[finest], lambda_mm=lambda_mm, thresholds=thresholds
    )

    def mapped(
        terrain: Terrain, growth: TumorDensity, sd: NDArray[np.float32], agreed: Agreement
    ) -> PatientMaps:
        def scored(density: TumorDensity) -> MapScore:
            dice_core, dice_whole = dice_of_masks(terrain.outlines, density.outlines(thresholds))
            residual = equation_residual(density, terrain.speed, lambda_mm)
            return MapScore(dice_core, dice_whole, residual)

        with ThreadPoolExecutor(2) as pool:
            planning = pool.submit(plan_volumes, agreed.density, terrain, lambda_mm)
            expected = pool.submit(expect_density, agreed, growth, sd, levels)
            growth_score, score = pool.map(scored, (growth, agreed.density))
            return PatientMaps(
                growth=growth,
                density=agreed.density,
                expected=expected.result(),
                planning=planning.result(),
                growth_score=growth_score,
                score=score,
            )

    agreed = [
        agreement if i == finest else agreement.carried_to(terrain, thresholds=thresholds)
        for i, terrain in enumerate(terrains)
    ]
    return [mapped(terrain, *grown_there[i], agreed[i]) for i, terrain in enumerate(terrains)]


def _carried(grown: GrownAnswer, terrain: Terrain) -> tuple[TumorDensity, NDArray[np.float32]]:
    """The growth and its ensemble's standard deviation in the brain of a terrain."""
    found = grown.uncertainty.maps
    u, sd = resample_in_tissue(
        [grown.answer.density.u, found.sd],
        found.grid,
        terrain.grid,
        grown.tissue,
        grown.along,
        within=terrain.brain,
    )
    return TumorDensity(u, terrain.grid), sd
