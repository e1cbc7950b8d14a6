"""An answer's maps on one of the patient's grids: density, uncertainty, planning volumes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...solver import TumorDensity, TumorMasks
from ..fit.answer import Answer
from ..images.point_map import PointMap
from ..images.resampling import resample_in_tissue
from ..uncertainty.ensemble import DensityMaps, Uncertainty
from .planning import LEAST_DENSITY, PlanningVolumes, plan_volumes


@dataclass(frozen=True, eq=False)
class PatientMaps:
    """What was found, on one grid in the patient's world.

    Attributes
    ----------
    density : TumorDensity
        Of the answer.
    ensemble : DensityMaps
        Of the uncertainty.
    planning : PlanningVolumes
    """

    density: TumorDensity
    ensemble: DensityMaps
    planning: PlanningVolumes

    @property
    def grid(self) -> Grid:
        """The grid of all of them."""
        return self.density.grid


def map_to_patient(
    answer: Answer,
    uncertainty: Uncertainty,
    along: PointMap,
    tissue: NDArray[np.bool_],
    masks: TumorMasks,
    brain: NDArray[np.bool_],
    speed: NDArray[np.float32],
) -> PatientMaps:
    """Carry an answer to a grid of the patient's, each map by one interpolation, and plan there.

    Parameters
    ----------
    answer : Answer
    uncertainty : Uncertainty
    along : PointMap
        From the patient's world to the one that the answer grew in.
    tissue : bool array
        Where the answer could grow, on its grid.
    masks : TumorMasks
        The patient's outlines on the grid that is asked for.
    brain : bool array of that grid's shape
    speed : float32 array of that grid's shape
        Of a front in the patient's tissue, see `tissue_speed`.
    """
    grid, maps = masks.grid, uncertainty.maps
    # What is below the least density would only make the ensemble's files and work larger.
    ensemble = (
        np.where(values >= LEAST_DENSITY, values, np.float32(0))
        for values in (maps.mean, maps.sd, *maps.exceedance.values())
    )
    u, mean, sd, *shares = resample_in_tissue(
        [answer.density.u, *ensemble], maps.grid, grid, tissue, along
    )
    density = TumorDensity(u, grid)
    # The tail of the ranking is as wide as the widest front.
    lambda_mm = max(growth.lambda_mm for growth in answer.growths)
    return PatientMaps(
        density=density,
        ensemble=DensityMaps(mean, sd, dict(zip(maps.exceedance, shares, strict=True)), grid),
        planning=plan_volumes(density, masks, brain, lambda_mm, speed),
    )
