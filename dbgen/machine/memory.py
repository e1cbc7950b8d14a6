"""Memory that a process no longer needs goes back to the machine."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

M_MMAP_THRESHOLD = -3
"""Number of the setting in glibc's `mallopt(3)`."""

LARGE = 4 * 2**20
"""Bytes of a block that counts as large: half a map on the simulation grid."""


def give_memory_back() -> None:
    """Let glibc return each large block when it is freed.

    By default it raises its limit of "large" to the largest block that was ever freed, up to 32 MB,
    and keeps all blocks below: an inversion then peaks at 2.2 GB instead of 1.7. This holds for the
    whole process, so that commands and workers call it, and no function of the package. It does
    nothing where the user has set MALLOC_MMAP_THRESHOLD_, and on other systems than Linux.
    """
    if sys.platform != "linux" or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return
    with contextlib.suppress(AttributeError, OSError):  # musl has no such function
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)
