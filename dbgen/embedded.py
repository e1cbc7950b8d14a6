"""The database that comes with the package: outlines alone, the first samples of the default plan.

It is made, and after its removal made anew when the default plan or the solver's scheme changes, by

    glioquery generate dbgen/default_database --n 6500 --store outlines --shard-size 500
"""

from __future__ import annotations

import getpass
import tempfile
from pathlib import Path

from ..solver.compilation import cache_folder
from .database import Database

EMBEDDED = Path(__file__).parent / "default_database"
"""Where it lies in the installed package, which may be read-only."""


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
    """
    if not is_embedded(database):
        return database.path
    cache = cache_folder() or Path(tempfile.gettempdir()) / f"glioquery-{getpass.getuser()}"
    return cache / "databases" / database.checksum[:16]
