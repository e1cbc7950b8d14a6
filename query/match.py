"""The answer to a query: which simulated tumour, and how well it overlaps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Match:
    """One simulated tumour beside the outlines that were asked for.

    Attributes
    ----------
    sample : int
        Its id in the database.
    score : float
        What was ranked by: dice_core + dice_whole, in [0, 2], unless another measure was asked for.
    dice_core, dice_whole : float
        Dice of each outline, in [0, 1].
    """

    sample: int
    score: float
    dice_core: float
    dice_whole: float
