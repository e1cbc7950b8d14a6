"""Work that is done before it is asked for, beside other work."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

T = TypeVar("T")


class found_once(cached_property[T]):  # noqa: N801 - used as a decorator, as its base is
    """A cached property that one thread finds while others wait for it.

    Objects of one class wait for each other, too.
    """

    def __init__(self, find: Callable[[Any], T]) -> None:
        super().__init__(find)
        self._finding = threading.RLock()

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        with self._finding:
            return super().__get__(instance, owner)


def ahead(work: Callable[[], object]) -> threading.Thread:
    """Begin in a thread what will be needed, and is kept where it is found again.

    If it fails, nothing is said: it fails again, and is told, where it is needed.

    Parameters
    ----------
    work : callable

    Returns
    -------
    Thread
        At work; nobody need wait for it.
    """

    def do() -> None:
        with contextlib.suppress(Exception):
            work()

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    return thread
