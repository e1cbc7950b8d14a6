"""What an inversion finds, as values."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from ..query import Match
from ..solver import GrowthParameters, TumorDensity, TumorMasks
from .quality import RegistrationQuality
from .transform import AtlasTransform

PLAUSIBLE_MEAN_DICE = 0.45
"""Mean Dice over the non-empty outlines below which no stored tumour is like the patient's."""


class InversionStatus(enum.Enum):
    """What a result is worth; the value says it to a person."""

    PLAUSIBLE = "plausible match"
    NO_PLAUSIBLE_MATCH = "no plausible match"
    REGISTRATION_DOUBTFUL = "registration doubtful"


@dataclass(frozen=True)
class RankedMatch:
    """A stored tumour, its overlap with the patient's and its growth.

    Attributes
    ----------
    rank : int
        From 1.
    match : Match
    parameters : GrowthParameters
    under_resolved : bool
        Whether the front is narrower than a voxel of the simulation grid.
    """

    rank: int
    match: Match
    parameters: GrowthParameters
    under_resolved: bool

    def row(self) -> dict[str, Any]:
        """Plain values by name, as `result.json` and the report show them."""
        p = self.parameters
        return {
            "rank": self.rank,
            "sample": self.match.sample,
            "score": self.match.score,
            "dice_core": self.match.dice_core,
            "dice_whole": self.match.dice_whole,
            "lambda_mm": p.lambda_mm,
            "rho_t": p.rho_t,
            "dw": p.dw,
            "rho": p.rho,
            "days": p.days,
            "origin_mm": p.origin_mm,
            "under_resolved": self.under_resolved,
        }


@dataclass(frozen=True, eq=False)
class Inversion:
    """What was found for a patient.

    Attributes
    ----------
    matches : tuple of RankedMatch
        Best first.
    masks : TumorMasks
        The patient's outlines on the atlas.
    density : TumorDensity
        The best match in the patient's space, on the T1's grid.
    density_atlas : TumorDensity
        The best match on the atlas.
    transform : AtlasTransform
    quality : RegistrationQuality
    timings_s : dict of str to float
        Seconds a step.
    """

    matches: tuple[RankedMatch, ...]
    masks: TumorMasks
    density: TumorDensity
    density_atlas: TumorDensity
    transform: AtlasTransform
    quality: RegistrationQuality
    timings_s: dict[str, float]

    @property
    def mean_dice(self) -> float:
        """Mean Dice of the best match over the patient's non-empty outlines."""
        n_outlines = int(self.masks.core.any()) + int(self.masks.whole.any())
        return self.matches[0].match.score / n_outlines

    @property
    def status(self) -> InversionStatus:
        """What the result is worth."""
        if self.mean_dice < PLAUSIBLE_MEAN_DICE:
            return InversionStatus.NO_PLAUSIBLE_MATCH
        if self.quality.problems:
            return InversionStatus.REGISTRATION_DOUBTFUL
        return InversionStatus.PLAUSIBLE
