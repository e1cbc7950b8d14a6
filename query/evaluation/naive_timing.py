"""How long the paper's for-loop takes, which decompresses and compares every volume."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...dbgen.machine.cluster import connected
from ...dbgen.machine.progress import Bars
from ...errors import FailedError
from ..exact import score_samples
from ..index.index import Index
from ..strategies.naive import Naive
from .comparison import QuerySet

NAIVE_VOLUMES = 1000
"""Volumes over which the for-loop is timed; the time is scaled to the database."""

NAIVE_QUERIES = 3


@dataclass(frozen=True)
class NaiveTiming:
    """The for-loop on some volumes, scaled to all.

    Attributes
    ----------
    queries : str
        Kind of the queries.
    seconds : float
        Median time of a query over the whole database.
    n_volumes, n_queries : int
        Volumes and queries that were timed. The loop's scores of these volumes equal the index's.
    """

    queries: str
    seconds: float
    n_volumes: int
    n_queries: int


def time_naive(index: Index, sets: Sequence[QuerySet], *, bars: Bars) -> list[NaiveTiming]:
    """Time the paper's for-loop on `NAIVE_VOLUMES` and see that it agrees with the index.

    Parameters
    ----------
    index : Index
    sets : sequence of QuerySet
    bars : callable(task, unit)
        Makes progress bars.

    Returns
    -------
    list of NaiveTiming
        One for each set.

    Raises
    ------
    RuntimeError
        If the loop and the index give a tumour different scores.
    """
    n_volumes = min(NAIVE_VOLUMES, index.n_samples)
    loop = Naive(index, n_volumes)
    timings = []
    with connected():
        for queries in sets:
            n_queries = min(NAIVE_QUERIES, len(queries.queries))
            loop.scores(queries.load(0))  # starts the workers
            seconds = []
            with bars(f"{queries.name}: naive", "queries") as progress:
                for i in range(n_queries):
                    masks = queries.load(i)
                    began = time.perf_counter()
                    scores = loop.scores(masks)
                    seconds.append(time.perf_counter() - began)
                    indexed = score_samples(index, masks, range(n_volumes))
                    if scores.tolist() != [match.score for match in indexed]:
                        raise FailedError(
                            f"the for-loop and the index disagree on query {queries.queries[i]}: "
                            "`glioquery verify` the database and build its index again"
                        )
                    progress(i + 1, n_queries)
            scaled = float(np.median(seconds)) * index.n_samples / n_volumes
            timings.append(NaiveTiming(queries.name, scaled, n_volumes, n_queries))
    return timings
