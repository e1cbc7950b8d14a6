"""Exact search: the k simulated tumours that overlap a query best, without looking at all.

    score = 2 |A n Q| / (|A| + |Q|)  of the cores  +  the same of the wholes

Three steps, none of which can lose a match:

1. An upper bound of every tumour's score. In each coarse block b an intersection is at most
   min(a_b, q_b), where a_b and q_b are the voxels of the tumour and of the query in it.
2. The tumours of the highest bounds are scored exactly. The k-th best score so far is a level
   that a match has to reach: tumours whose bound does not reach it are done with.
3. The others are scored exactly in the order of their bounds, while the level rises, until the
   next bound stays below it.

Bounds and scores come from one formula in float64, each step of which is rounded correctly and
therefore monotone: a bound is never below its score, and no tolerance is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..solver import TumorMasks
from .blocks import count_voxels, cut_blocks, sum_coarse
from .dice import OUTLINES, dice_from_counts
from .index import Index
from .match import Match

SEEDS = 64
"""Tumours scored to find a first level, and in the first batch after it."""

MAX_BATCH = 1024
"""Most tumours scored at a time: about 10 MB of blocks."""


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
    index: Index, masks: TumorMasks, *, k: int = 15, empty_score: float = 0.0
) -> list[Match]:
    """Find the k simulated tumours that overlap the outlines best.

    Parameters
    ----------
    index : Index
        Of the database to search.
    masks : TumorMasks
        The outlines, on the index's grid. Voxels where no tumour can be, outside the brain say,
        count in their volume. Either outline may be empty.
    k : int
        Number of matches, 1 to the number of samples.
    empty_score : float in [0, 1]
        Dice of two empty outlines. 0 is what the code of the paper's authors does.

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
    return search_counted(index, masks, k=k, empty_score=empty_score).matches


def search_many(
    index: Index, queries: Iterable[TumorMasks], *, k: int = 15, empty_score: float = 0.0
) -> list[list[Match]]:
    """`search` for each query."""
    return [search(index, masks, k=k, empty_score=empty_score) for masks in queries]


def search_counted(
    index: Index, masks: TumorMasks, *, k: int = 15, empty_score: float = 0.0
) -> SearchResult:
    """`search`, which also says how many tumours it had to look at."""
    if not 1 <= k <= index.n_samples:
        raise ValueError(
            f"k, the number of matches, is 1 to {index.n_samples} (the samples indexed), got {k}"
        )
    if not 0 <= empty_score <= 1:
        raise ValueError(f"empty_score, the Dice of two empty masks, is 0 to 1, got {empty_score}")
    query = _Query.of(index, masks)
    totals = index.volumes + query.volumes[:, None]

    def dice(
        intersections: NDArray[np.int64], ids: NDArray[np.intp] | slice
    ) -> NDArray[np.float64]:
        return dice_from_counts(intersections, totals[:, ids], empty_score=empty_score)

    bound_core, bound_whole = dice(_bound_intersections(index, query), slice(None))
    bounds = bound_core + bound_whole
    n_seeds = min(max(SEEDS, k), index.n_samples)
    seeds = np.argpartition(bounds, index.n_samples - n_seeds)[index.n_samples - n_seeds :]
    best = _Best(k)
    best.add(seeds, dice(_intersect(index, query, seeds), seeds))

    bounds[seeds] = -1.0  # never scored twice: no score, nor level, is negative
    open_ids = np.flatnonzero(bounds >= best.level)
    open_ids = open_ids[np.argsort(-bounds[open_ids], kind="stable")]
    n_scored, batch = n_seeds, SEEDS
    while len(open_ids):
        ids, open_ids = open_ids[:batch], open_ids[batch:]
        ids = ids[best.may_enter(bounds[ids], ids)]
        if not len(ids):
            # Bounds fall and ids of equal bounds rise from here on: no later one may enter.
            break
        best.add(ids, dice(_intersect(index, query, ids), ids))
        n_scored, batch = n_scored + len(ids), min(2 * batch, MAX_BATCH)
    return SearchResult(best.matches(), n_scored)


@dataclass(frozen=True, eq=False)
class _Query:
    """Outlines cut into blocks; only the volumes know of voxels that no tumour has."""

    volumes: NDArray[np.int64]  # (2,)
    blocks: NDArray[np.uint64]  # (2, n_blocks, WORDS)
    counts: NDArray[np.uint16]  # (2, n_blocks)
    coarse: NDArray[np.uint16]  # (2, n_coarse)

    @classmethod
    def of(cls, index: Index, masks: TumorMasks) -> _Query:
        if masks.grid != index.grid:
            raise ValueError(
                f"the masks lie on a grid of {masks.grid}, the index needs {index.grid}: "
                "resample them"
            )
        outlines = [getattr(masks, name) for name in OUTLINES]
        volumes = np.array([np.count_nonzero(mask) for mask in outlines], np.int64)
        packed = np.stack([np.packbits(mask[index.box], axis=-1) for mask in outlines])
        blocks = cut_blocks(packed) & index.union
        counts = count_voxels(blocks)
        return cls(volumes, blocks, counts, sum_coarse(counts, index.block_shape))


def _bound_intersections(index: Index, query: _Query) -> NDArray[np.int64]:
    """Upper bounds (2, n_samples) of the intersections with all tumours."""
    bounds = np.zeros((2, index.n_samples), np.int64)
    for outline, in_block in enumerate(query.coarse):
        # Sums stay below the query's volume. 16 bits, if they suffice, halve the time.
        dtype = np.uint16 if in_block.sum(dtype=np.int64) < 2**16 else np.uint32
        total: NDArray[np.unsignedinteger] = np.zeros(index.n_samples, dtype)
        row = np.empty(index.n_samples, np.uint16)
        for block in np.flatnonzero(in_block):
            np.minimum(index.coarse[outline, block], in_block[block], out=row)
            np.add(total, row, out=total)
        bounds[outline] = total
    return bounds


def _intersect(index: Index, query: _Query, ids: NDArray[np.intp]) -> NDArray[np.int64]:
    """Exact intersections (2, n) with the tumours of these ids."""
    outlines = (2 * ids + np.arange(2)[:, None]).ravel()  # all cores, then all wholes
    n_blocks = len(index.union)
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
    """The k best tumours so far, best first, equal scores by ascending id."""

    def __init__(self, k: int) -> None:
        self._k = k
        self._ids = np.zeros(0, np.intp)
        self._scores = np.zeros(0)
        self._dice = np.zeros((2, 0))

    @property
    def level(self) -> float:
        """The k-th best score."""
        return float(self._scores[self._k - 1])

    def may_enter(self, bounds: NDArray[np.float64], ids: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether tumours of these bounds may be among the best; on a tie the lower id wins."""
        last = self._ids[self._k - 1]
        return (bounds > self.level) | ((bounds == self.level) & (ids < last))

    def add(self, ids: NDArray[np.intp], dice: NDArray[np.float64]) -> None:
        """Take in tumours with their Dice (2, n)."""
        ids = np.concatenate([self._ids, ids])
        dice = np.concatenate([self._dice, dice], axis=1)
        scores = dice[0] + dice[1]
        order = np.lexsort((ids, -scores))[: self._k]
        self._ids, self._scores, self._dice = ids[order], scores[order], dice[:, order]

    def matches(self) -> list[Match]:
        return [
            Match(int(i), float(score), float(core), float(whole))
            for i, score, core, whole in zip(self._ids, self._scores, *self._dice, strict=True)
        ]
