"""Exact search spread over Ray actors, on the cores of one machine or of many.

Each actor searches a span of the groups of alike samples. The best k of all are among the best k of
each span, so that merging these gives what one process finds: the same ids, the same scores, ties
by ascending id.
"""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from ..dbgen.machine.cluster import carried_by_value, connected, remote
from ..dbgen.machine.progress import Progress, silent
from ..dbgen.machine.tasks import result_of
from ..errors import InputError
from ..solver import TumorMasks
from .exact import check_request, search_many
from .index.index import Index
from .match import Match
from .measures import DICE, Measure, UserFunction

MAX_DEATHS = 5
"""Times that an actor is started again when it or its node died: nodes come and go, but some deaths
are the query's fault."""

TOGETHER = 16
"""Queries that are sent at once."""

AHEAD = 2
"""Batches of queries that are under way: while one is merged, the actors work at the next."""


@dataclass(frozen=True, eq=False)
class ShardedIndex:
    """An index spread over Ray actors; make it with `sharded`.

    Attributes
    ----------
    index : Index
    spans : tuple of (start, stop)
        Groups that each actor searches.
    """

    index: Index
    spans: tuple[tuple[int, int], ...]
    _ray: Any
    _actors: tuple[Any, ...]

    def search(
        self,
        masks: TumorMasks,
        *,
        k: int = 15,
        measure: Measure = DICE,
        empty_score: float = 0.0,
        progress: Progress = silent,
    ) -> list[Match]:
        """As `exact.search`; progress is reported as the actors finish."""
        check_request(k, empty_score)
        under_way = self._ask([masks], k, measure, empty_score)
        spans = dict(zip(under_way, self.spans, strict=True))
        size = self.index.members.shape[1]
        done, waiting = 0, under_way
        while waiting:
            finished, waiting = self._ray.wait(waiting)
            done += sum(spans[reference][1] - spans[reference][0] for reference in finished)
            progress(min(size * done, self.index.n_samples), self.index.n_samples)
        (matches,) = self._merge(under_way, k, measure)
        return matches

    def search_many(
        self,
        queries: Iterable[TumorMasks],
        *,
        k: int = 15,
        measure: Measure = DICE,
        empty_score: float = 0.0,
    ) -> list[list[Match]]:
        """As `exact.search_many`.

        Raises
        ------
        InputError
            As `exact.search_many`, or if a node sees another index at the path, or none.
        RuntimeError
            If an actor died again and again.
        """
        check_request(k, empty_score)
        found: list[list[Match]] = []
        under_way: deque[list[Any]] = deque()
        waiting = iter(queries)
        while batch := list(islice(waiting, TOGETHER)):
            under_way.append(self._ask(batch, k, measure, empty_score))
            if len(under_way) > AHEAD:
                found += self._merge(under_way.popleft(), k, measure)
        while under_way:
            found += self._merge(under_way.popleft(), k, measure)
        return found

    def _ask(
        self, queries: list[TumorMasks], k: int, measure: Measure, empty_score: float
    ) -> list[Any]:
        code = measure.from_masks or measure.from_counts or Measure
        with carried_by_value(code.function if isinstance(code, UserFunction) else code):
            shared, how = self._ray.put(queries), self._ray.put(measure)
        return [actor.search_many.remote(shared, how, k, empty_score) for actor in self._actors]

    def _merge(self, references: list[Any], k: int, measure: Measure) -> list[list[Match]]:
        """The best k of each query, from those of each span."""
        died = (
            f"a process of the search died {MAX_DEATHS + 1} times: too little memory on its node, "
            "or a measure that ends its process"
        )
        by_actor = result_of(self._ray, references, died=died)
        sign = -1 if measure.larger_is_better else 1
        return [
            sorted(
                (match for matches in of_query for match in matches),
                key=lambda match: (sign * match.score, match.sample),
            )[:k]
            for of_query in zip(*by_actor, strict=True)
        ]


@contextlib.contextmanager
def sharded(
    index: Index,
    *,
    n_shards: int | None = None,
    address: str | None = None,
) -> Iterator[ShardedIndex]:
    """Spread an index over Ray actors for the duration of the block.

    An actor that dies, or whose node does, is started again on a node that is left, and asked
    again.

    Parameters
    ----------
    index : Index
        On a cluster, in a folder that all nodes see under one path.
    n_shards : int, optional
        Actors; one for each core of the cluster by default, as far as there are groups.
    address : str, optional
        As in `cluster.connected`.

    Raises
    ------
    InputError
        If there are fewer groups than shards, or no shard.
    ClusterError
        If there is no cluster at the address.
    """
    with connected(address) as ray:
        n = index.n_groups
        if n_shards is None:
            n_shards = min(n, max(1, int(ray.cluster_resources().get("CPU", 1))))
        if not 1 <= n_shards <= n:
            raise InputError(f"n_shards is 1 to {n}, the groups of the index, got {n_shards}")
        ends = [n * i // n_shards for i in range(n_shards + 1)]
        spans = tuple(pairwise(ends))
        # No core is reserved: an actor whose node was lost has to find a place on another.
        kind = remote(
            ray,
            _Searcher,
            num_cpus=0,
            scheduling_strategy="SPREAD",
            max_restarts=MAX_DEATHS,
            max_task_retries=MAX_DEATHS,
        )
        path = index.path.absolute()
        actors = tuple(kind.remote(path, index.database_checksum, *span) for span in spans)
        try:
            yield ShardedIndex(index, spans, ray, actors)
        finally:
            for actor in actors:
                ray.kill(actor)


class _Searcher:
    """What an actor runs: the search of the groups start .. stop - 1 of the index at a path."""

    def __init__(self, path: Path, checksum: str, start: int, stop: int) -> None:
        self._path, self._checksum = path, checksum
        self._start, self._stop = start, stop
        self._part: Index | None = None

    def search_many(
        self, queries: list[TumorMasks], measure: Measure, k: int, empty_score: float
    ) -> list[list[Match]]:
        """Matches of each query."""
        part = self._part = self._part or self._opened()
        return search_many(part, queries, k=k, measure=measure, empty_score=empty_score)

    def _opened(self) -> Index:
        try:
            index = Index.open(self._path)
        except (OSError, InputError) as error:
            raise InputError(f"on node {socket.gethostname()}: {error}") from None
        if index.database_checksum != self._checksum:
            raise InputError(
                f"node {socket.gethostname()} sees another index at {self._path} than the "
                "driver: build it once, in a folder that all nodes share"
            )
        return index.part(self._start, self._stop)
