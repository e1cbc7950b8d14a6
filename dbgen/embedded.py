"""The database that comes with the package: outlines alone, the first samples of the default plan.

It is made, and after its removal made anew when the default plan or the solver's scheme changes, by

    glioquery generate dbgen/default_database --n 6500 --store outlines --shard-size 500
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from ..solver.compilation import CACHE_VARIABLE, cache_folder
from .database import Database
from .header import DatabaseError

EMBEDDED = Path(__file__).parent / "default_database"
"""Where it lies in the installed package, which may be read-only."""

COMPANIONS = "databases"
"""Name of the folder of its companion folders."""


def embedded_database() -> Database:
    """Open the database that comes with the package.

    Raises
    ------
    DatabaseError
        If the installation lacks it, or it was altered.
    """
    return Database.open(EMBEDDED)


def is_embedded(database: Database) -> bool:
    """Whether a database is the one that comes with the package."""
    return database.path.absolute() == EMBEDDED.absolute()


def companion_folder(database: Database) -> Path:
    """Where to keep what is made from a database, its indexes say.

    That is the database's own folder; for the one that comes with the package a folder of its
    checksum's name in the user's cache, or among temporary files where no cache is wanted.

    Raises
    ------
    DatabaseError
        If others may write to the folder among temporary files.
    """
    if not is_embedded(database):
        return database.path
    cache = cache_folder() or _private_folder()
    return cache / COMPANIONS / database.checksum[:16]


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
        raise DatabaseError(
            f"{folder} is another user's, or others may write to it: remove it, or let "
            f"{CACHE_VARIABLE} name a folder of yours"
        )
    return folder
