"""The embedded database: outlines alone, the first samples of the default plan.

These commands make it. When the default plan or the solver's scheme changes, remove it and run them
again.

    glioquery generate dbgen/default_database --n 6500 --store outlines --shard-size 500
    glioquery calibrate dbgen/default_database
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ...cache import CACHE_VARIABLE, cache_folder
from .database import Database
from .header import DatabaseError

EMBEDDED = Path(__file__).parents[1] / "default_database"
"""Folder in the installed package, which may be read-only."""

COMPANIONS = "databases"
"""Name of the folder for its companion folders."""

READ_ONLY = "read-only"
"""Name of the folder for companion folders of databases on read-only disks."""


def embedded_database() -> Database:
    """Open the embedded database.

    Returns
    -------
    Database

    Raises
    ------
    DatabaseError
        If the installation lacks it, or it was altered.
    """
    return Database.open(EMBEDDED)


def is_embedded(database: Database) -> bool:
    """Whether a database is the one that comes with the package."""
    return database.path.absolute() == EMBEDDED.absolute()


def companion_folders(database: Database) -> Iterator[Path]:
    """Folders for files that are made from a database, such as its indexes; the best first.

    They are the database's own folder, unless it is the embedded database; a folder in the user's
    cache that is named after the checksum, if there is a cache; the same among temporary files.
    None need exist or be writable: a database may lie on a read-only disk.

    Raises
    ------
    DatabaseError
        If there is no place at all: no cache, and others may write to the folder among temporary
        files.
    """
    group = COMPANIONS if is_embedded(database) else READ_ONLY
    place = Path(group, database.checksum[:16])
    cache = cache_folder()
    if not is_embedded(database):
        yield database.path
    if cache is not None:
        yield cache / place
    try:
        temporary = _private_folder()
    except (OSError, DatabaseError) as error:
        if cache is None and is_embedded(database):
            raise DatabaseError(
                f"{error}, or let {CACHE_VARIABLE} name a folder of yours"
            ) from None
        return
    yield temporary / place


def companion_path(database: Database, name: str) -> Path:
    """Where something made from a database lies: in the first of the folders that has it.

    Where none has, it is the first folder that can be written, or the first of all.

    Raises
    ------
    DatabaseError
        As `companion_folders`.
    """
    places = []
    for folder in companion_folders(database):
        if _exists(folder / name):
            return folder / name
        places.append(folder)
    return next(filter(_is_writable, places), places[0]) / name


def is_companion(folder: Path, checksum: str) -> bool:
    """Whether a folder is the companion of the embedded database with a checksum, by its name.

    Nothing is opened: the database may be of another atlas than the one in use.
    """
    return (folder.parent.name, folder.name) == (COMPANIONS, checksum[:16])


def _private_folder() -> Path:
    """A folder among temporary files, of the same name in each process of this user.

    Anybody may have made it before, to put in it what this user then trusts.
    """
    folder = Path(tempfile.gettempdir(), f"glioquery-{os.geteuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    is_open = stat.S_IMODE(found.st_mode) & 0o022
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or is_open:
        raise DatabaseError(f"{folder} is another user's, or others may write to it: remove it")
    return folder


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or it can be made itself."""
    while not _exists(folder):
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _exists(path: Path) -> bool:
    """Whether something is there, as far as this user may see."""
    try:
        return path.exists()
    except OSError:
        return False
