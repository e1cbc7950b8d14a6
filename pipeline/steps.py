"""The steps of long work: each is named as it begins, and timed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping

from ..dbgen.machine.memory import give_memory_back

Step = Callable[[str], None]
"""Called with the name of each step as it begins."""


def silent(name: str) -> None:
    """Show no step."""


class Steps:
    """Announces each step and keeps its time; the memory of the one before goes back first.

    Attributes
    ----------
    seconds : dict of str to float
        Duration of each step that has ended.
    """

    def __init__(self, told: Step = silent, seconds: Mapping[str, float] | None = None) -> None:
        """Begin with the durations of earlier steps, if any."""
        self._told, self.seconds = told, dict(seconds or {})

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the work of the block as the step of this name."""
        give_memory_back()
        self._told(name)
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 3)
