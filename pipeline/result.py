"""What an inversion finds, as values."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..atlas import load_atlas
from ..solver import Tissue, TumorDensity, TumorMasks
from .anatomy import OwnAnatomy
from .answer import Answer, Findings, growth_row
from .matches import RankedMatch
from .nifti import Scan
from .planning import PlanningVolumes
from .quality import RegistrationQuality
from .recurrence import Coverage
from .transform import AtlasTransform, extend_from_tissue
from .uncertainty import DensityMaps, Uncertainty

PLAUSIBLE_MEAN_DICE = 0.45
"""Mean Dice over the non-empty outlines below which no stored tumour is like the patient's."""


class InversionStatus(enum.Enum):
    """What a result is worth; the value says it to a person."""

    PLAUSIBLE = "plausible match"
    NO_PLAUSIBLE_MATCH = "no plausible match"
    REGISTRATION_DOUBTFUL = "registration doubtful"


@dataclass(frozen=True, eq=False)
class Inversion:
    """What was found for a patient.

    Attributes
    ----------
    matches : tuple of RankedMatch
        Best first.
    masks : TumorMasks
        The patient's outlines on the atlas.
    findings : Findings
        The answer, and what was tried on the way to it, on the atlas.
    own : OwnAnatomy or None
        What was found in the patient's own anatomy, if it was asked for.
    density : TumorDensity
        The answer in the patient's space, on the T1's grid.
    ensemble : DensityMaps
        The uncertainty's maps on the same grid.
    levels : tuple of float
        Rising densities whose isolines and exceedances are mapped.
    planning : PlanningVolumes
    coverage : tuple of Coverage
        Of a recurrence, if one was given.
    transform : AtlasTransform
    quality : RegistrationQuality
    notices : tuple of str
        What a person should know of this result, the patient's own notices first.
    timings_s : dict of str to float
        Seconds a step.
    """

    matches: tuple[RankedMatch, ...]
    masks: TumorMasks
    findings: Findings
    own: OwnAnatomy | None
    density: TumorDensity
    ensemble: DensityMaps
    levels: tuple[float, ...]
    planning: PlanningVolumes
    coverage: tuple[Coverage, ...]
    transform: AtlasTransform
    quality: RegistrationQuality
    notices: tuple[str, ...]
    timings_s: dict[str, float]

    @property
    def answer(self) -> Answer:
        """What the map shows."""
        if self.own is not None and self.own.is_better:
            return self.own.grown
        return self.findings.answer

    @property
    def uncertainty(self) -> Uncertainty:
        """How sure the answer is, on the grid that it grew on."""
        if self.own is not None and self.own.is_better:
            return self.own.uncertainty
        return self.findings.uncertainty

    @property
    def density_atlas(self) -> TumorDensity:
        """The answer on the simulation grid of the atlas, in the atlas's tissue."""
        found, grid = self.answer.density, self.masks.grid
        if self.own is None or self.answer.is_on_atlas:
            return found
        extended = extend_from_tissue(found.u, self.own.tissue.domain)
        carried = self.transform.image_to_atlas(Scan(extended, found.grid), grid).values
        domain = Tissue.from_atlas(load_atlas()).domain
        return TumorDensity(np.where(domain, np.clip(carried, 0, 1), np.float32(0)), grid)

    @property
    def mean_dice(self) -> float:
        """Mean Dice of the answer over the patient's non-empty outlines."""
        n_outlines = int(self.masks.core.any()) + int(self.masks.whole.any())
        return self.answer.score / n_outlines

    def row(self) -> dict[str, Any]:
        """Plain values of what was found beyond the matches, as `result.json` shows them."""
        fitted = self.findings.fitted
        return {
            "answer": self.answer.row(),
            "tried": [answer.row() for answer in self.findings.tried],
            "own_anatomy": None if self.own is None else self.own.row(),
            "fitted_thresholds": None
            if fitted is None
            else {
                "core": fitted.thresholds.core,
                "whole": fitted.thresholds.whole,
                "score": fitted.fit.score,
                "dice_core": fitted.fit.dice_core,
                "dice_whole": fitted.fit.dice_whole,
                **growth_row(fitted.fit.parameters, self.findings.answer.density),
            },
            "uncertainty": self.uncertainty.row(),
            "planning": self.planning.row(),
            "isodensity_ml": {
                f"{level:g}": float((self.density.u >= level).sum() * self.density.grid.voxel_ml)
                for level in self.levels
            },
            "recurrence": [dataclasses.asdict(coverage) for coverage in self.coverage],
        }

    @property
    def status(self) -> InversionStatus:
        """What the result is worth."""
        if self.mean_dice < PLAUSIBLE_MEAN_DICE:
            return InversionStatus.NO_PLAUSIBLE_MATCH
        if self.quality.problems:
            return InversionStatus.REGISTRATION_DOUBTFUL
        return InversionStatus.PLAUSIBLE
