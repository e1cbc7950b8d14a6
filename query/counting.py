"""What a query and tumours have in common: upper bounds for groups and their members, and counts.

sum over coarse blocks b of min(a_b, q_b)  >=  |A n Q|, a_b for a tumour or the most in a group
|A n Q|  =  sum over full blocks b of q_b  +  sum over mixed blocks of popcount(bits_A & bits_Q)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..solver import TumorMasks
from . import kernels
from .dice import OUTLINES
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
        blocks = np.zeros((2, *index.tissue.shape), np.uint64)
        counts = np.zeros(blocks.shape[:2], np.uint16)
        coarse = np.zeros((2, index.counts.shape[2]), np.uint16)
        corner = tuple(part.start for part in index.box)
        volumes = [
            kernels.cut_outline(
                np.ascontiguousarray(getattr(masks, name)),
                corner,
                index.tissue,
                index.block_shape,
                blocks[outline],
                counts[outline],
                coarse[outline],
            )
            for outline, name in enumerate(OUTLINES)
        ]
        return cls(np.array(volumes, np.int64), blocks, counts, coarse)

    def totals(
        self, index: Index, measure: Measure, ids: NDArray[np.intp] | None = None
    ) -> NDArray[np.int64]:
        """|A| + |Q| (2, n) of all tumours or of some, with the part of Q that counts."""
        volumes = index.volumes if ids is None else index.volumes.take(ids, axis=1)
        return volumes + self.volumes_for(measure)[:, None]

    def volumes_for(self, measure: Measure) -> NDArray[np.int64]:
        """Voxels (2,) of the query that count for the measure."""
        if measure.inside_tissue:
            return self.counts.sum(axis=1, dtype=np.int64)
        return self.volumes


def bound_groups(
    index: Index, query: CutQuery, measure: Measure, empty_score: float
) -> NDArray[np.float64]:
    """Merits (n_groups,) that no member of a group exceeds.

    It is the best merit of all pairs of an intersection and a volume that a member may have: the
    intersection is as large as it can be, and the volume no larger than it must be for that.
    """
    most = _least_sums(index.most[None], np.zeros(1, np.int64), query)[:, 0]
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
    most = _least_sums(index.counts, groups, query).reshape(2, -1)
    ids = index.members.take(groups, axis=0).ravel().astype(np.intp)
    if ids.min() < 0:  # the last group is among them
        is_one = ids >= 0
        ids, most = ids[is_one], most[:, is_one]
    return ids, measure.merit(most, query.totals(index, measure, ids), empty_score)


def intersect(index: Index, query: CutQuery, ids: NDArray[np.intp]) -> NDArray[np.int64]:
    """Exact intersections (2, n) with the tumours of these ids, from their bits.

    Raises
    ------
    InputError
        If the file of the bits has become shorter since the index was opened.
    """
    sums = np.zeros((2, len(ids)), np.int64)
    with index.opened_bits() as (descriptor, header):
        kernels.intersections(
            np.ascontiguousarray(ids, np.int64),
            index.full_starts,
            index.full_blocks,
            index.mixed_starts,
            index.mixed_blocks,
            index.mixed_bits,
            descriptor,
            header,
            query.counts,
            query.blocks,
            sums,
        )
    return sums


def _least_sums(
    rows: NDArray[np.uint16], groups: NDArray[np.intp], query: CutQuery
) -> NDArray[np.int64]:
    """Upper bounds (2, n_groups, m) of the intersections, from the most (n, 2, n_coarse, m)."""
    sums = np.empty((2, len(groups), rows.shape[-1]), np.uint32)
    kernels.least_sums(rows, np.ascontiguousarray(groups, np.int64), query.coarse, sums)
    return sums.astype(np.int64)  # as exact counts are: a measure's formula may go below 0
