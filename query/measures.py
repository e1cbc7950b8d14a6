"""How alike two tumours are: what a search can rank by.

With I = |A n Q|, S = |A| + |Q| and the edges dA of the outlines, a measure has one value an
outline, and a tumour's score is their weighted sum:

    dice            2 I / S
    jaccard         I / (S - I)
    dice-in-tissue  2 I / (|A| + |Q n tissue|)           a simulated tumour cannot enter CSF
    l2              sqrt(S - 2 I)                        root of the symmetric difference
    hausdorff95     max(P95 d(dA, dQ), P95 d(dQ, dA))    mm; P95: 95th percentile

The first four follow from counts. A voxel that a tumour gains never makes them worse where the
query has it, and never better where it has not: exact search bounds them by bounds of the
intersections, for one tumour and for groups of tumours. Anything else, functions of one's own
included, is computed from the masks of every tumour.

References
----------
D. P. Huttenlocher, G. A. Klanderman, W. J. Rucklidge, "Comparing images using the Hausdorff
distance", IEEE TPAMI 15(9):850-863, 1993. The larger of two directed percentiles is what the BraTS
challenges report.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..atlas.regions import bounding_box
from ..errors import InputError
from ..solver import TumorMasks
from ..solver.importing import import_named
from .dice import OUTLINES, dice_from_counts

Weights = tuple[float, float]
"""Weights of core and whole."""


class CountFormula(Protocol):
    """Value of an outline, from |A n Q| and |A| + |Q|; `empty_score` where both are empty."""

    def __call__(  # noqa: D102 - described above
        self, intersection: NDArray[np.integer], total: NDArray[np.int64], *, empty_score: float
    ) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Measure:
    """One way to say how alike two tumours are; it has one of the two functions.

    Attributes
    ----------
    name : str
    from_counts : callable, optional
        The value of an outline, in floating point too never worse for a voxel more that both have,
        and never better for one more that one of them has.
    from_masks : callable(query, tumor, weights), optional
        The score of a tumour.
    larger_is_better : bool
    inside_tissue : bool
        Whether only those voxels of the query count that lie in the tissue.
    weights : (core, whole) float
        Weights of the outlines' values in the score, >= 0 and not both 0.

    Raises
    ------
    InputError
        If the weights are not of this kind.
    """

    name: str
    from_counts: CountFormula | None = None
    from_masks: Callable[[TumorMasks, TumorMasks, Weights], float] | None = None
    larger_is_better: bool = True
    inside_tissue: bool = False
    weights: Weights = (1.0, 1.0)

    def __post_init__(self) -> None:
        core, whole = self.weights
        if not (min(core, whole) >= 0 and 0 < core + whole < math.inf):
            raise InputError(
                "the weights of core and whole are numbers >= 0, not both 0, "
                f"got {core} and {whole}"
            )

    def merit(
        self, intersection: NDArray[np.integer], total: NDArray[np.int64], empty_score: float
    ) -> NDArray[np.float64]:
        """Scores (n,), or distances negated, from counts (2, n): the larger, the better.

        Parameters
        ----------
        intersection : (2, n) int array
            Voxels that a tumour shares with the query, core and whole.
        total : (2, n) int array
            Voxels of the tumour and of the query, added.
        empty_score : float
            What two empty outlines score.

        Returns
        -------
        (n,) float64 array

        Raises
        ------
        InputError
            If the measure does not follow from counts.
        """
        if self.from_counts is None:
            raise InputError(f"the measure {self.name} needs masks, it has no value of counts")
        core, whole = self.from_counts(intersection, total, empty_score=empty_score)
        score = self.weights[0] * core + self.weights[1] * whole
        return score if self.larger_is_better else -score

    def merit_of_masks(self, query: TumorMasks, tumor: TumorMasks) -> float:
        """The merit of one tumour, from its masks.

        Parameters
        ----------
        query, tumor : TumorMasks
            On the same grid.

        Returns
        -------
        float

        Raises
        ------
        InputError
            If the measure follows from counts.
        """
        if self.from_masks is None:
            raise InputError(f"the measure {self.name} needs counts, it has no value of masks")
        score = self.from_masks(query, tumor, self.weights)
        return score if self.larger_is_better else -score


def jaccard_from_counts(
    intersection: NDArray[np.integer], total: NDArray[np.int64], *, empty_score: float
) -> NDArray[np.float64]:
    """|A n Q| / |A u Q|."""
    union = total - intersection
    jaccard = np.full(union.shape, empty_score, np.float64)
    np.divide(intersection, union, out=jaccard, where=union > 0)
    return jaccard


def l2_from_counts(
    intersection: NDArray[np.integer], total: NDArray[np.int64], *, empty_score: float
) -> NDArray[np.float64]:
    """Euclidean distance of the masks as vectors of 0 and 1; that of two empty ones is 0."""
    return np.sqrt((total - 2 * intersection.astype(np.int64)).astype(np.float64))


def hausdorff95(query: TumorMasks, tumor: TumorMasks, weights: Weights = (1.0, 1.0)) -> float:
    """95th-percentile Hausdorff distances of the outlines, in mm, weighted and summed.

    The edge of an outline consists of its voxels with a face neighbour outside. The distance to an
    empty outline is infinite; that between two empty ones is 0.

    Raises
    ------
    InputError
        If the two lie on different grids.
    """
    query.require_grid(tumor.grid, "the tumour to compare them with")
    spacing = query.grid.spacing_mm
    return sum(
        weight * _distance95(getattr(query, name), getattr(tumor, name), spacing)
        for name, weight in zip(OUTLINES, weights, strict=True)
        if weight  # 0 times an infinite distance is none
    )


def _distance95(
    a: NDArray[np.bool_], b: NDArray[np.bool_], spacing: tuple[float, float, float]
) -> float:
    from scipy import ndimage  # here and below: who counts voxels can spare it

    if not (a.any() and b.any()):
        return math.inf if a.any() or b.any() else 0.0
    # Edges and the ways between them lie in the box of both; one voxel more shows what is outside.
    box = bounding_box(a | b)
    edges = [_edge(np.pad(mask[box], 1)) for mask in (a, b)]
    directed = [
        np.percentile(ndimage.distance_transform_edt(~there, sampling=spacing)[here], 95)
        for here, there in (edges, edges[::-1])
    ]
    return float(max(directed))


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    return mask & ~ndimage.binary_erosion(mask)


DICE = Measure("dice", dice_from_counts)
DICE_IN_TISSUE = Measure("dice-in-tissue", dice_from_counts, inside_tissue=True)

MEASURES = {
    measure.name: measure
    for measure in (
        DICE,
        Measure("jaccard", jaccard_from_counts),
        DICE_IN_TISSUE,
        Measure("l2", l2_from_counts, larger_is_better=False),
        Measure("hausdorff95", from_masks=hausdorff95, larger_is_better=False),
    )
}
"""Measures by name."""


def find_measure(name: str, *, weights: Weights = (1.0, 1.0)) -> Measure:
    """Find a measure by its name, or make one of a function of your own.

    Parameters
    ----------
    name : str
        One of `MEASURES`, or `module:function` for a function of the query and a simulated tumour
        (both TumorMasks on one grid) that returns a number, the larger the more alike.
    weights : (core, whole) float
        Weights of the outlines; a function of your own weighs them itself.

    Returns
    -------
    Measure

    Raises
    ------
    InputError
        If there is no such measure, module or function, or the weights do not fit.
    """
    if name in MEASURES:
        return dataclasses.replace(MEASURES[name], weights=weights)
    if ":" not in name:
        raise InputError(
            f"unknown measure {name!r}: choose one of {', '.join(MEASURES)}, or name a "
            "function as module:function"
        )
    function = import_named(name, "the measure")
    if not callable(function):
        raise InputError(f"the measure {name} is no function")
    if weights != (1.0, 1.0):
        raise InputError(f"the measure {name} weighs the outlines itself: leave the weights out")
    return Measure(name, from_masks=UserFunction(name, function))


@dataclass(frozen=True)
class UserFunction:
    """A user's function of two pairs of outlines, as a measure calls it.

    Attributes
    ----------
    name : str
        Name by which the user asked for it.
    function : callable(query, tumour)
        Returns a number.
    """

    name: str
    function: Callable[[TumorMasks, TumorMasks], float]

    def __call__(self, query: TumorMasks, tumor: TumorMasks, weights: Weights) -> float:
        """The function's value.

        Raises
        ------
        InputError
            If the function returns NaN.
        """
        value = float(self.function(query, tumor))
        if math.isnan(value):
            raise InputError(
                f"the measure {self.name} returned NaN, which has no place in a ranking"
            )
        return value
