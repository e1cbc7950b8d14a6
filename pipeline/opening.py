"""Opening a database and its index: those that are named, or those that come with the package."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from pathlib import Path

from ..dbgen import Database
from ..dbgen.embedded import embedded_database, is_embedded
from ..query import DatabaseOutlines, Index, build_index, outlines_of
from ..query.source import ABSOLUTE
from ..solver import Thresholds
from .progress import progress_bar


def open_database(path: Path | None) -> Database:
    """The database in a folder; without one, the database that comes with the package.

    Raises
    ------
    DatabaseError
        If it is no database, or not complete.
    """
    return embedded_database() if path is None else Database.open(path)


def open_outlines(
    path: Path | None,
    core: float | None = None,
    whole: float | None = None,
    normalisation: str = ABSOLUTE,
) -> DatabaseOutlines:
    """The outlines of a database at given thresholds; those that are stored by default.

    Raises
    ------
    DatabaseError
        As `open_database`.
    ValueError
        As `outlines_of`.
    """
    database = open_database(path)
    stored = database.thresholds
    thresholds = Thresholds(
        core=stored.core if core is None else core, whole=stored.whole if whole is None else whole
    )
    return outlines_of(database, thresholds=thresholds, normalisation=normalisation)


def open_index(
    database: Database, *, thresholds: Thresholds | None = None, normalisation: str = ABSOLUTE
) -> Index:
    """The index of a database's outlines (see `outlines_of`).

    That of the embedded database is built when it is missing or damaged, in the user's cache
    folder.

    Raises
    ------
    ValueError, FileNotFoundError
        If there is none (the message names the command that builds it), it is damaged, or belongs
        to another state of the database.
    """
    outlines = outlines_of(database, thresholds=thresholds, normalisation=normalisation)
    if not is_embedded(database):
        return outlines.open_index()
    with contextlib.suppress(ValueError, FileNotFoundError):
        return outlines.open_index()
    outlines.path.parent.mkdir(parents=True, exist_ok=True)
    with outlines.path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process may be building it
        with contextlib.suppress(ValueError, FileNotFoundError):
            return outlines.open_index()
        # Caches are cleaned, and what an older version of the package left in them does not fit.
        shutil.rmtree(outlines.path, ignore_errors=True)
        with progress_bar("index the embedded database, once", "tumours") as progress:
            return build_index(outlines, outlines.path, progress=progress)
