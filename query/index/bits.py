"""How a search gets at the bits of an index: from the map of their file, or by reading it.

The system maps a page of 4 kB when it is first touched, and some sixteen around it, which takes
longer than to copy what a search asks of them; and all of them count as memory of the process. The
pages of a small index soon stay mapped. Those of a large one never do, so its bits are read: one
call for the blocks of an outline, which lie together.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

MAPPED_AT_MOST = 2**29
"""Bytes of bits that are taken from the map; of more than these, what is asked for is read."""

MAPPED = -1
"""Stands for no file: the bits are taken from the map."""


@contextlib.contextmanager
def opened_bits(file: Path, n_bytes: int) -> Iterator[tuple[int, int]]:
    """Open the file of bits, if they are to be read.

    Parameters
    ----------
    file : Path
        The .npy file that they are mapped from. Where it is gone, for another index has taken its
        place, the map still holds what was in it.
    n_bytes : int
        Bytes of all bits.

    Yields
    ------
    descriptor : int
        The open file, or `MAPPED`.
    header : int
        Bytes in the file before the bits.
    """
    if n_bytes <= MAPPED_AT_MOST or not hasattr(os, "pread"):
        yield MAPPED, 0
        return
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        yield MAPPED, 0
        return
    try:
        yield descriptor, os.fstat(descriptor).st_size - n_bytes
    finally:
        os.close(descriptor)
