"""Memory that a process no longer needs goes back to the machine.

glibc keeps freed blocks of up to 32 MB, to hand them out again, and does so in each of its heaps.
It opens a heap for almost every thread, and what one thread has freed serves no other. A patient's
maps are such blocks. With one heap for all threads, and what it keeps returned between the steps,
an inversion peaks at 1.4 GB; without the one heap at 1.7 GB (docs/results.md).

Systems without glibc are left as they are.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys

M_ARENA_MAX = -8
"""Number of mallopt's parameter for the most heaps (glibc's malloc.h)."""


def share_one_heap() -> None:
    """Let all threads that begin from now on allocate from the process's first heap.

    The setting holds for the whole process. The commands and the workers of cohorts and trials call
    this; a program that uses the library decides for itself.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def give_memory_back() -> None:
    """Return what glibc keeps of freed blocks (a few milliseconds)."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)
