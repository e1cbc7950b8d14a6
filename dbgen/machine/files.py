"""Files that appear under their final name only when complete, and folders for temporary ones."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import math
import os
import re
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of a file system that no second try mends."""

PROBE = 1 << 16
"""Bytes by which a file system is asked whether it still takes any."""

UNFINISHED = ".part"
"""Ending of the names of files that are being written."""

SCRATCH = "glioquery-scratch-"
"""How the names of temporary folders begin."""

ABANDONED_S = 60.0
"""Age below which a temporary folder may be one that its owner has yet to lock."""


@contextlib.contextmanager
def completed(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, given its name when the block ends without an error.

    Files that killed processes left in the folder are removed first.

    Parameters
    ----------
    path : Path
        The file to write; its folder exists.

    Yields
    ------
    Path
        Where to write it.

    Raises
    ------
    OSError
        If the file system refuses the data, whatever error the writing library raised.
    """
    temporary = begun(path)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        # NetCDF says "HDF error" to whatever goes wrong: ask the file system itself, while what
        # could be written still fills it.
        refusal = _refusal(temporary)
        if isinstance(error, OSError) and str(error.filename) == str(temporary):
            refusal = refusal or error  # whose path is hidden from the user
        if refusal is None:
            raise
        raise OSError(refusal.errno, refusal.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            os.truncate(temporary, 0)  # frees the space, should a library still hold the file open
        temporary.unlink(missing_ok=True)


def begun(path: Path) -> Path:
    """The hidden path at which to make a file or folder before it appears at `path`.

    Its name tells its owner. Files that killed processes left in the folder are removed.
    """
    _remove_abandoned(path.parent, os.getpid())
    return path.with_name(f".{path.name}.{new_owner()}{UNFINISHED}")


def new_owner() -> str:
    """A name that no other has, and that tells the process which gave it (see `has_ended`)."""
    return f"{_machine()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def has_ended(owner: str) -> bool:
    """Whether the owner of a name of `new_owner` was a process of this machine and has ended."""
    found = re.fullmatch(rf"{_machine()}-(\d+)-[0-9a-f]{{8}}", owner)
    return found is not None and not is_alive(int(found[1]))


@functools.cache
def _remove_abandoned(folder: Path, process: int) -> None:
    """`remove_unfinished` once for each process, since a folder of many files takes long to list.

    Parameters
    ----------
    folder : Path
    process : int
        Number of this process.
    """
    remove_unfinished(folder)


def remove_unfinished(folder: Path) -> None:
    """Remove the files and folders of `begun` whose owners, processes of this machine, have ended.

    What a living process or another machine works at stays.

    Parameters
    ----------
    folder : Path
        Where they lie.
    """
    owned = re.compile(rf"\..*\.([^.]+){re.escape(UNFINISHED)}")
    with contextlib.suppress(OSError):  # a folder that cannot be listed may still be writable
        for path in folder.iterdir():
            found = owned.fullmatch(path.name)
            if found and has_ended(found[1]):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


@functools.cache
def _machine() -> str:
    """Short name of what numbers this process: a machine, or a container on it."""
    numbered_by = socket.gethostname()
    with contextlib.suppress(OSError):  # Linux has it
        numbered_by += str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(numbered_by.encode()).hexdigest()[:8]


def is_alive(process: int) -> bool:
    """Whether a process of this machine has not ended."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A private folder among the temporary files, for the duration of the block.

    Its owner holds a lock on it, which the kernel frees however the owner ends. So folders that
    killed processes of this user left are recognised, and removed first.

    Yields
    ------
    Path
        The folder; it is removed when the block ends.
    """
    _remove_unlocked(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=SCRATCH, ignore_cleanup_errors=True) as name:
        handle = os.open(name, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # some file systems lock no folders
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Path(name)
        finally:
            os.close(handle)


def _remove_unlocked(folder: Path) -> None:
    for path in folder.glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                found = os.fstat(handle)
                is_new = time.time() - found.st_mtime < ABANDONED_S
                if found.st_uid == os.geteuid() and not is_new:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)


def _refusal(path: Path) -> OSError | None:
    """The file system's error where it does not take more of a file; None where it does."""
    try:
        with path.open("ab") as file:
            file.write(bytes(PROBE))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error
    return None


def reserved_array(path: Path, dtype: str, shape: tuple[int, ...]) -> np.memmap:
    """A new .npy file, mapped for writing, whose space on the disk is taken at once.

    Without that a full disk would show when a page of the map is written, and end the process by a
    signal.

    Parameters
    ----------
    path : Path
        The file, which is replaced if it exists.
    dtype : str
        Type in NumPy's notation, such as "<u2".
    shape : tuple of int

    Returns
    -------
    memmap
        Zeros; writable.

    Raises
    ------
    OSError
        If the file system has no room for it, or refuses the file.
    """
    head = {"descr": npy.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        with path.open("wb") as file:
            npy.write_array_header_1_0(file, head)
            file.flush()
            if hasattr(os, "posix_fallocate") and n_bytes:
                os.posix_fallocate(file.fileno(), file.tell(), n_bytes)
            else:  # macOS
                for start in range(0, n_bytes, PROBE):
                    file.write(bytes(min(PROBE, n_bytes - start)))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    return npy.open_memmap(path, mode="r+")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file, complete or not at all.

    Parameters
    ----------
    path : Path
        The file, which is replaced if it exists.
    content : bytes

    Raises
    ------
    OSError
        If the file system refuses it.
    """
    with completed(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, complete or not at all; a surrogate is written as its number.

    Parameters
    ----------
    path : Path
        The file, which is replaced if it exists.
    text : str

    Raises
    ------
    OSError
        If the file system refuses it.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, complete or not at all.

    Parameters
    ----------
    path : Path
        The file, which is replaced if it exists.
    value : object
        What the `json` module writes.

    Raises
    ------
    OSError
        If the file system refuses it.
    """
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """A value as `write_json` writes it.

    Parameters
    ----------
    value : object
        What the `json` module writes.

    Returns
    -------
    bytes
    """
    return f"{json.dumps(value, indent=2)}\n".encode()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal.

    Parameters
    ----------
    path : Path

    Returns
    -------
    str
        64 digits.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
