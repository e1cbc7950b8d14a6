"""The answer to a query: which simulated tumour, and how well it overlaps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Match:
    """One simulated tumour, compared with the outlines of the query.

    Attributes
    ----------
    sample : int
        Its id in the database.
    score : float
        Value that ranks the matches: dice_core + dice_whole, in [0, 2], or another measure's value.
    dice_core, dice_whole : float
        Dice of each outline, in [0, 1].
    dice_ventricles : float or None
        Dice of the ventricles, if the search asked for them.
    """

    sample: int
    score: float
    dice_core: float
    dice_whole: float
    dice_ventricles: float | None = None
