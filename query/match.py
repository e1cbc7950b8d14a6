"""The answer to a query: which simulated tumours, in which order, and how well they overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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


def nearest(distances: NDArray[Any], n: int) -> NDArray[np.intp]:
    """Positions of the n least values, least first, equal ones in ascending order."""
    if n < len(distances):
        limit = np.partition(distances, n - 1)[n - 1]
        candidates = np.flatnonzero(distances <= limit)
    else:
        candidates = np.arange(len(distances))
    return candidates[np.argsort(distances[candidates], kind="stable")][:n]
