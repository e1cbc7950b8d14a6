"""Bits of blocks: taken from the mapped file, or read from it where it is large.

The system maps a page of 4 kB when it is first touched, and some sixteen around it, which takes
longer than to copy what a search asks of them; and all of them count as memory of the process. The
pages of a small index soon stay mapped. Those of a large one never do, so its bits are read: one
call for the blocks of a tumour, which lie together.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

MAPPED_AT_MOST = 2**29
"""Bytes of bits that are taken from the map; of more than these, what is asked for is read."""

NEAR = 64
"""Blocks (4 kB) that are read although nobody asked for them, to make one reading of two."""


def take_bits(
    bits: NDArray[np.uint64], file: Path, entries: NDArray[np.intp]
) -> NDArray[np.uint64]:
    """The bits of some blocks.

    Parameters
    ----------
    bits : (n, WORDS) uint64 array
        All bits, mapped.
    file : Path
        The .npy file that they are mapped from. Where it is gone, for another index has taken its
        place, the map still holds what was in it.
    entries : (m,) int array
        Rows of `bits`; ascending ones that lie together are read together.

    Returns
    -------
    (m, WORDS) uint64 array

    Raises
    ------
    InputError
        If the file has become shorter.
    """
    if len(entries) and bits.nbytes > MAPPED_AT_MOST and hasattr(os, "preadv"):
        try:
            descriptor = os.open(file, os.O_RDONLY)
        except FileNotFoundError:
            return bits.take(entries, axis=0)
        try:
            return _read(bits, file, descriptor, entries)
        finally:
            os.close(descriptor)
    return bits.take(entries, axis=0)


def _read(
    bits: NDArray[np.uint64], file: Path, descriptor: int, entries: NDArray[np.intp]
) -> NDArray[np.uint64]:
    steps = np.diff(entries)
    starts = np.concatenate([[0], np.flatnonzero((steps < 0) | (steps > NEAR)) + 1])
    stops = np.append(starts[1:], len(entries))
    first = entries[starts]
    lengths = entries[stops - 1] + 1 - first
    ends = np.cumsum(lengths)
    row = bits.itemsize * bits.shape[1]
    header = os.fstat(descriptor).st_size - bits.nbytes
    read = np.empty((int(ends[-1]), bits.shape[1]), bits.dtype)
    target = read.data.cast("B")
    spans = (row * (ends - lengths), row * ends, header + row * first)
    for start, stop, place in zip(*(span.tolist() for span in spans), strict=True):
        if os.preadv(descriptor, [target[start:stop]], place) != stop - start:
            raise InputError(f"{file} has become shorter since it was opened: open the index again")
    shift = np.repeat(ends - lengths - first, stops - starts)
    return read.take(entries + shift, axis=0)
