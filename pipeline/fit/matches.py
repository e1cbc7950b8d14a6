"""The stored tumours most like a patient's, with their growth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...atlas import Grid
from ...dbgen import Database
from ...query import Match
from ...solver import GrowthParameters
from ...solver.declarations import NOTHING_DECLARED, Declared

DEFAULT_MATCHES = 15


@dataclass(frozen=True)
class RankedMatch:
    """A stored tumour, its overlap with the patient's and its growth.

    Attributes
    ----------
    rank : int
        Rank, from 1.
    match : Match
    parameters : GrowthParameters
    under_resolved : bool
        Whether the front is narrower than a voxel of the simulation grid.
    declared : Declared
        What the growth model declares of its parameters.
    has_core : bool
        Whether the patient's outlines have a core; the row has no Dice of an absent one.
    """

    rank: int
    match: Match
    parameters: GrowthParameters
    under_resolved: bool
    declared: Declared = NOTHING_DECLARED
    has_core: bool = True

    def row(self) -> dict[str, Any]:
        """Plain values by name, as `result.json` and the report show them.

        Returns
        -------
        dict
        """
        growth = self.parameters.row(self.declared)
        origin_mm = growth.pop("origin_mm")
        ventricles = self.match.dice_ventricles
        return {
            "rank": self.rank,
            "sample": self.match.sample,
            "score": self.match.score,
            "dice_core": self.match.dice_core if self.has_core else None,
            "dice_whole": self.match.dice_whole,
            **({} if ventricles is None else {"dice_ventricles": ventricles}),
            **growth,
            "origin_mm": origin_mm,
            "under_resolved": self.under_resolved,
        }


def rank_matches(
    database: Database, matches: list[Match], *, has_core: bool = True
) -> tuple[RankedMatch, ...]:
    """Add each match's growth parameters.

    Parameters
    ----------
    database : Database
        Database of the samples.
    matches : list of Match
        Best first.
    has_core : bool
        Whether the outlines that were matched have a core.

    Returns
    -------
    tuple of RankedMatch
        In the same order.
    """
    ranked = []
    for rank, match in enumerate(matches, start=1):
        parameters = database.growth_parameters(match.sample)
        is_narrow = is_under_resolved(parameters, database.grid)
        ranked.append(RankedMatch(rank, match, parameters, is_narrow, database.declared, has_core))
    return tuple(ranked)


def is_under_resolved(growth: GrowthParameters, grid: Grid) -> bool:
    """Whether a growth's front is narrower than a voxel of a grid."""
    return growth.lambda_mm < max(grid.spacing_mm)
