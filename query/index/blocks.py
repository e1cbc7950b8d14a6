"""Bits of an outline, cut into the blocks in which an index stores and compares them.

A *block* is 8 x 8 x 8 voxels, 64 bytes that lie together: the unit in which bits are stored and
compared. A *coarse block* is 2 x 2 x 2 of them: the unit in which voxels are counted for the
bounds. Blocks are aligned to the corner of the box; what sticks out of the box is empty.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

EDGE = 8
"""Voxels along the edge of a block: one byte of bits along z."""

COARSE_EDGE = 2 * EDGE
"""Voxels along the edge of a coarse block."""

WORDS = EDGE**3 // 64
"""64-bit words in a block."""

MOST_BLOCKS = 2**16
"""Most blocks in a box: their numbers have 16 bits."""

_EVEN, _SUM = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0001000100010001)


def block_shape(box_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Number of blocks along x, y, z that cover a box of so many voxels."""
    x, y, z = (-(-n // EDGE) for n in box_shape)
    return x, y, z


def coarse_shape(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Number of coarse blocks along x, y, z that cover so many blocks."""
    x, y, z = (-(-n // 2) for n in shape)
    return x, y, z


def cut_blocks(packed: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Rearrange packed outlines so that the bits of each block lie together.

    Parameters
    ----------
    packed : (..., bx, by, bz // 8) uint8 array
        Bits packed along z.

    Returns
    -------
    (..., n_blocks, WORDS) uint64 array
        Blocks in C order of their position. The order of bits inside a block is the same for
        all, and nothing but intersections and counts is ever asked of them.
    """
    *lead, nx, ny, bytes_z = packed.shape
    x, y, z = block_shape((nx, ny, bytes_z * EDGE))
    n = math.prod(lead)
    padded = np.zeros((n, x * EDGE, y * EDGE, z), np.uint8)
    padded[:, :nx, :ny] = packed.reshape(n, nx, ny, z)
    stacks = padded.reshape(n, x, EDGE, y, EDGE * z)  # of blocks, one upon the other along z
    outline, i, j = np.nonzero(np.bitwise_or.reduce(stacks, axis=2).any(axis=-1))
    bits = stacks[outline, i, :, j].reshape(len(outline), EDGE**2, z)
    blocks = np.zeros((n, x, y, z, EDGE**2), np.uint8)
    blocks[outline, i, j] = bits.transpose(0, 2, 1)
    return blocks.view("<u8").reshape(*lead, x * y * z, WORDS)


def block_places(voxels: NDArray[np.integer], box_shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Where `cut_blocks` puts the bits of voxels (n, 3) of a box: (n,), 0 being the first bit."""
    _, y, z = block_shape(box_shape)
    block, inside = np.divmod(voxels.astype(np.intp), EDGE)
    number = (block[:, 0] * y + block[:, 1]) * z + block[:, 2]
    return EDGE**3 * number + inside @ np.array([EDGE**2, EDGE, 1])


def join_blocks(blocks: NDArray[np.uint64], box_shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Packed outlines (..., bx, by, bz // 8) of a box of so many voxels: undoes `cut_blocks`."""
    x, y, z = block_shape(box_shape)
    lead = blocks.shape[:-2]
    octets = np.ascontiguousarray(blocks).view(np.uint8).reshape(-1, x, y, z, EDGE, EDGE)
    packed = octets.transpose(0, 1, 4, 2, 5, 3).reshape(*lead, x * EDGE, y * EDGE, z)
    return packed[..., : box_shape[0], : box_shape[1], :]


def count_voxels(blocks: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Voxels set in each block, (..., n_blocks), 0 to 512, of bits (..., n_blocks, WORDS)."""
    octets = np.bitwise_count(blocks).view("<u8")[..., 0]  # eight sums of at most 64
    pairs = (octets & _EVEN) + ((octets >> np.uint64(8)) & _EVEN)
    return ((pairs * _SUM) >> np.uint64(48)).astype(np.uint16)


def sum_coarse(counts: NDArray[np.uint16], shape: tuple[int, int, int]) -> NDArray[np.uint16]:
    """Add up counts of blocks (..., n_blocks) over coarse blocks.

    Returns
    -------
    (..., n_coarse) uint16 array
        0 to 4096, in C order of the coarse blocks' position.
    """
    lead = counts.shape[:-1]
    x, y, z = coarse_shape(shape)
    padded = np.zeros((math.prod(lead), 2 * x, 2 * y, 2 * z), np.uint16)
    padded[:, : shape[0], : shape[1], : shape[2]] = counts.reshape(-1, *shape)
    sums = padded[:, 0::2] + padded[:, 1::2]
    sums = sums[:, :, 0::2] + sums[:, :, 1::2]
    sums = sums[..., 0::2] + sums[..., 1::2]
    return sums.reshape(*lead, x * y * z)
