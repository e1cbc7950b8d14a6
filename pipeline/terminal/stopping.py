"""Signals that ask a command to end: Ctrl-C, SIGTERM as SLURM or Docker send it, a closed terminal.

Each becomes one exception, so that the command cleans up on the way out: it ends child processes,
and removes temporary folders and unfinished files.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

AGAIN_S = 1.0
"""Time after which an exception that was dropped on its way is raised again."""


class Stopped(KeyboardInterrupt):  # which Ray's compiled code lets through
    """A signal asked this process to end.

    Attributes
    ----------
    name : str
        Name of the signal, as people know it.
    exit_code : int
        128 and the signal's number, as shells have it.
    """

    def __init__(self, number: int) -> None:
        self.name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        self.exit_code = 128 + number
        super().__init__(f"stopped by {self.name}")


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Leave the block with `Stopped` when a signal asks this process to end.

    A signal that was ignored when the process started (nohup) stays ignored. After the first
    signal, others do not disturb the clean-up; a second Ctrl-C ends the process at once. Where the
    exception meets code that drops it, such as an import begun by a compiled module, it is raised
    again a second later.

    Yields
    ------
    None

    Raises
    ------
    Stopped
        When such a signal comes.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are for the main one
        yield
        return
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGALRM)}
    caught = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]
    came: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        for other in caught:
            signal.signal(other, signal.SIG_DFL if other == signal.SIGINT else signal.SIG_IGN)
        came.append(number)
        signal.signal(signal.SIGALRM, stop_again)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S, AGAIN_S)
        raise Stopped(number)

    def stop_again(number: int, frame: FrameType | None) -> None:
        if not _is_stopping():
            raise Stopped(came[0])

    hook = sys.unraisablehook

    def unless_stopped(unraisable: Any) -> None:
        if not isinstance(unraisable.exc_value, Stopped):  # that one comes again
            hook(unraisable)

    for number in caught:
        signal.signal(number, stop)
    sys.unraisablehook = unless_stopped
    try:
        yield
    except BaseException:
        if came:  # libraries make other exceptions of it
            raise Stopped(came[0]) from None
        raise
    finally:
        sys.unraisablehook = hook
        if came:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before[signal.SIGALRM])
        for number in caught:
            signal.signal(number, before[number])


def _is_stopping() -> bool:
    """Whether `Stopped`, or what a library made of it, is on its way, through a clean-up, say."""
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, Stopped):
            return True
        error = error.__context__
    return False
