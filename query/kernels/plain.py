"""What a search counts, voxel by voxel, with NumPy: what `compiled` does, where that is missing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..index.blocks import EDGE, count_voxels, cut_blocks, sum_coarse

Triple = tuple[int, int, int]


def cut_outline(
    mask: NDArray[np.bool_],
    corner: Triple,
    tissue: NDArray[np.uint64],
    shape: Triple,
    blocks: NDArray[np.uint64],
    counts: NDArray[np.uint16],
    coarse: NDArray[np.uint16],
) -> int:
    """Cut an outline into blocks.

    Parameters
    ----------
    mask : (nx, ny, nz) bool array
        The outline, contiguous.
    corner : (x, y, z) int
        The first voxel of the first block.
    tissue : (n_blocks, WORDS) uint64 array
        Bits that a tumour can have.
    shape : (x, y, z) int
        Number of blocks along each axis.
    blocks : (n_blocks, WORDS) uint64 array
        Filled with the outline's bits, in the order of `cut_blocks`; 0 before.
    counts : (n_blocks,) uint16 array
        Filled with the voxels in each block; 0 before.
    coarse : (n_coarse,) uint16 array
        Filled with those in each coarse block; 0 before.

    Returns
    -------
    int
        Voxels of the outline, in tissue or not.
    """
    slabs = np.flatnonzero(mask.reshape(len(mask), -1).any(axis=1))
    if not len(slabs):
        return 0
    first, stop = int(slabs[0]), int(slabs[-1]) + 1  # most of the brain is empty of the outline
    row = min(shape[0], max(0, (first - corner[0]) // EDGE))
    n_rows = max(0, min(shape[0], -((corner[0] - stop) // EDGE)) - row)
    spans = ((row, n_rows), (0, shape[1]), (0, shape[2]))
    box = tuple(
        slice(c + EDGE * start, c + EDGE * (start + n))
        for c, (start, n) in zip(corner, spans, strict=True)
    )
    held = mask[box]
    padded = np.zeros((EDGE * n_rows, EDGE * shape[1], EDGE * shape[2]), bool)
    padded[tuple(slice(n) for n in held.shape)] = held
    inside = slice(row * shape[1] * shape[2], (row + n_rows) * shape[1] * shape[2])
    blocks[inside] = cut_blocks(np.packbits(padded, axis=-1)) & tissue[inside]
    counts[inside] = count_voxels(blocks[inside])
    coarse[:] = sum_coarse(counts, shape)
    return int(np.count_nonzero(mask[first:stop]))


def least_sums(
    rows: NDArray[np.uint16],
    groups: NDArray[np.int64],
    asked: NDArray[np.uint16],
    sums: NDArray[np.uint32],
) -> None:
    """Sum of min(a_b, q_b) over the coarse blocks b, for each column a of some groups.

    Parameters
    ----------
    rows : (n, 2, n_coarse, m) uint16 array
        Voxels of core and whole in each coarse block; contiguous along the last axis.
    groups : (n_groups,) int64 array
        Numbers of the groups, below n.
    asked : (2, n_coarse) uint16 array
        Voxels of the query, at most those of a coarse block.
    sums : (2, n_groups, m) uint32 array
        Filled with the sums.
    """
    for outline, of_query in enumerate(asked):
        touched = np.flatnonzero(of_query)
        least = np.minimum(
            rows[groups[:, None], outline, touched], of_query[touched, None], dtype=np.uint16
        )
        # Sums of 16 bits, if they suffice, take half the time.
        kind = np.uint16 if of_query.sum(dtype=np.int64) < 2**16 else np.uint32
        sums[outline] = least.sum(axis=1, dtype=kind)


def intersections(
    ids: NDArray[np.int64],
    full_starts: NDArray[np.int64],
    full_blocks: NDArray[np.uint16],
    mixed_starts: NDArray[np.int64],
    mixed_blocks: NDArray[np.uint16],
    mixed_bits: NDArray[np.uint64],
    descriptor: int,
    header: int,
    counts: NDArray[np.uint16],
    blocks: NDArray[np.uint64],
    sums: NDArray[np.int64],
) -> None:
    """Voxels that a query shares with tumours.

    Parameters
    ----------
    ids : (n,) int64 array
        Numbers of the tumours.
    full_starts, full_blocks, mixed_starts, mixed_blocks, mixed_bits : arrays
        The arrays of an index.
    descriptor : int
        The file of `mixed_bits`, to read what is asked for; or -1, to take it from the array.
    header : int
        Bytes of that file before the bits.
    counts : (2, n_blocks) uint16 array
        Voxels of the query in each block.
    blocks : (2, n_blocks, WORDS) uint64 array
        Their bits.
    sums : (2, n) int64 array
        Filled with the intersections of core and whole.
    """
    del descriptor, header  # the array is mapped from the file
    for outline in range(2):
        entries, owners = _entries(full_starts, 2 * ids + outline)
        sums[outline] = np.bincount(owners, counts[outline, full_blocks[entries]], len(ids))
        entries, owners = _entries(mixed_starts, 2 * ids + outline)
        places = mixed_blocks[entries]
        asked = counts[outline, places] > 0  # blocks that the query does not touch stay unread
        bits = mixed_bits.take(entries[asked], axis=0)
        bits &= blocks[outline].take(places[asked], axis=0)
        # Weights are summed in float64, which is exact for these integers.
        in_mixed = np.bincount(owners[asked], count_voxels(bits), len(ids))
        sums[outline] += in_mixed.astype(np.int64)


def _entries(
    starts: NDArray[np.int64], outlines: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of all entries of some outlines, and which of the outlines each belongs to."""
    first = starts[outlines]
    lengths = starts[outlines + 1] - first
    owners = np.repeat(np.arange(len(outlines)), lengths)
    shift = first - (np.cumsum(lengths) - lengths)
    return np.arange(len(owners)) + shift[owners], owners
