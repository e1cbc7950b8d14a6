"""Dice of outlines, from integer counts.

    Dice(A, B) = 2 |A n B| / (|A| + |B|)

The score of a simulated tumour is Dice(core) + Dice(whole). Every Dice of the package comes from
`dice_from_counts`: two ways of counting that agree in the integers agree in the last bit.

References
----------
I. Ezhov et al., "A for-loop is all you need. For solving the inverse problem in the case of
personalized tumor growth modeling", PMLR 193:566-577, 2022, section 2.3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..solver import TumorMasks

OUTLINES = ("core", "whole")
"""Order of the outlines wherever an array has an axis for them."""


def dice_from_counts(
    intersection: ArrayLike, total: ArrayLike, *, empty_score: float = 0.0
) -> NDArray[np.float64]:
    """Dice from counts of voxels.

    Parameters
    ----------
    intersection : int array
        ``|A n B|``. An upper bound of it yields an upper bound of the Dice, in floating point too:
        correctly rounded division never decreases when its numerator grows.
    total : int array
        ``|A| + |B|``.
    empty_score : float
        The value where both masks are empty, which the formula leaves open. 0 is what the code
        of the paper's authors does; 1 calls two absent cores a perfect agreement.

    Returns
    -------
    float64 array in [0, 1]
    """
    intersection, total = np.asarray(intersection, np.int64), np.asarray(total, np.int64)
    if total.min(initial=1) > 0:  # a pass less than to look for empty ones
        return 2 * intersection / total
    return np.where(total == 0, empty_score, 2 * intersection / np.maximum(total, 1))


def dice_of(a: NDArray[np.bool_], b: NDArray[np.bool_], *, empty_score: float = 0.0) -> float:
    """Dice of two masks of one shape; see `dice_from_counts`."""
    return float(dice_from_counts((a & b).sum(), a.sum() + b.sum(), empty_score=empty_score))


def dice_of_masks(
    query: TumorMasks, tumor: TumorMasks, *, empty_score: float = 0.0
) -> tuple[float, float]:
    """Dice of the cores and of the wholes of two tumours on one grid.

    Parameters
    ----------
    query, tumor : TumorMasks
        On the same grid.
    empty_score : float
        What two empty outlines score.

    Returns
    -------
    dice_core, dice_whole : float in [0, 1]

    Raises
    ------
    InputError
        If the two lie on different grids.

    Examples
    --------
    >>> import numpy as np
    >>> from glioquery import Grid, TumorMasks
    >>> grid = Grid((4, 1, 1), np.eye(4))
    >>> line = np.array([True, True, True, False]).reshape(4, 1, 1)
    >>> dice_of_masks(TumorMasks(line, line, grid), TumorMasks(line, line | True, grid))
    (1.0, 0.8571428571428571)
    """
    query.require_grid(tumor.grid, "the tumour to compare them with")
    core, whole = (
        dice_of(a, b, empty_score=empty_score)
        for a, b in ((query.core, tumor.core), (query.whole, tumor.whole))
    )
    return core, whole
