"""Files that appear under their final name only when complete."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROBE = 1 << 16
"""Bytes by which a file system is asked whether it still takes any."""

UNFINISHED = ".part"
"""Ending of the names of files that are being written."""


@contextlib.contextmanager
def completed(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, given its name when the block ends without an error.

    Raises
    ------
    OSError
        If the file system refuses what is written, whatever the writing library made of it.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{UNFINISHED}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        # NetCDF says "HDF error" to whatever goes wrong: ask the file system itself, while what
        # could be written still fills it.
        refusal = _refusal(temporary)
        if refusal is None:
            raise
        raise OSError(refusal.errno, refusal.strerror, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            os.truncate(temporary, 0)  # frees the space, should a library still hold the file open
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that were killed left half written. None may be at work."""
    for path in folder.glob(f".*{UNFINISHED}"):
        path.unlink(missing_ok=True)


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


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, complete or not at all."""
    with completed(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
