"""Work that is done before it is asked for, beside other work."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable


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
