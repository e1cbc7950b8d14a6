"""The processor of this machine, and the cores that this process may use."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from ...errors import InputError

CONTROL_GROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may use."""


def available_cores() -> int:
    """Cores that this process may use: those it is bound to, and no more than its quota.

    Returns
    -------
    int
        At least 1.
    """
    cores = os.cpu_count() or 1
    if sys.platform == "linux":
        cores = min(cores, len(os.sched_getaffinity(0)))
    quota = _quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def available_threads() -> int:
    """Threads for the work of this process: OMP_NUM_THREADS, which Ray sets, or all its cores.

    Returns
    -------
    int
        At least 1.
    """
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    return int(chosen) if chosen.isdecimal() and int(chosen) > 0 else available_cores()


def require_workers(n_workers: int | None, address: str | None = None) -> None:
    """Refuse a number of workers below 1; None stands for as many as there are cores.

    Raises
    ------
    InputError
        If it is below 1, or given together with a cluster's address.
    """
    if n_workers is not None and n_workers < 1:
        raise InputError(f"the number of workers is 1 or more, got {n_workers}")
    if n_workers is not None and address is not None:
        raise InputError(
            "a number of workers is for a cluster of this machine's own, not for the one at "
            f"{address}: give one of the two"
        )


def _quota() -> float | None:
    """Processor time a second that a container gets; None where it is not limited."""
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):  # versions 2, 1
        try:
            texts = [(CONTROL_GROUP / name).read_text(encoding="utf-8") for name in files]
            quota, period = map(int, " ".join(texts).split())
        except (OSError, ValueError):  # the other version, no container, or "max"
            continue
        return quota / period if quota > 0 < period else None
    return None


def processor() -> str:
    """The processor's model, where it can be read, and the number of cores.

    Returns
    -------
    str
        Such as "AMD EPYC 7B13, 2 cores".
    """
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
