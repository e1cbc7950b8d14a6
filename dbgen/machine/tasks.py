"""Independent tasks on a cluster: what each takes of a node, a second try where a worker dies."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

from .cluster import reason_of

TRIALS = 2
"""Tries for a task whose worker dies. Ray's own retries never end if memory runs out."""

K = TypeVar("K")


def resources(ray: Any, n_cores: int, n_bytes: int) -> dict[str, Any]:
    """Resources that a task requests: at most those of the largest node, or it would never start.

    Parameters
    ----------
    ray : module
        As `connected` gives it.
    n_cores, n_bytes : int

    Returns
    -------
    dict
        Options for `cluster.remote`; `outcomes_of` does the retries.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cores = min(n_cores, max((node.get("CPU", 1) for node in nodes), default=1))
    threads = str(max(int(cores), 1))
    return {
        "num_cpus": cores,
        "memory": min(n_bytes, max((node.get("memory", 0) for node in nodes), default=0)),
        "max_retries": 0,
        # In place of the one thread of workers that simulate.
        "environment": {"OMP_NUM_THREADS": threads, "PJRT_NPROC": threads},
    }


def outcomes_of(
    ray: Any, begin: Callable[[K], Any], keys: Iterable[K]
) -> Generator[tuple[K, Any, str | None]]:
    """Run a task for each key, and yield each as it ends.

    Close the iterator, however its reader ends: what still runs then is cancelled.

    Parameters
    ----------
    ray : module
        As `connected` gives it.
    begin : callable
        Submits the task of a key and returns its reference.
    keys : iterable

    Yields
    ------
    key, result, error
        The result, or one line that says why there is none.
    """
    running = {begin(key): (key, 1) for key in keys}
    try:
        while running:
            ready, _ = ray.wait(list(running), timeout=1.0)
            for reference in ready:
                key, trial = running.pop(reference)
                result, error = None, None
                try:
                    result = ray.get(reference)
                except ray.exceptions.RayError as lost:
                    if trial < TRIALS:
                        running[begin(key)] = key, trial + 1
                        continue
                    error = f"the worker died: {reason_of(lost)}"
                yield key, result, error
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
