"""Opening a database and its index: those that are named, or those that come with the package."""

from __future__ import annotations

from pathlib import Path

from ..dbgen import Database
from ..dbgen.embedded import embedded_database, is_embedded
from ..query import Index, build_index, outlines_of
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


def open_index(
    database: Database, *, thresholds: Thresholds | None = None, normalisation: str = ABSOLUTE
) -> Index:
    """The index of a database's outlines (see `outlines_of`).

    That of the embedded database is built when it is missing, in the user's cache folder.

    Raises
    ------
    ValueError, FileNotFoundError
        If there is none (the message names the command that builds it), it is damaged, or belongs
        to another state of the database.
    """
    outlines = outlines_of(database, thresholds=thresholds, normalisation=normalisation)
    if is_embedded(database) and not outlines.path.exists():
        with progress_bar("index the embedded database, once", "tumours") as progress:
            build_index(outlines, outlines.path, progress=progress)
    return outlines.open_index()
