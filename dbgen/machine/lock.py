"""One process at a time, or one after the other: lock files that go when their holders do."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .files import is_alive

WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems answer that know no flock (Lustre and NFS as some mount them)."""


class HeldError(Exception):
    """Another process holds the lock; the message names it and what to do."""


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold a lock file, which is there as long as the lock is held.

    The kernel frees the lock when its holder ends, however it ends. If the file system has no
    flock, the existence of the file is the lock. A file that an ended process of this machine left
    is taken over.

    Parameters
    ----------
    path : Path
        The lock file.

    Yields
    ------
    None

    Raises
    ------
    HeldError
        If another process, or another thread of this one, holds it.
    OSError
        If the file cannot be written.
    """
    file = _take(path)
    try:
        _sign(path, file)
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: see `_take`
        file.close()


@contextlib.contextmanager
def hold_in_turn(path: Path) -> Iterator[bool]:
    """Hold a lock file once its holder has ended; for work that does no harm if it is done twice.

    Parameters
    ----------
    path : Path
        The lock file.

    Yields
    ------
    bool
        True if this process holds the lock. If the file system supports no locks or is read-only,
        the block runs without one, and the value is False.
    """
    file = _wait_for(path)
    try:
        yield file is not None
    finally:
        if file is not None:  # else the file is another's, who holds it
            with contextlib.suppress(OSError):
                path.unlink()  # while it is held: see `_wait_for`
            file.close()


def _sign(path: Path, file: IO[str]) -> None:
    """Write into a lock file who holds it, past buffers, of which none may be left to close."""
    try:
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode())
    except OSError as error:
        error.filename = str(path)  # a file that is open has no name for the system
        raise


def _take(path: Path) -> IO[str]:
    while True:
        is_new, file = _open(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_held = True
        except BlockingIOError:
            raise _held(file, "wait for it to end") from None
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
            is_held = is_new
            if not is_new and not _was_left(file):
                raise _held(file, f"wait for it to end, or remove {path} if it has") from None
            if not is_new:
                _remove_left(path, file)
        # Whoever held it may have removed the file since it was opened: then it locks nothing.
        if is_held and _is_at(path, file):
            return file
        file.close()


def _wait_for(path: Path) -> IO[str] | None:
    while True:
        with contextlib.ExitStack() as stack:
            is_new = False
            try:
                is_new, file = _open(path)
                stack.enter_context(file)
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:
                if is_new:  # it locks nothing; one that was there may be its holder's
                    with contextlib.suppress(OSError):
                        path.unlink()
                return None
            if _is_at(path, file):
                stack.pop_all()
                return file


def _open(path: Path) -> tuple[bool, IO[str]]:
    """The file, and whether it was not there."""
    try:
        return True, path.open("x+", encoding="utf-8")
    except FileExistsError:
        return False, path.open("a+", encoding="utf-8")


def _remove_left(path: Path, file: IO[str]) -> None:
    """Remove a lock file that an ended process left, on a file system without flock.

    Where several processes found it, the first may have made its own at the path already. A second
    file lets one at a time see that it is still there and remove it.

    Raises
    ------
    HeldError
        If another process is about to.
    """
    claim = path.with_name(f"{path.name}.claim")
    try:
        claim.touch(exist_ok=False)
    except FileExistsError:
        raise _held(file, f"wait for it to end, or remove {path} and {claim} if it has") from None
    try:
        if _is_at(path, file):
            path.unlink()
    finally:
        claim.unlink()


def _is_at(path: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _was_left(file: IO[str]) -> bool:
    """Whether the process that wrote the file ran on this machine and has ended."""
    owner = re.fullmatch(r"process (\d+) on (.*)", _read(file))
    if owner is None or owner[2] != socket.gethostname():
        return False
    return not is_alive(int(owner[1]))


def _held(file: IO[str], advice: str) -> HeldError:
    with file:
        return HeldError(f"{_read(file) or 'another process'}: {advice}")


def _read(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip()
