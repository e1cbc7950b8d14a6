"""What a query and tumours have in common: upper bounds for groups and their members, and counts.

sum over coarse blocks b of min(a_b, q_b)  >=  |A n Q|, a_b for a tumour or the most in a group
|A n Q|  =  sum over full blocks b of q_b  +  sum over mixed blocks of popcount(bits_A & bits_Q)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..solver import TumorMasks
from .dice import OUTLINES
from .index.blocks import EDGE, count_voxels, cut_blocks, sum_coarse
from .index.index import Index
from .measures import Measure


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
        masks.require_grid(index.grid, "the index")
        outlines = [np.ascontiguousarray(getattr(masks, name)) for name in OUTLINES]
        held = [mask.reshape(len(mask), -1).any(axis=1) for mask in outlines]
        slabs = np.flatnonzero(held[0] | held[1])  # most of the brain is empty of the outlines
        x, y, z = index.box
        first, stop = (int(slabs[0]), int(slabs[-1]) + 1) if len(slabs) else (0, 0)
        volumes = np.array([np.count_nonzero(mask[first:stop]) for mask in outlines], np.int64)
        # The blocks between these slabs.
        row = max(0, (first - x.start) // EDGE)
        n_rows = max(0, min(index.block_shape[0], -((x.start - stop) // EDGE)) - row)
        part = slice(x.start + EDGE * row, min(x.start + EDGE * (row + n_rows), x.stop))
        packed = np.stack([np.packbits(mask[part, y, z], axis=-1) for mask in outlines])
        a_row = len(index.tissue) // index.block_shape[0]
        inside = slice(a_row * row, a_row * (row + n_rows))
        blocks = np.zeros((2, *index.tissue.shape), np.uint64)
        counts = np.zeros((2, len(index.tissue)), np.uint16)
        blocks[:, inside] = cut_blocks(packed) & index.tissue[inside]
        counts[:, inside] = count_voxels(blocks[:, inside])
        return cls(volumes, blocks, counts, sum_coarse(counts, index.block_shape))

    def totals(
        self, index: Index, measure: Measure, ids: NDArray[np.intp] | slice = slice(None)
    ) -> NDArray[np.int64]:
        """|A| + |Q| (2, n) of tumours, with the part of Q that counts for the measure."""
        return index.volumes[:, ids] + self.volumes_for(measure)[:, None]

    def volumes_for(self, measure: Measure) -> NDArray[np.int64]:
        """Voxels (2,) of the query that count for the measure."""
        if measure.inside_tissue:
            return self.counts.sum(axis=1, dtype=np.int64)
        return self.volumes

    def touched(self, outline: int) -> NDArray[np.intp]:
        """Coarse blocks in which the query has voxels of an outline."""
        return np.flatnonzero(self.coarse[outline])

    @property
    def sum_type(self) -> type[np.unsignedinteger]:
        """Type that holds the sums of voxels: 16 bits, if they suffice, take half the time."""
        return np.uint16 if self.coarse.sum(axis=1).max() < 2**16 else np.uint32


def bound_groups(
    index: Index, query: CutQuery, measure: Measure, empty_score: float
) -> NDArray[np.float64]:
    """Merits (n_groups,) that no member of a group exceeds.

    It is the best merit of all pairs of an intersection and a volume that a member may have: the
    intersection is as large as it can be, and the volume no larger than it must be for that.
    """
    most = np.empty((2, index.n_groups), np.int64)
    for outline in range(2):
        blocks = query.touched(outline)
        least = np.minimum(index.most[outline, blocks], query.coarse[outline, blocks, None])
        most[outline] = least.sum(axis=0, dtype=query.sum_type)
    volumes = np.clip(most, index.ends[0], index.ends[1])
    totals = volumes + query.volumes_for(measure)[:, None]
    return measure.merit(np.minimum(most, volumes), totals, empty_score)


def bound_members(
    index: Index,
    query: CutQuery,
    groups: NDArray[np.intp],
    measure: Measure,
    empty_score: float,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Members (m,) of some groups, and merits (m,) that they do not exceed."""
    _, _, n_coarse, size = index.counts.shape
    rows = index.counts.reshape(-1, size)
    most = np.empty((2, len(groups), size), query.sum_type)
    for outline in range(2):
        blocks = query.touched(outline)
        places = (2 * groups[:, None] + outline) * n_coarse + blocks
        least = np.minimum(rows[places], query.coarse[outline, blocks, None])
        least.sum(axis=1, dtype=query.sum_type, out=most[outline])
    ids, most = index.members[groups].ravel().astype(np.intp), most.reshape(2, -1)
    if ids.min() < 0:  # the last group is among them
        is_one = ids >= 0
        ids, most = ids[is_one], most[:, is_one]
    return ids, measure.merit(most, query.totals(index, measure, ids), empty_score)


def intersect(index: Index, query: CutQuery, ids: NDArray[np.intp]) -> NDArray[np.int64]:
    """Exact intersections (2, n) with the tumours of these ids, from their bits."""
    outlines = (2 * ids[:, None] + np.arange(2)).ravel()  # a core, its whole, the next core ...
    n_blocks = len(index.tissue)
    sums = np.zeros(len(outlines), np.int64)

    entries, owners = _entries(index.full_starts, outlines)
    places = index.full_blocks[entries] + n_blocks * (owners % 2)
    sums += np.bincount(owners, query.counts.ravel()[places], len(outlines)).astype(np.int64)

    entries, owners = _entries(index.mixed_starts, outlines)
    places = index.mixed_blocks[entries] + n_blocks * (owners % 2)
    asked = query.counts.ravel()[places] > 0  # blocks that the query does not touch stay unread
    entries, owners, places = entries[asked], owners[asked], places[asked]
    bits = index.bits_at(entries)
    bits &= query.blocks.reshape(-1, bits.shape[1]).take(places, axis=0)
    counts = count_voxels(bits)
    # Weights are summed in float64, which is exact for these integers.
    sums += np.bincount(owners, counts, len(outlines)).astype(np.int64)
    return sums.reshape(len(ids), 2).T


def _entries(
    starts: NDArray[np.int64], outlines: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of all entries of some outlines, and which of the outlines each belongs to."""
    first = starts[outlines]
    lengths = starts[outlines + 1] - first
    owners = np.repeat(np.arange(len(outlines)), lengths)
    shift = first - (np.cumsum(lengths) - lengths)
    return np.arange(len(owners)) + shift[owners], owners
