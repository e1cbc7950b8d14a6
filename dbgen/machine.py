"""The machine at hand: what a simulation ran on, and how many cores there are for it."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path


def available_cores() -> int:
    """Cores that this process may use: as OMP_NUM_THREADS says, which Ray sets, or the system."""
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if chosen.isdecimal() and int(chosen) > 0:
        return int(chosen)
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The processor's model, where it can be read, and the number of cores."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                name = value.strip()
                break
    except OSError:  # only Linux has it
        pass
    return f"{name}, {os.cpu_count()} cores"
