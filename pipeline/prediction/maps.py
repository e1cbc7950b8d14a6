"""An answer's maps on one of the patient's grids: density, uncertainty, planning volumes."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.regions import Box, bounding_box
from ...query import dice_of_masks
from ...solver import Thresholds, TumorDensity, TumorMasks
from ..agreement import Agreement, DensityMaps, agree, doubt, equation_residual
from ..fit.answer import Answer
from ..images.point_map import PointMap
from ..images.resampling import resample_in_tissue
from ..travel import Terrain
from ..uncertainty.ensemble import Uncertainty
from .planning import PlanningVolumes, plan_volumes

T = TypeVar("T", bound=np.generic)

BLOCK = 8
"""Voxels by which the part of a grid that is worked on is cut off."""


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
        Density of the answer, as it grew.
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

    def laid_into(self, outlines: TumorMasks, box: Box) -> PatientMaps:
        """The same on a larger grid, of which a box is theirs; 0 outside the box.

        Parameters
        ----------
        outlines : TumorMasks
            The patient's, on the larger grid.
        box : Box
            Part of that grid.

        Returns
        -------
        PatientMaps
        """
        grid = outlines.grid

        def laid(values: NDArray[T]) -> NDArray[T]:
            whole = np.zeros(grid.shape, values.dtype)
            whole[box] = values
            return whole

        expected, planning = self.expected, self.planning
        return PatientMaps(
            growth=TumorDensity(laid(self.growth.u), grid),
            density=TumorDensity(laid(self.density.u), grid),
            expected=DensityMaps(
                laid(expected.mean),
                laid(expected.sd),
                {level: laid(values) for level, values in expected.exceedance.items()},
                grid,
            ),
            planning=PlanningVolumes(
                planning.gross,
                laid(planning.standard),
                laid(planning.model),
                laid(planning.geodesic),
                laid(planning.ranking),
                outlines,
            ),
            growth_score=self.growth_score,
            score=self.score,
        )


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

    The agreement is found on the grid of the finest voxels and interpolated on the others.

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
    lambda_mm = max(growth.lambda_mm for growth in grown.answer.growths)
    boxes, parts, grown_there = [], [], []
    for terrain in terrains:
        growth, sd = _carried(grown, terrain.grid)
        box = _box_of(terrain, growth.u)
        boxes.append(box)
        parts.append(terrain.part(box))
        grown_there.append((TumorDensity(growth.u[box], parts[-1].grid), sd[box]))
    finest = min(range(len(parts)), key=lambda i: parts[i].grid.voxel_ml)
    agreement = agree(
        grown_there[finest][0], parts[finest], lambda_mm=lambda_mm, thresholds=thresholds
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
            expected = pool.submit(doubt, agreed, growth, sd, levels)
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
        agreement if i == finest else agreement.carried_to(part, thresholds=thresholds)
        for i, part in enumerate(parts)
    ]
    return [
        mapped(parts[i], *grown_there[i], agreed[i]).laid_into(terrains[i].outlines, boxes[i])
        for i in range(len(terrains))
    ]


def _box_of(terrain: Terrain, growth: NDArray[np.float32]) -> Box:
    """What holds the brain, the outlines and the growth.

    It leaves out a multiple of `BLOCK` voxels on each side, so that blocks of voxels are averaged
    and computed in the box as in the whole.
    """
    box = bounding_box(terrain.brain | terrain.outlines.whole | (growth > 0))
    x, y, z = (
        slice(side.start // BLOCK * BLOCK, n - (n - side.stop) // BLOCK * BLOCK)
        for side, n in zip(box, growth.shape, strict=True)
    )
    return x, y, z


def _carried(grown: GrownAnswer, grid: Grid) -> tuple[TumorDensity, NDArray[np.float32]]:
    """The growth and its ensemble's standard deviation on a grid of the patient's."""
    found = grown.uncertainty.maps
    u, sd = resample_in_tissue(
        [grown.answer.density.u, found.sd], found.grid, grid, grown.tissue, grown.along
    )
    return TumorDensity(u, grid), sd
