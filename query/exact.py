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
negated: *merit* is what is the larger the better, for every measure.

For a measure of the masks themselves there is no such bound: every tumour is unpacked and scored.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..solver import TumorMasks
from .blocks import count_voxels, cut_blocks, sum_coarse
from .dice import OUTLINES, dice_from_counts
from .index import Index
from .match import Match
from .measures import DICE, Measure

SEEDS = 64
"""Tumours scored to find a first level, and in the first batch after it."""

MAX_BATCH = 1024
"""Most tumours scored at a time: about 10 MB of blocks."""

SHARED = 16
"""Queries whose bounds are found in one scan."""

TILE = 2**16
"""Tumours scanned at a time: their counts in a block stay in the cache for all these queries."""

Progress = Callable[[int, int], None]


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


def search(
    index: Index,
    masks: TumorMasks,
    *,
    k: int = 15,
    measure: Measure = DICE,
    empty_score: float = 0.0,
    progress: Progress = lambda done, total: None,
) -> list[Match]:
    """Find the k simulated tumours that are most like the outlines.

    Parameters
    ----------
    index : Index
        Of the database to search.
    masks : TumorMasks
        The outlines, on the index's grid. Voxels where no tumour can be, outside the brain say,
        count in their volume. Either outline may be empty.
    k : int
        Number of matches, 1 to the number of samples.
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
    ValueError
        If k or empty_score is out of range, or the masks lie on another grid.
    """
    return search_counted(
        index, masks, k=k, measure=measure, empty_score=empty_score, progress=progress
    ).matches


def search_counted(
    index: Index,
    masks: TumorMasks,
    *,
    k: int = 15,
    measure: Measure = DICE,
    empty_score: float = 0.0,
    progress: Progress = lambda done, total: None,
) -> SearchResult:
    """`search`, which also says how many tumours it had to look at."""
    check_request(index, k, empty_score)
    if measure.from_counts is None:
        return _search_all(index, masks, k, measure, empty_score, progress)
    query = CutQuery.of(index, masks)
    (bounds,) = _bound_intersections(index, [query])
    return _search_bounded(index, query, bounds, k, measure, empty_score)


def search_many(
    index: Index,
    queries: Iterable[TumorMasks],
    *,
    k: int = 15,
    measure: Measure = DICE,
    empty_score: float = 0.0,
) -> list[list[Match]]:
    """`search` for each query; they share the scans that find their bounds."""
    check_request(index, k, empty_score)
    if measure.from_counts is None:
        return [
            search(index, masks, k=k, measure=measure, empty_score=empty_score) for masks in queries
        ]
    found = []
    waiting = iter(queries)
    while batch := [CutQuery.of(index, masks) for masks in itertools.islice(waiting, SHARED)]:
        for query, bounds in zip(batch, _bound_intersections(index, batch), strict=True):
            result = _search_bounded(index, query, bounds, k, measure, empty_score)
            found.append(result.matches)
    return found


def score_samples(
    index: Index,
    masks: TumorMasks,
    samples: Sequence[int],
    *,
    measure: Measure = DICE,
    empty_score: float = 0.0,
) -> list[Match]:
    """Score some tumours alone, as `search` would; matches in the order of the samples.

    Raises
    ------
    ValueError
        If the index holds no such sample, or as in `search`.
    """
    check_request(index, 1, empty_score)
    ids = np.asarray(samples, np.intp)
    if ((ids < 0) | (ids >= index.n_samples)).any():
        raise ValueError(f"samples are numbered 0 to {index.n_samples - 1}, got {list(samples)}")
    query = CutQuery.of(index, masks)
    counts = _intersect(index, query, ids)
    if measure.from_counts is not None:
        merits = measure.merit(counts, query.totals(index, measure, ids), empty_score)
    else:
        merits = np.array([measure.merit_of_masks(masks, index.outlines(int(i))) for i in ids])
    return make_matches(index, query, ids, merits, counts, measure, empty_score)


def check_request(index: Index, k: int, empty_score: float) -> None:
    """Refuse what no search can answer.

    Raises
    ------
    ValueError
        If k or empty_score is out of range.
    """
    if not 1 <= k <= index.n_samples:
        raise ValueError(
            f"k, the number of matches, is 1 to {index.n_samples} (the samples indexed), got {k}"
        )
    if not 0 <= empty_score <= 1:
        raise ValueError(f"empty_score, the Dice of two empty masks, is 0 to 1, got {empty_score}")


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
    best = _Best(k)

    def score(ids: NDArray[np.intp]) -> None:
        counts = _intersect(index, query, ids)
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
        progress(sample + 1, index.n_samples)
    ids = np.lexsort((np.arange(index.n_samples), -merits))[:k]
    counts = _intersect(index, query, ids)
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


@dataclass(frozen=True, eq=False)
class CutQuery:
    """A query's outlines cut into blocks; only the volumes know of voxels that no tumour has.

    Attributes
    ----------
    volumes : (2,) int64 array
    blocks : (2, n_blocks, WORDS) uint64 array
    counts : (2, n_blocks) uint16 array
    coarse : (2, n_coarse) uint16 array
    """

    volumes: NDArray[np.int64]
    blocks: NDArray[np.uint64]
    counts: NDArray[np.uint16]
    coarse: NDArray[np.uint16]

    @classmethod
    def of(cls, index: Index, masks: TumorMasks) -> CutQuery:
        """Cut the outlines to the tissue of an index.

        Raises
        ------
        ValueError
            If they lie on another grid.
        """
        if masks.grid != index.grid:
            raise ValueError(
                f"the masks lie on a grid of {masks.grid}, the index needs {index.grid}: "
                "resample them"
            )
        outlines = [getattr(masks, name) for name in OUTLINES]
        volumes = np.array([np.count_nonzero(mask) for mask in outlines], np.int64)
        packed = np.stack([np.packbits(mask[index.box], axis=-1) for mask in outlines])
        blocks = cut_blocks(packed) & index.tissue
        counts = count_voxels(blocks)
        return cls(volumes, blocks, counts, sum_coarse(counts, index.block_shape))

    def totals(
        self, index: Index, measure: Measure, ids: NDArray[np.intp] | slice = slice(None)
    ) -> NDArray[np.int64]:
        """|A| + |Q| (2, n) of tumours, with the part of Q that counts for the measure."""
        if measure.inside_tissue:
            volumes = self.counts.sum(axis=1, dtype=np.int64)
        else:
            volumes = self.volumes
        return index.volumes[:, ids] + volumes[:, None]


def _bound_intersections(
    index: Index, queries: Sequence[CutQuery]
) -> Iterator[NDArray[np.unsignedinteger]]:
    """Upper bounds (2, n_samples) of the intersections with all tumours, for each query."""
    n = index.n_samples
    # Sums stay below the query's volume. 16 bits, if they suffice, halve the time.
    bounds = [
        np.zeros((2, n), np.uint16 if q.coarse.sum(axis=1).max() < 2**16 else np.uint32)
        for q in queries
    ]
    asked = np.array([query.coarse for query in queries])
    row = np.empty(min(TILE, n), np.uint16)
    for start in range(0, n, TILE):
        tile = slice(start, min(start + TILE, n))
        least = row[: tile.stop - start]
        for outline in range(2):
            sums = [bound[outline, tile] for bound in bounds]
            for block in np.flatnonzero(asked[:, outline].any(axis=0)):
                stored = index.coarse[outline, block, tile]
                in_block = asked[:, outline, block]
                for i in np.flatnonzero(in_block):
                    np.minimum(stored, in_block[i], out=least)
                    np.add(sums[i], least, out=sums[i])
    return iter(bounds)


def _intersect(index: Index, query: CutQuery, ids: NDArray[np.intp]) -> NDArray[np.int64]:
    """Exact intersections (2, n) with the tumours of these ids."""
    outlines = (2 * ids + np.arange(2)[:, None]).ravel()  # all cores, then all wholes
    n_blocks = len(index.tissue)
    sums = np.zeros(len(outlines), np.int64)

    entries, owners = _entries(index.full_starts, outlines)
    places = index.full_blocks[entries] + n_blocks * (owners >= len(ids))
    sums += np.bincount(owners, query.counts.ravel()[places], len(outlines)).astype(np.int64)

    entries, owners = _entries(index.mixed_starts, outlines)
    places = index.mixed_blocks[entries] + n_blocks * (owners >= len(ids))
    asked = query.counts.ravel()[places] > 0  # blocks that the query does not touch stay unread
    entries, owners, places = entries[asked], owners[asked], places[asked]
    bits = index.mixed_bits.take(entries, axis=0)
    bits &= query.blocks.reshape(-1, bits.shape[1]).take(places, axis=0)
    counts = count_voxels(bits)
    index.release_bits()
    # Weights are summed in float64, which is exact for these integers.
    sums += np.bincount(owners, counts, len(outlines)).astype(np.int64)
    return sums.reshape(2, len(ids))


def _entries(
    starts: NDArray[np.int64], outlines: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of all entries of some outlines, and which of the outlines each belongs to."""
    first = starts[outlines]
    lengths = starts[outlines + 1] - first
    owners = np.repeat(np.arange(len(outlines)), lengths)
    shift = first - (np.cumsum(lengths) - lengths)
    return np.arange(len(owners)) + shift[owners], owners


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
