"""How long work says how far it is: by a call that the caller shows, or not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Progress = Callable[[int, int], None]
"""Called with what is done and the total, in the unit that the function counts."""

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
        What is done.
    unit : str
        What is counted.

    Returns
    -------
    context manager
        It gives `silent`.
    """
    return nullcontext(silent)
