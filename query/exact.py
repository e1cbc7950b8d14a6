"""Exact search: find the k most similar simulated tumours without scoring all of them.

    score = 2 |A n Q| / (|A| + |Q|)  of the cores  +  the same of the wholes

or another measure that follows from |A n Q|, |A| and |Q|. The tumours stand in groups of alike ones
(`index.groups`). Three steps, none of which can lose a match:

1. An upper bound of the scores in every group. In each coarse block b an intersection is at most
   min(a_b, q_b), where a_b and q_b are the voxels of the tumour and of the query in it; the group
   knows the largest a_b, and the least and largest volume.
2. The members of the groups with the highest bounds are bounded each by its own a_b, and those of
   the highest bounds are scored exactly. The k-th best score so far is a level that a match has to
   reach: groups and tumours whose bound does not reach it are done with.
3. So it goes on with the other groups in the order of their bounds, while the level rises, until
   the next bound stays below it.

Bounds and scores come from one formula in float64, each step of which is rounded correctly and
therefore monotone: a bound is never below its score, and no tolerance is needed. Distances are
negated: a larger *merit* is better, for every measure.

Ventricles (`ventricles`) add a term that is known of every tumour beforehand: it joins bounds and
scores alike, and rounding is monotone there, too.

For a measure of the masks themselves there is no such bound: every tumour is unpacked and scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..dbgen.machine.progress import Progress, silent
from ..errors import InputError
from ..solver import TumorMasks
from ..solver.own_settings import own_arithmetic
from .counting import CutQuery, bound_groups, bound_members, intersect
from .dice import dice_from_counts
from .index.index import Index
from .match import Match
from .measures import DICE, Measure
from .ventricles import VentricleTerm

FIRST_GROUPS = 16
"""Groups whose members are bounded in the first batch; each batch has twice as many."""

MAX_GROUPS = 128
"""Most groups at a time: the level may rise after each batch, and spare the next one."""

FIRST_BATCH = 40
"""Tumours scored in the first batch; each batch has twice as many."""

MAX_BATCH = 160
"""Most tumours scored at a time."""


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
    ventricles: VentricleTerm | None = None,
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
    ventricles : VentricleTerm, optional
        What the ventricles add to each score, as `PushedVentricles.compared` finds it.
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
        If k or empty_score is out of range, the masks lie on another grid, or ventricles are to be
        added to distances or to another database's scores.
    """
    return search_counted(
        index,
        masks,
        k=k,
        measure=measure,
        empty_score=empty_score,
        ventricles=ventricles,
        progress=progress,
    ).matches


@own_arithmetic()
def search_counted(
    index: Index,
    masks: TumorMasks,
    *,
    k: int = 15,
    measure: Measure = DICE,
    empty_score: float = 0.0,
    ventricles: VentricleTerm | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """`search`, which also says how many tumours it had to look at.

    Parameters
    ----------
    index, masks, k, measure, empty_score, ventricles : as in `search`
    progress : callable(done, total)
        As in `search`.

    Returns
    -------
    SearchResult
    """
    check_request(k, empty_score)
    if ventricles is not None:
        _check_term(index, measure, ventricles)
    if measure.from_counts is None:
        return _search_all(index, masks, k, measure, empty_score, progress)
    return _search_bounded(index, CutQuery.of(index, masks), k, measure, empty_score, ventricles)


@own_arithmetic()
def search_many(
    index: Index,
    queries: Iterable[TumorMasks],
    *,
    k: int = 15,
    measure: Measure = DICE,
    empty_score: float = 0.0,
) -> list[list[Match]]:
    """Search with one query after the other.

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
    return [
        search(index, masks, k=k, measure=measure, empty_score=empty_score) for masks in queries
    ]


@own_arithmetic()
def score_samples(
    index: Index,
    masks: TumorMasks,
    samples: Sequence[int],
    *,
    measure: Measure = DICE,
    empty_score: float = 0.0,
    ventricles: VentricleTerm | None = None,
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
    ventricles : VentricleTerm, optional
        As in `search`.

    Returns
    -------
    list of Match

    Raises
    ------
    InputError
        If the index holds no such sample, or as in `search`.
    """
    check_request(1, empty_score)
    ids = index.require_samples(samples)
    query = CutQuery.of(index, masks)
    counts = intersect(index, query, ids)
    if measure.from_counts is not None:
        merits = measure.merit(counts, query.totals(index, measure, ids), empty_score)
    else:
        merits = np.array([measure.merit_of_masks(masks, index.outlines(int(i))) for i in ids])
    if ventricles is not None:
        _check_term(index, measure, ventricles)
        merits = merits + ventricles.merit(ids)
    return make_matches(index, query, ids, merits, counts, measure, empty_score, ventricles)


def check_request(k: int, empty_score: float = 0.0) -> None:
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


def _check_term(index: Index, measure: Measure, ventricles: VentricleTerm) -> None:
    if measure.from_counts is None or not measure.larger_is_better:
        raise InputError(
            f"the Dice of the ventricles is added to a score of overlap, {measure.name} is none"
        )
    if len(ventricles.dice) != index.n_samples:
        raise InputError(
            f"the ventricles are of {len(ventricles.dice)} tumours, the index of {index.n_samples}"
        )


def _search_bounded(
    index: Index,
    query: CutQuery,
    k: int,
    measure: Measure,
    empty_score: float,
    ventricles: VentricleTerm | None,
) -> SearchResult:
    bounds = bound_groups(index, query, measure, empty_score)
    if ventricles is not None:
        bounds = bounds + ventricles.merit(index.members).max(axis=1)
    best, n_scored, batch = _Best(min(k, index.n_samples)), 0, max(FIRST_BATCH, k)
    for groups in _batches(bounds, best):
        ids, of_ids = bound_members(index, query, groups, measure, empty_score)
        if ventricles is not None:
            of_ids = of_ids + ventricles.merit(ids)
        order = np.flatnonzero(of_ids >= best.level)
        order = order[np.argsort(-of_ids[order])]
        while len(order) and of_ids[order[0]] >= best.level:
            some, order = order[:batch], order[batch:]
            some = some[best.may_enter(of_ids[some], ids[some])]
            if not len(some):  # they are no better than the last of the best, and come after it
                continue
            counts = intersect(index, query, ids[some])
            totals = query.totals(index, measure, ids[some])
            merits = measure.merit(counts, totals, empty_score)
            if ventricles is not None:
                merits = merits + ventricles.merit(ids[some])
            best.add(ids[some], merits, counts)
            n_scored, batch = n_scored + len(some), min(2 * batch, MAX_BATCH)
    matches = make_matches(
        index, query, best.ids, best.merits, best.counts, measure, empty_score, ventricles
    )
    return SearchResult(matches, n_scored)


def _batches(bounds: NDArray[np.float64], best: _Best) -> Iterator[NDArray[np.intp]]:
    """Groups in the order of their bounds, as long as these reach the level, which rises."""
    size = min(FIRST_GROUPS, len(bounds))
    first = np.argpartition(bounds, len(bounds) - size)[len(bounds) - size :]
    yield first
    may = bounds >= best.level
    may[first] = False
    rest = np.flatnonzero(may)
    rest = rest[np.argsort(-bounds[rest])]
    while len(rest) and bounds[rest[0]] >= best.level:
        size = min(2 * size, MAX_GROUPS)
        some, rest = rest[:size], rest[size:]
        yield some[bounds[some] >= best.level]


def _search_all(
    index: Index,
    masks: TumorMasks,
    k: int,
    measure: Measure,
    empty_score: float,
    progress: Progress,
) -> SearchResult:
    query = CutQuery.of(index, masks)
    samples = index.samples
    merits = np.empty(len(samples))
    for n_done, sample in enumerate(samples.tolist()):
        merits[n_done] = measure.merit_of_masks(masks, index.outlines(sample))
        index.release_bits()
        progress(n_done + 1, len(samples))
    first = np.lexsort((samples, -merits))[:k]
    ids = samples[first]
    counts = intersect(index, query, ids)
    matches = make_matches(index, query, ids, merits[first], counts, measure, empty_score)
    return SearchResult(matches, len(samples))


def make_matches(
    index: Index,
    query: CutQuery,
    ids: NDArray[np.intp],
    merits: NDArray[np.float64],
    counts: NDArray[np.int64],
    measure: Measure,
    empty_score: float,
    ventricles: VentricleTerm | None = None,
) -> list[Match]:
    """Matches from ids, merits (n,) and intersections (2, n), with the Dice of each."""
    totals = query.totals(index, DICE, ids)
    core, whole = dice_from_counts(counts, totals, empty_score=empty_score)
    scores = merits if measure.larger_is_better else -merits
    third = [None] * len(ids) if ventricles is None else ventricles.dice[ids].tolist()
    columns = (ids.tolist(), scores.tolist(), core.tolist(), whole.tolist(), third)
    return [Match(*row) for row in zip(*columns, strict=True)]


class _Best:
    """The k best tumours so far, best first, equal merits by ascending id."""

    def __init__(self, k: int) -> None:
        self._k = k
        self.ids = np.zeros(0, np.intp)
        self.merits = np.zeros(0)
        self.counts = np.zeros((2, 0), np.int64)

    @property
    def level(self) -> float:
        """The k-th best merit; as long as there are fewer, any merit reaches it."""
        return float(self.merits[self._k - 1]) if len(self.ids) >= self._k else -np.inf

    def may_enter(self, bounds: NDArray[np.float64], ids: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether tumours of these bounds may be among the best; on a tie the lower id wins."""
        last = self.ids[-1] if len(self.ids) else 0
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
