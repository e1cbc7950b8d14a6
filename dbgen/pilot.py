"""What a plan will cost, from a few of its runs: acceptance, time and disk.

The runs are the plan's own first ones, simulated in this process and thrown away.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..atlas import Atlas, load_atlas
from ..paths import StrPath
from ..solver import Tissue
from ..solver.models import reach_of
from .machine.cores import available_cores, require_workers
from .machine.files import scratch_folder
from .request import SHARD_SIZE, checked_shard_size, complete_request, number_of_samples
from .resumption import new_header, what_is_left
from .store.shard import write_shard
from .study.plan import Plan
from .study.samples import Rejection, Sample, draw_samples

N_RUNS = 24
"""Accepted runs with which a pilot ends."""

SECONDS = 8.0
"""Processor time in seconds after which it begins no further run, if one was accepted."""

N_STORED = 32
"""Tumours that are written to measure their size on disk."""


@dataclass(frozen=True)
class Forecast:
    """What to expect of a plan.

    Attributes
    ----------
    n_samples, n_runs : int
        Tumours, and the accepted runs they are snapshots of.
    pilot_runs, pilot_draws : int
        Accepted runs of the pilot; runs it simulated for them, the rejected ones included. They
        tell how rough the estimates are.
    acceptance : float
        pilot_runs / pilot_draws.
    rejections : dict
        Reasons for which the pilot rejected draws, and how many.
    n_draws : int
        Runs to expect, the rejected ones included.
    core_seconds : float
        Time on one core, s.
    n_workers : int
        Cores that share it.
    seconds : float
        Time with them, without the start of Ray.
    n_bytes : int
        Size on disk.
    """

    n_samples: int
    n_runs: int
    pilot_runs: int
    pilot_draws: int
    acceptance: float
    rejections: dict[str, int]
    n_draws: int
    core_seconds: float
    n_workers: int
    seconds: float
    n_bytes: int


def forecast(
    plan: Plan,
    n_samples: int | None = None,
    *,
    store: str = "density",
    shard_size: int = SHARD_SIZE,
    n_workers: int | None = None,
) -> Forecast:
    """Simulate a few runs of a plan and say what the whole database will cost.

    Parameters
    ----------
    plan : Plan
    n_samples : int, optional
        By default all of a sweep.
    store : {'density', 'outlines'}
    shard_size : int
    n_workers : int, optional
        Cores; all by default.

    Raises
    ------
    InputError
        If a number is out of range, or the plan yields no acceptable tumour: the message says which
        limits rejected the draws.
    """
    n_samples = number_of_samples(n_samples, plan.space)
    shard_size = checked_shard_size(shard_size)
    require_workers(n_workers)
    n_workers = n_workers or available_cores()
    atlas = load_atlas()
    tissue = Tissue.from_atlas(atlas)
    plan.require_origins(tissue)
    plan.require_ends(tissue)
    n_runs = math.ceil(n_samples / plan.space.snapshots_per_run)
    run_pilot(tissue, plan, 1)  # compiles the programs, which is not to be counted
    # Processor time: in this process, a simulation may spread over several cores.
    began = time.process_time()
    runs, rejections = run_pilot(tissue, plan, min(n_runs, N_RUNS))
    seconds_a_run = (time.process_time() - began) / len(runs)
    acceptance = len(runs) / (len(runs) + rejections.total())

    stored = list(itertools.chain.from_iterable(runs))[:N_STORED]
    began = time.process_time()
    n_bytes_once = _shard_bytes(atlas, plan, stored, store)
    core_seconds = n_runs * seconds_a_run
    core_seconds += n_samples * (time.process_time() - began) / len(stored)
    # A file with the same tumours twice separates the tumours' share of its size from the file's
    # own.
    bytes_a_tumour = (_shard_bytes(atlas, plan, stored * 2, store) - n_bytes_once) / len(stored)
    bytes_a_file = n_bytes_once - len(stored) * bytes_a_tumour
    n_bytes = math.ceil(n_samples / shard_size) * bytes_a_file + n_samples * bytes_a_tumour
    return Forecast(
        n_samples=n_samples,
        n_runs=n_runs,
        pilot_runs=len(runs),
        pilot_draws=len(runs) + rejections.total(),
        acceptance=acceptance,
        rejections={reason.value: count for reason, count in rejections.most_common()},
        n_draws=round(n_runs / acceptance),
        core_seconds=core_seconds,
        n_workers=n_workers,
        seconds=core_seconds / n_workers,
        n_bytes=round(n_bytes),
    )


def forecast_rest(
    path: StrPath,
    n_samples: int | None = None,
    *,
    plan: Plan | None = None,
    store: str | None = None,
    shard_size: int = SHARD_SIZE,
    n_workers: int | None = None,
) -> tuple[int, Forecast]:
    """What `generate` would cost with these arguments, apart from what is finished in the folder.

    Parameters
    ----------
    path, n_samples, plan, store, shard_size, n_workers
        As in `generate`.

    Returns
    -------
    n_done : int
        Tumours that are finished.
    rest : Forecast
        What the others cost.

    Raises
    ------
    InputError
        As `forecast`; DatabaseError, as `generate`.
    """
    shard_size = checked_shard_size(shard_size)
    require_workers(n_workers)
    folder = Path(path).absolute()
    n_samples, plan, store = complete_request(folder, n_samples, plan, store)
    header, n_left = what_is_left(folder, n_samples, plan, store, shard_size)
    if n_left:
        rest = forecast(
            plan, n_left, store=store, shard_size=header["shard_size"], n_workers=n_workers
        )
    else:
        rest = Forecast(0, 0, 0, 0, 1.0, {}, 0, 0.0, n_workers or available_cores(), 0.0, 0)
    return n_samples - n_left, rest


def run_pilot(
    tissue: Tissue, plan: Plan, n_runs: int
) -> tuple[list[list[Sample]], Counter[Rejection]]:
    """The first runs of a plan, fewer than `n_runs` if they take long.

    Returns
    -------
    runs : list of list of Sample
        Tumours of each accepted run.
    rejections : Counter
        Draws that were not accepted.

    Raises
    ------
    InputError
        If a run yields no acceptable tumour, or the simulation of a sweep's point fails.
    """
    runs: list[list[Sample]] = []
    rejections: Counter[Rejection] = Counter()
    began = time.monotonic()
    while len(runs) < n_runs and not (runs and time.monotonic() - began > SECONDS):
        runs.append(draw_samples(tissue, plan, len(runs), rejections=rejections))
    return runs, rejections


def _shard_bytes(atlas: Atlas, plan: Plan, samples: list[Sample], store: str) -> int:
    """Size of a shard of the tumours."""
    with scratch_folder() as folder:
        return write_shard(
            folder / "shard.nc",
            samples,
            first=0,
            last=len(samples),
            tissue=reach_of(plan.model, Tissue.from_atlas(atlas)),
            description=new_header(len(samples), plan, store, len(samples), atlas),
            store_density=store == "density",
            snapshots_per_run=plan.space.snapshots_per_run,
        ).bytes
