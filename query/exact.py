"""Exact search: the k simulated tumours that are most like a query, without looking at all.

    score = 2 |A n Q| / (|A| + |Q|)  of the cores  +  the same of the wholes

or another measure that follows from |A n Q|, |A| and |Q|. Three steps, none of which can lose a
match:

1. An upper bound of every tumour's score. In each coarse block b an intersection is at most
   min(a_b, q_b), where a_b and q_b are the voxels of the tumour and of the query in it.
2. The tumours of the highest bounds are scored exactly. The k-th best score so far is a level
   that a match has to reach: tumours whose bound does not reach it are done with.
3. The others are scored exactly in the order of their bounds, while the level rises, until the
   next bound stays below it.

Bounds and scores come from one formula in float64, each step of which is rounded correctly and
therefore monotone: a bound is never below its score, and no tolerance is needed. Distances are
negated: a larger *merit* is better, for every measure.

For a measure of the masks themselves there is no such bound: every tumour is unpacked and scored.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..dbgen.machine.progress import Progress, silent
from ..errors import InputError
from ..solver import TumorMasks
from ..solver.own_settings import own_arithmetic
from .counting import CutQuery, bound_intersections, intersect
from .dice import dice_from_counts
from .index.index import Index
from .match import Match
from .measures import DICE, Measure

SEEDS = 64
"""Tumours scored to find a first level, and in the first batch after it."""

MAX_BATCH = 512
"""Most tumours scored at a time: at most 100 MB, with all blocks of them touched."""

SHARED = 16
"""Queries whose bounds are found in one scan."""


@dataclass(frozen=True)
class SearchResult:
    """Matches, and what it took to find them.

    Attributes
    ----------
    matches : list of Match
        Best first; equal scores by ascending id.
    n_scored : int
        Tumours whose score was computed from their bits; the bounds ruled out all others.
    """

    matches: list[Match]
    n_scored: int


@own_arithmetic()
def search(
    index: Index,
    masks: TumorMasks,
    *,
    k: int = 15,
    measure: Measure = DICE,
    empty_score: float = 0.0,
    progress: Progress = silent,
) -> list[Match]:
    """Find the k simulated tumours that are most like the outlines.

    Parameters
    ----------
    index : Index
        Index of the database to search.
    masks : TumorMasks
        The outlines, on the index's grid. Voxels where no tumour can be, outside the brain say,
        count in their volume. Either outline may be empty.
    k : int
        Number of matches; all where there are fewer samples.
    measure : Measure
        What to rank by.
    empty_score : float in [0, 1]
        Dice, or Jaccard, of two empty outlines. 0 is what the code of the paper's authors does.
    progress : callable(done, total)
        Called with the number of tumours scored where a measure has to see all of them.

    Returns
    -------
    list of Match
        Best first, equal scores by ascending id: ids and scores exactly those of a loop over all
        the tumours.

    Raises
    ------
    InputError
        If k or empty_score is out of range, or the masks lie on another grid.
    """
    return search_counted(
        index, masks, k=k, measure=measure, empty_score=empty_score, progress=progress
    ).matches


@own_arithmetic()
def search_counted(
    index: Index,
    masks: TumorMasks,
    *,
    k: int = 15,
    measure: Measure = DICE,
    empty_score: float = 0.0,
    progress: Progress = silent,
) -> SearchResult:
    """`search`, which also says how many tumours it had to look at.

    Parameters
    ----------
    index, masks, k, measure, empty_score : as in `search`
    progress : callable(done, total)
        Called as tumours are done.

    Returns
    -------
    SearchResult
    """
    check_request(k, empty_score)
    if measure.from_counts is None:
        return _search_all(index, masks, k, measure, empty_score, progress)
    query = CutQuery.of(index, masks)
    (bounds,) = bound_intersections(index, [query])
    return _search_bounded(index, query, bounds, k, measure, empty_score)


@own_arithmetic()
def search_many(
    index: Index,
    queries: Iterable[TumorMasks],
    *,
    k: int = 15,
    measure: Measure = DICE,
    empty_score: float = 0.0,
) -> list[list[Match]]:
    """Search with many queries, which share the scans that find their bounds.

    Parameters
    ----------
    index : Index
        Index of the database to search.
    queries : iterable of TumorMasks
        Outlines, each pair as in `search`.
    k, measure, empty_score
        As in `search`.

    Returns
    -------
    list of list of Match
        For each query what `search` finds, in the order of the queries.

    Raises
    ------
    InputError
        As in `search`.
    """
    check_request(k, empty_score)
    if measure.from_counts is None:
        return [
            search(index, masks, k=k, measure=measure, empty_score=empty_score) for masks in queries
        ]
    found = []
    waiting = iter(queries)
    while batch := [CutQuery.of(index, masks) for masks in itertools.islice(waiting, SHARED)]:
        for query, bounds in zip(batch, bound_intersections(index, batch), strict=True):
            result = _search_bounded(index, query, bounds, k, measure, empty_score)
            found.append(result.matches)
    return found


@own_arithmetic()
def score_samples(
    index: Index,
    masks: TumorMasks,
    samples: Sequence[int],
    *,
    measure: Measure = DICE,
    empty_score: float = 0.0,
) -> list[Match]:
    """Score some tumours alone, as `search` would; matches in the order of the samples.

    Parameters
    ----------
    index : Index
    masks : TumorMasks
        The patient's outlines, on the index's grid.
    samples : sequence of int
        Numbers of the tumours.
    measure : Measure
        How alike two outlines are.
    empty_score : float
        What two empty outlines score.

    Returns
    -------
    list of Match

    Raises
    ------
    InputError
        If the index holds no such sample, or as in `search`.
    """
    check_request(1, empty_score)
    ids = np.asarray(samples, np.intp)
    if ((ids < 0) | (ids >= index.n_samples)).any():
        raise InputError(f"samples are numbered 0 to {index.n_samples - 1}, got {list(samples)}")
    query = CutQuery.of(index, masks)
    counts = intersect(index, query, ids)
    if measure.from_counts is not None:
        merits = measure.merit(counts, query.totals(index, measure, ids), empty_score)
    else:
        merits = np.array([measure.merit_of_masks(masks, index.outlines(int(i))) for i in ids])
    return make_matches(index, query, ids, merits, counts, measure, empty_score)


def check_request(k: int, empty_score: float) -> None:
    """Refuse what no search can answer.

    Raises
    ------
    InputError
        If k or empty_score is out of range.
    """
    if k < 1:
        raise InputError(f"k, the number of matches, is 1 or more, got {k}")
    if not 0 <= empty_score <= 1:
        raise InputError(f"empty_score, the Dice of two empty masks, is 0 to 1, got {empty_score}")


def _search_bounded(
    index: Index,
    query: CutQuery,
    bounds_on_intersections: NDArray[np.unsignedinteger],
    k: int,
    measure: Measure,
    empty_score: float,
) -> SearchResult:
    totals = query.totals(index, measure)
    bounds = measure.merit(bounds_on_intersections, totals, empty_score)
    best = _Best(min(k, index.n_samples))

    def score(ids: NDArray[np.intp]) -> None:
        counts = intersect(index, query, ids)
        best.add(ids, measure.merit(counts, totals[:, ids], empty_score), counts)

    n_seeds = min(max(SEEDS, k), index.n_samples)
    seeds = np.argpartition(bounds, index.n_samples - n_seeds)[index.n_samples - n_seeds :]
    score(seeds)
    bounds[seeds] = -np.inf  # never scored twice: every level is finite
    open_ids = np.flatnonzero(bounds >= best.level)
    open_ids = open_ids[np.argsort(-bounds[open_ids], kind="stable")]
    n_scored, batch = n_seeds, SEEDS
    while len(open_ids):
        ids, open_ids = open_ids[:batch], open_ids[batch:]
        ids = ids[best.may_enter(bounds[ids], ids)]
        if not len(ids):
            # Bounds fall and ids of equal bounds rise from here on: no later one may enter.
            break
        score(ids)
        n_scored, batch = n_scored + len(ids), min(2 * batch, MAX_BATCH)
    matches = make_matches(index, query, best.ids, best.merits, best.counts, measure, empty_score)
    return SearchResult(matches, n_scored)


def _search_all(
    index: Index,
    masks: TumorMasks,
    k: int,
    measure: Measure,
    empty_score: float,
    progress: Progress,
) -> SearchResult:
    query = CutQuery.of(index, masks)
    merits = np.empty(index.n_samples)
    for sample in range(index.n_samples):
        merits[sample] = measure.merit_of_masks(masks, index.outlines(sample))
        index.release_bits()
        progress(sample + 1, index.n_samples)
    ids = np.lexsort((np.arange(index.n_samples), -merits))[:k]
    counts = intersect(index, query, ids)
    matches = make_matches(index, query, ids, merits[ids], counts, measure, empty_score)
    return SearchResult(matches, index.n_samples)


def make_matches(
    index: Index,
    query: CutQuery,
    ids: NDArray[np.intp],
    merits: NDArray[np.float64],
    counts: NDArray[np.int64],
    measure: Measure,
    empty_score: float,
) -> list[Match]:
    """Matches from ids, merits (n,) and intersections (2, n), with the Dice of each."""
    totals = query.totals(index, DICE, ids)
    core, whole = dice_from_counts(counts, totals, empty_score=empty_score)
    scores = merits if measure.larger_is_better else -merits
    return [
        Match(*row)
        for row in zip(ids.tolist(), scores.tolist(), core.tolist(), whole.tolist(), strict=True)
    ]


class _Best:
    """The k best tumours so far, best first, equal merits by ascending id."""

    def __init__(self, k: int) -> None:
        self._k = k
        self.ids = np.zeros(0, np.intp)
        self.merits = np.zeros(0)
        self.counts = np.zeros((2, 0), np.int64)

    @property
    def level(self) -> float:
        """The k-th best merit."""
        return float(self.merits[self._k - 1])

    def may_enter(self, bounds: NDArray[np.float64], ids: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether tumours of these bounds may be among the best; on a tie the lower id wins."""
        last = self.ids[self._k - 1]
        return (bounds > self.level) | ((bounds == self.level) & (ids < last))

    def add(
        self, ids: NDArray[np.intp], merits: NDArray[np.float64], counts: NDArray[np.int64]
    ) -> None:
        """Take in tumours with their merits (n,) and intersections (2, n)."""
        ids = np.concatenate([self.ids, ids])
        merits = np.concatenate([self.merits, merits])
        counts = np.concatenate([self.counts, counts], axis=1)
        order = np.lexsort((ids, -merits))[: self._k]
        self.ids, self.merits, self.counts = ids[order], merits[order], counts[:, order]
