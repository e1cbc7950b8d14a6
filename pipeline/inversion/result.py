"""The result of an inversion, as values."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...solver import TumorDensity
from ...solver.models import reach_of
from ..agreement import DensityMaps
from ..fit.answer import PLAUSIBLE_MEAN_DICE, growth_row
from ..images.nifti import Scan
from ..images.resampling import extend_from_tissue
from ..prediction.maps import PatientMaps
from ..prediction.planning import PlanningVolumes
from ..prediction.recurrence import Coverage
from ..registration.placement import share_in_brain
from ..scans.patient_outlook import PatientOutlook
from ..uncertainty.ensemble import Uncertainty
from .growth import PatientGrowth


class InversionStatus(enum.Enum):
    """Status of a result; the value is a phrase for people."""

    PLAUSIBLE = "plausible match"
    NO_PLAUSIBLE_MATCH = "no plausible match"
    REGISTRATION_DOUBTFUL = "registration doubtful"


@dataclass(frozen=True, eq=False)
class Inversion(PatientGrowth):
    """The growth that was found for a patient, its maps and their uncertainty.

    Attributes
    ----------
    uncertainty : Uncertainty
        Uncertainty of the answer, on the grid on which it grew.
    maps : PatientMaps
        Maps on the part of the T1's grid around the brain (`Patient.field`).
    maps_on_segmentation : PatientMaps or None
        Maps on that part of the segmentation's grid (`Patient.field_as_drawn`), in the world of the
        T1, if the two grids differ.
    coverage : tuple of Coverage
        Coverage of a recurrence, if one was given.
    outlook : PatientOutlook or None
        Outlook from later scans, if there are any and a growth meets them.
    """

    uncertainty: Uncertainty
    maps: PatientMaps
    maps_on_segmentation: PatientMaps | None
    coverage: tuple[Coverage, ...]
    outlook: PatientOutlook | None = None

    @property
    def density(self) -> TumorDensity:
        """The map: the answer in agreement with the outlines, on the T1's whole grid."""
        return self.patient.field.laid_density(self.maps.density)

    @property
    def expected(self) -> DensityMaps:
        """How far the map may be from the truth, on the same grid; laid there at each call."""
        return self.maps.expected.laid(self.patient.field)

    @property
    def planning(self) -> PlanningVolumes:
        """The planning volumes on the same grid; laid there at each call."""
        return self.maps.planning.laid(self.patient.field, self.patient.masks)

    @property
    def agreement(self) -> dict[str, dict[str, Any]]:
        """Scores of the growth and of the map on the T1: the row of each `MapScore` by its name."""
        without = {} if self.patient.masks.core.any() else {"dice_core": None}
        scores = {"growth": self.maps.growth_score, "map": self.maps.score}
        return {name: dataclasses.asdict(score) | without for name, score in scores.items()}

    @property
    def shown_levels(self) -> tuple[float, ...]:
        """Rising densities of the isolines in pictures and tables: of outlines and options."""
        outlines = self.thresholds
        return tuple(sorted({*self.options.densities, outlines.whole, outlines.core}))

    @property
    def density_atlas(self) -> TumorDensity:
        """The answer on the simulation grid of the atlas, in the atlas's tissue."""
        found, grid = self.answer.density, self.masks.grid
        if self.own is None or self.answer.is_on_atlas:
            return found
        extended = extend_from_tissue(found.u, self.answer_tissue)
        carried = self.transform.image_to_atlas(Scan(extended, found.grid), grid).values
        reach = reach_of(self.database.model, self.database.tissue).domain
        return TumorDensity(np.where(reach, np.clip(carried, 0, 1), np.float32(0)), grid)

    def predicted_ml(self, level: float) -> float:
        """Millilitres of the patient where the density is at least a level.

        Parameters
        ----------
        level : float
            A density, between 0 and 1.

        Returns
        -------
        float
        """
        found = self.maps.density
        return float((found.u >= level).sum() * found.grid.voxel_ml)

    def row(self) -> dict[str, Any]:
        """Plain values of the result, matches apart, as `result.json` shows them.

        Returns
        -------
        dict
        """
        fitted, refinement = self.findings.fitted, self.findings.refinement
        has_core = self.masks.core.any()
        return {
            "share_in_brain": share_in_brain(self.masks, self.database.atlas),
            "tissue": self.patient_tissue.row(),
            "answer": self.answer.row(),
            "tried": [answer.row() for answer in self.findings.tried],
            "refinement": None if refinement is None else refinement.row(),
            "own_anatomy": None if self.own is None else self.own.row(),
            "fitted_thresholds": None
            if fitted is None
            else {
                "core": fitted.thresholds.core if has_core else None,
                "whole": fitted.thresholds.whole,
                "score": fitted.fit.score,
                "dice_core": fitted.fit.dice_core if has_core else None,
                "dice_whole": fitted.fit.dice_whole,
                **growth_row(
                    fitted.fit.parameters, self.findings.answer.density, self.answer.declared
                ),
            },
            "uncertainty": self.uncertainty.row(),
            "agreement": self.agreement,
            "planning": self.maps.planning.row(),
            "recurrence": [dataclasses.asdict(coverage) for coverage in self.coverage],
            "outlook": None if self.outlook is None else self.outlook.row(),
        }

    @property
    def status(self) -> InversionStatus:
        """Status of the result."""
        if self.mean_dice < PLAUSIBLE_MEAN_DICE:
            return InversionStatus.NO_PLAUSIBLE_MATCH
        if self.quality.problems:
            return InversionStatus.REGISTRATION_DOUBTFUL
        return InversionStatus.PLAUSIBLE
