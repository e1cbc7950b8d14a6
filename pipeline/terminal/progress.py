"""Progress for people: a bar on a terminal, a line now and then elsewhere, always on stderr."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichBars

from ...dbgen.machine.progress import Progress

if TYPE_CHECKING:
    from ...dbgen.generation import FinishedShard

console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
"""The console of people: standard error."""

LINE_EVERY_S = 10.0
"""Seconds between two lines of progress without a terminal."""


@contextlib.contextmanager
def progress_bar(task: str, unit: str) -> Iterator[Progress]:
    """Show the progress of a task.

    Parameters
    ----------
    task : str
        Name of the task.
    unit : str
        Unit of the count.

    Yields
    ------
    callable
        Call it with the count that is done and the total.
    """
    if not console.is_terminal:
        yield _line_printer(task, unit)
        return
    with RichBars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    ) as bars:
        bar = bars.add_task(task, total=None)

        def update(done: int, total: int) -> None:
            bars.update(bar, completed=done, total=total)

        yield update


def _line_printer(task: str, unit: str) -> Progress:
    began = last = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= LINE_EVERY_S:
            last = now
            console.print(f"{task}: {done} of {total} {unit}, {now - began:.0f} s")

    return update


@dataclass
class Speed:
    """How fast a database grows, from the shards that were finished since it began.

    Attributes
    ----------
    n_begun : int
        Samples that existed at the beginning.
    n_runs, n_draws : int
        Runs accepted since then, and runs drawn for them.
    """

    n_begun: int = 0
    n_runs: int = 0
    n_draws: int = 0

    def add(self, shard: FinishedShard, seconds: float) -> str:
        """Count a shard that was finished after a time, and say how fast it goes.

        Returns
        -------
        str
            Tumours a second, share of the runs that was accepted, time left.
        """
        self.n_runs += shard.n_runs
        self.n_draws += shard.n_draws
        rate = (shard.n_done - self.n_begun) / max(seconds, 1e-9)
        left = (shard.n_samples - shard.n_done) / rate
        accepted = 100 * self.n_runs / self.n_draws
        return f"{rate:.3g} tumours/s, {accepted:.0f} % accepted, {duration(left)} left"


class GenerationProgress:
    """Follows a generation: give its methods to `generate` as `progress` and `on_shard`."""

    def __init__(self, bars: RichBars | None) -> None:
        self._bars = bars
        self._bar = bars.add_task("generate", total=None, speed="") if bars else None
        self._speed: Speed | None = None
        self._began = time.monotonic()

    def count(self, done: int, total: int) -> None:
        """Show how many tumours there are."""
        if self._bars is not None and self._bar is not None:
            self._bars.update(self._bar, completed=done, total=total)
        elif self._speed is None:
            console.print(f"generate: {done} of {total} tumours")
        if self._speed is None:
            self._speed, self._began = Speed(done), time.monotonic()

    def add(self, shard: FinishedShard) -> None:
        """Show a finished shard."""
        self._speed = self._speed or Speed()
        speed = self._speed.add(shard, time.monotonic() - self._began)
        if self._bars is not None and self._bar is not None:
            self._bars.update(self._bar, speed=speed)
        else:
            console.print(
                f"generate: shard {shard.index:05d} written, {shard.n_done} of {shard.n_samples} "
                f"tumours, {speed}"
            )


@contextlib.contextmanager
def generation_progress() -> Iterator[GenerationProgress]:
    """One bar with speed, acceptance and time left on a terminal; a line a shard elsewhere.

    Yields
    ------
    GenerationProgress
        It receives the reports of `generate`.
    """
    if not console.is_terminal:
        yield GenerationProgress(None)
        return
    with RichBars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        console=console,
        expand=True,
    ) as bars:
        yield GenerationProgress(bars)


def duration(seconds: float) -> str:
    """A duration in words: 40 s, 12 min, 3 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
