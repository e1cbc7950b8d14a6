"""How a search gets at the bits of an index: from the map of their file, or by reading it.

The system maps a page of 4 kB when it is first touched, and some sixteen around it, which takes
longer than to copy what a search asks of them; and all of them count as memory of the process. The
pages of a small index soon stay mapped. Those of a large one never do, so its bits are read: one
call for the blocks of an outline, which lie together. (`kernels.plain` takes all from the map.)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ...errors import InputError

MAPPED_AT_MOST = 2**29
"""Bytes of bits that are taken from the map; of more than these, what is asked for is read."""

MAPPED = -1
"""Stands for no file: the bits are taken from the map."""


@contextlib.contextmanager
def opened_bits(file: Path, file_bytes: int, n_bytes: int) -> Iterator[tuple[int, int]]:
    """Open the file of bits, if they are to be read.

    Parameters
    ----------
    file : Path
        The .npy file that they are mapped from. Where it is gone, for another index has taken its
        place, the map still holds what was in it.
    file_bytes, n_bytes : int
        Bytes of the whole file as it was written, and of all bits, which end it.

    Yields
    ------
    descriptor : int
        The open file, or `MAPPED`.
    header : int
        Bytes in the file before the bits.

    Raises
    ------
    InputError
        If the file has become shorter.
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
        if os.fstat(descriptor).st_size < file_bytes:
            raise EOFError
        yield descriptor, file_bytes - n_bytes
    except EOFError:  # at once, or as it is read
        raise InputError(
            f"{file} has become shorter since it was opened: open the index again"
        ) from None
    finally:
        os.close(descriptor)
