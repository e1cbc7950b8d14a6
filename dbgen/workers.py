"""Shards made by Ray workers: what a worker does, and how the driver plans it.

A worker writes its shard to the folder and returns nothing. One that dies costs its own shard
alone, which is planned again.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..atlas import ATLAS_VARIABLE, atlas_checksum, load_atlas
from ..errors import FailedError
from ..solver import Tissue
from ..solver.compilation import keep_compiled_programs
from ..solver.models import reach_of
from .machine.cluster import carried_by_value, reason_of, remote
from .machine.files import REFUSALS
from .machine.tasks import UnfitNodeError, require_seen
from .store.header import HEADER, shard_spans
from .store.record import shard_path
from .store.shard import write_shard
from .study.plan import Plan
from .study.samples import Sample, draw_samples

MAX_FAILURES = 3
"""Errors after which a shard is given up."""
MAX_DEATHS = 10
"""Workers that may die over one shard: nodes come and go, but some deaths are the shard's fault."""


def make_shard(folder: Path, header: dict[str, Any], plan: Plan, index: int) -> None:
    """Draw and write one shard of the database that the header describes."""
    tissue = Tissue.from_atlas(load_atlas())
    first, last = shard_spans(header)[index]
    write_shard(
        shard_path(folder, index),
        _draw(tissue, plan, first, last),
        first=first,
        last=last,
        tissue=reach_of(plan.model, tissue),
        description=header,
        store_density=header["store"] == "density",
        snapshots_per_run=plan.space.snapshots_per_run,
    )


def _draw(tissue: Tissue, plan: Plan, first: int, last: int) -> Iterator[Sample]:
    """Samples first <= i < last, one run after the other."""
    m = plan.space.snapshots_per_run
    for run in range(first // m, (last - 1) // m + 1):
        yield from draw_samples(tissue, plan, run)[max(0, first - run * m) : last - run * m]


def make_shard_here(
    folder: Path, header: dict[str, Any], plan: Plan, index: int, package_version: str
) -> None:
    """`make_shard`, on a node that may not be the driver's."""
    keep_compiled_programs()
    node = socket.gethostname()
    if version("glioquery") != package_version:
        raise UnfitNodeError(
            f"node {node} has glioquery {version('glioquery')}, the driver {package_version}: "
            "install one version on all nodes"
        )
    require_seen(folder, HEADER)
    if atlas_checksum() != header["plan"]["atlas"]["sha256"]:
        raise UnfitNodeError(
            f"node {node} has another atlas in use than the driver: set {ATLAS_VARIABLE} before "
            "Ray is started, to a folder that all nodes see"
        )
    make_shard(folder, header, plan, index)


def make_shards(
    ray: Any, folder: Path, header: dict[str, Any], plan: Plan, todo: list[int]
) -> Iterator[int]:
    """Yield the shards as they are finished; those whose worker died are planned again.

    Twice as many shards as there are cores are under way, so that memory does not grow with the
    database; workers write to the folder and return None.
    """
    # Ray's own retries would hide how often a shard killed its worker.
    task = remote(ray, make_shard_here, num_cpus=1, max_retries=0, name="make_shard")
    with carried_by_value(type(plan.model)):
        shared_plan = ray.put(plan)
    waiting = list(reversed(todo))
    in_flight: dict[Any, int] = {}
    failures: Counter[int] = Counter()
    deaths: Counter[int] = Counter()
    try:
        while waiting or in_flight:
            capacity = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
            while waiting and len(in_flight) < capacity:
                index = waiting.pop()
                arguments = (folder, header, shared_plan, index, version("glioquery"))
                in_flight[task.remote(*arguments)] = index
            ready, _ = ray.wait(list(in_flight), timeout=1.0)
            for reference in ready:
                index = in_flight.pop(reference)
                try:
                    ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    if _is_final(error.cause):
                        raise error.cause from None
                    failures[index] += 1
                    if failures[index] == MAX_FAILURES:
                        _give_up(index, MAX_FAILURES, error)
                    waiting.append(index)
                except ray.exceptions.RayError as error:  # the worker or its node died
                    deaths[index] += 1
                    if deaths[index] == MAX_DEATHS:
                        _give_up(index, MAX_DEATHS, error)
                    waiting.append(index)
                else:
                    yield index
    finally:
        # Nothing writes any more when the driver gives the folder back, whatever ended it.
        for reference in in_flight:
            ray.cancel(reference, force=True)


def _is_final(error: Exception) -> bool:
    """Whether an error is that of the plan, the folder or the node, and comes again."""
    refused = isinstance(error, OSError) and error.errno in REFUSALS
    return refused or isinstance(error, (ValueError, UnfitNodeError))


def _give_up(index: int, n_times: int, error: Exception) -> None:
    message = f"shard {index} failed {n_times} times, last: {reason_of(error)}"
    raise FailedError(message) from error
