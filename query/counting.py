"""What a query and tumours have in common: an upper bound for all of them, the count for some.

sum over coarse blocks b of min(a_b, q_b)  >=  |A n Q|
|A n Q|  =  sum over full blocks b of q_b  +  sum over mixed blocks of popcount(bits_A & bits_Q)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..solver import TumorMasks
from .dice import OUTLINES
from .index.blocks import count_voxels, cut_blocks, sum_coarse
from .index.index import Index
from .measures import Measure

TILE = 2**16
"""Tumours scanned at a time: their counts in a block stay in the cache for all these queries."""


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
        InputError
            If they lie on another grid.
        """
        if masks.grid != index.grid:
            raise InputError(
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


def bound_intersections(
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


def intersect(index: Index, query: CutQuery, ids: NDArray[np.intp]) -> NDArray[np.int64]:
    """Exact intersections (2, n) with the tumours of these ids, from their bits."""
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
