"""How good a ranking, a density and a probability are, compared with the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FACTORS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)
"""Sizes of the judged volumes, as multiples of the standard plan's."""

LEAST_CELLS = 0.01
"""True density at which a voxel counts as tumour for a ranking."""

N_BINS = 10
"""Number of bins of probability, each a tenth wide."""


@dataclass(frozen=True)
class RankedBrain:
    """How good a ranking of the brain is.

    Attributes
    ----------
    coverage : tuple of float
        For each of `FACTORS`, the share of the true cells outside the outlined core that a volume
        of this size holds.
    average_precision, roc_auc : float
        Scores of the ranking for {true u >= 0.01} in the brain outside the whole outline.
    """

    coverage: tuple[float, ...]
    average_precision: float
    roc_auc: float


@dataclass(frozen=True)
class Reliability:
    """Claimed probabilities and true shares, by tenths.

    Attributes
    ----------
    n : tuple of int
        Voxels in each bin.
    claimed, true : tuple of float
        Sum of the probability over these voxels, and number of them in which the truth exceeds the
        density.
    """

    n: tuple[int, ...]
    claimed: tuple[float, ...]
    true: tuple[float, ...]


def score_ranking(
    ranking: NDArray[np.floating],
    core: NDArray[np.bool_],
    whole: NDArray[np.bool_],
    truth: NDArray[np.floating],
    n_standard: int,
) -> RankedBrain:
    """Score a ranking of the brain; voxels of one rank are taken in their order.

    A volume holds the core first, then the voxels that rank highest.

    Parameters
    ----------
    ranking, core, whole, truth : (n,) array
        For the brain's voxels: rank, whether outlined, true density.
    n_standard : int
        Voxels of the standard plan.
    """
    order = np.argsort(-ranking, kind="stable")
    order = np.concatenate([order[core[order]], order[~core[order]]])
    sizes = [round(n_standard * factor) for factor in FACTORS]
    outside = order[~whole[order]]
    return RankedBrain(
        cover(np.where(core, 0, truth)[order], sizes), *rank_scores(truth[outside] >= LEAST_CELLS)
    )


def cover(cells: NDArray[np.floating], sizes: list[int]) -> tuple[float, ...]:
    """Share of all cells that volumes hold.

    Parameters
    ----------
    cells : (n,) array
        Cells of the voxels that count, in the order of treatment.
    sizes : list of int
        Sizes of the volumes in voxels.
    """
    held = np.concatenate([[0], np.cumsum(cells, dtype=np.float64)])
    return tuple(float(held[min(size, len(cells))] / held[-1]) for size in sizes)


def rank_scores(is_tumour: NDArray[np.bool_]) -> tuple[float, float]:
    """Average precision and area under the ROC curve of voxels in the order of their rank.

    Two million voxels are ranked twelve times a case: the order is known here, and what
    scikit-learn would sort for each score need not be sorted again.

    Parameters
    ----------
    is_tumour : (n,) bool array

    Returns
    -------
    tuple of two float
        NaN where all voxels are of one kind.
    """
    places = np.flatnonzero(is_tumour)
    n, n_others = len(places), len(is_tumour) - len(places)
    if not n or not n_others:
        return np.nan, np.nan
    hits = np.arange(1, n + 1)
    precision = hits / (places + 1)
    others_before = places + 1 - hits
    return float(precision.mean()), float(1 - others_before.mean() / n_others)


def judge_probabilities(
    probability: NDArray[np.floating], exceeds: NDArray[np.bool_]
) -> Reliability:
    """Compare the probability that a density is exceeded with the truth.

    Parameters
    ----------
    probability : (n,) array
        In [0, 1].
    exceeds : (n,) bool array
    """
    bins = np.minimum((probability * N_BINS).astype(int), N_BINS - 1)
    n, claimed, true = (
        np.bincount(bins, weights, N_BINS) for weights in (None, probability, exceeds)
    )
    return Reliability(tuple(n.tolist()), tuple(claimed.tolist()), tuple(true.tolist()))
