"""Independent tasks on a cluster: what each takes of a node, a second try where a worker dies."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Generator, Iterable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from ...errors import FailedError, GlioqueryError
from .cluster import reason_of

TRIALS = 2
"""Tries for a task whose worker dies. Ray's own retries never end if memory runs out."""

BYTES_A_TASK = 2 * 2**30
"""Memory of a task that inverts a patient, in bytes."""

K = TypeVar("K")


class UnfitNodeError(FailedError):
    """A node that cannot take part; the driver does not try again."""


def require_seen(folder: Path, file: str) -> None:
    """See, on a node that may not be the driver's, that it has a folder the driver has.

    Parameters
    ----------
    folder : Path
    file : str
        Name of a file in it.

    Raises
    ------
    UnfitNodeError
        If it does not.
    """
    if not (folder / file).exists():
        raise UnfitNodeError(
            f"node {socket.gethostname()} does not see {folder}: name a folder that all nodes "
            "share, under one path"
        )


def result_of(
    ray: Any,
    references: Any,
    *,
    again: Callable[[], Any] | None = None,
    died: str = "a worker died",
) -> Any:
    """Wait for the result of a task, or of several.

    Parameters
    ----------
    ray : module
        As `connected` gives it.
    references : reference or list of references
    again : callable() -> reference, optional
        Submits the task again where its worker dies.
    died : str
        What to say where a worker died for good.

    Returns
    -------
    object or list

    Raises
    ------
    GlioqueryError
        What the task raised; another error of it is a bug, and raised as Ray does.
    FailedError
        If the worker or its node died.
    """
    tries = 1 if again is None else TRIALS
    while True:
        tries -= 1
        try:
            return ray.get(references)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, GlioqueryError):
                raise error.cause from None
            raise
        except ray.exceptions.RayError as lost:
            if again is None or not tries:
                raise FailedError(f"{died} ({reason_of(lost)})") from lost
            references = again()


def results_of(
    ray: Any, begin: Callable[[K], Any], keys: Iterable[K], *, ahead: int | None = None
) -> Generator[tuple[K, Any]]:
    """Run a task for each key, and yield the results in the order of the keys.

    What still runs when the reader ends, for an error say, is not waited for: it must change
    nothing outside of itself. It is not cancelled either, for Ray ends the whole process if a task
    is cancelled while its worker is given to it. It ends with the connection to the cluster.

    Parameters
    ----------
    ray : module
        As `connected` gives it.
    begin : callable
        Submits the task of a key and returns its reference; with max_retries=0, since a second try
        follows here.
    keys : iterable
    ahead : int, optional
        Tasks that are under way at once; all by default.

    Yields
    ------
    key, result

    Raises
    ------
    GlioqueryError
        As `result_of`.
    """
    waiting = iter(keys)
    under_way: deque[tuple[K, Any]] = deque()
    while True:
        n_more = None if ahead is None else ahead - len(under_way)
        under_way.extend((key, begin(key)) for key in islice(waiting, n_more))
        if not under_way:
            return
        key, reference = under_way.popleft()
        yield key, result_of(ray, reference, again=partial(begin, key))


def resources(ray: Any, n_cores: int) -> dict[str, Any]:
    """Resources that a task requests: at most those of the largest node, or it would never start.

    Parameters
    ----------
    ray : module
        As `connected` gives it.
    n_cores : int

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
        "memory": min(BYTES_A_TASK, max((node.get("memory", 0) for node in nodes), default=0)),
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
