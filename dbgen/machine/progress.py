"""Progress of long work: the work calls a function, and the caller decides what to show."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Progress = Callable[[int, int], None]
"""Called with the amount done and the total, in the unit that the function counts."""

Bars = Callable[[str, str], AbstractContextManager[Progress]]
"""Makes a `Progress` for each of several tasks, from the task's name and what it counts."""


def silent(done: int, total: int) -> None:
    """Show no progress.

    Parameters
    ----------
    done, total : int
        Counts of any unit.
    """


def no_bars(task: str, unit: str) -> AbstractContextManager[Progress]:
    """Show the progress of no task.

    Parameters
    ----------
    task : str
        Name of the task.
    unit : str
        Unit of the count.

    Returns
    -------
    context manager
        It yields `silent`.
    """
    return nullcontext(silent)
