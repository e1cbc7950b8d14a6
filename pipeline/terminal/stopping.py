"""Signals that ask a command to end: Ctrl-C, SIGTERM as SLURM or Docker send it, a closed terminal.

Each becomes one exception, so that the command cleans up on the way out: it ends child processes,
and removes temporary folders and unfinished files.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
    signal, others do not disturb the clean-up; a second Ctrl-C ends the process at once.

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
    before = {number: signal.getsignal(number) for number in SIGNALS}
    caught = [number for number in SIGNALS if before[number] is not signal.SIG_IGN]
    came: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        for other in caught:
            signal.signal(other, signal.SIG_DFL if other == signal.SIGINT else signal.SIG_IGN)
        came.append(number)
        raise Stopped(number)

    for number in caught:
        signal.signal(number, stop)
    try:
        yield
    except BaseException:
        if came:  # libraries make other exceptions of it
            raise Stopped(came[0]) from None
        raise
    finally:
        for number in caught:
            signal.signal(number, before[number])
