"""Work that is done before it is asked for, beside other work."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable


def ahead(work: Callable[[], object]) -> threading.Thread:
    """Start work in a thread; what it computes is cached for later.

    Errors are ignored here: the later call raises them again.

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
