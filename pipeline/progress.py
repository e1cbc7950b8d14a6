"""Progress for people: a bar on a terminal, a line now and then elsewhere; always on stderr."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(stderr=True, highlight=False, soft_wrap=True)

LINE_EVERY_S = 10.0
"""Where there is no terminal, a line is printed at most this often."""


@contextlib.contextmanager
def progress_bar(task: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show how far a task is.

    Parameters
    ----------
    task : str
        What is being done.
    unit : str
        What is counted.

    Yields
    ------
    callable
        To be called with the count that is done and the total.
    """
    if not console.is_terminal:
        yield _line_printer(task, unit)
        return
    with Progress(
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


def _line_printer(task: str, unit: str) -> Callable[[int, int], None]:
    began = last = time.monotonic()

    def update(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= LINE_EVERY_S:
            last = now
            console.print(f"{task}: {done} of {total} {unit}, {now - began:.0f} s")

    return update
