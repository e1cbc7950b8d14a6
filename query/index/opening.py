"""Open a database's outlines and their index, either named ones or the embedded ones."""

from __future__ import annotations

import contextlib
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

from ...cache import CACHE_VARIABLE
from ...dbgen import Database
from ...dbgen.machine.lock import hold_in_turn
from ...dbgen.machine.progress import Bars, no_bars
from ...dbgen.store.embedded import companion_folders, is_embedded
from ...dbgen.store.opening import open_database
from ...errors import FailedError, InputError
from ...paths import StrPath
from ...solver import Thresholds
from .build import build_index
from .index import Index
from .outlines import DatabaseOutlines, outlines_of
from .source import ABSOLUTE


def open_outlines(
    path: StrPath | None,
    core: float | None = None,
    whole: float | None = None,
    normalisation: str = ABSOLUTE,
) -> DatabaseOutlines:
    """The outlines of a database at given thresholds; by default the stored ones.

    Parameters
    ----------
    path : str or os.PathLike, optional
        The database; by default the embedded one.
    core, whole : float, optional
        Densities that the outlines show, between 0 and 1.
    normalisation : str
        As in `outlines_of`.

    Returns
    -------
    DatabaseOutlines

    Raises
    ------
    DatabaseError
        As `open_database`.
    InputError
        As `outlines_of`.
    """
    database = open_database(path)
    stored = database.thresholds
    thresholds = Thresholds(
        core=stored.core if core is None else core, whole=stored.whole if whole is None else whole
    )
    return outlines_of(database, thresholds=thresholds, normalisation=normalisation)


def open_index(
    database: Database,
    *,
    thresholds: Thresholds | None = None,
    normalisation: str = ABSOLUTE,
    bars: Bars = no_bars,
    tell: Callable[[str], None] = warnings.warn,
) -> Index:
    """Open the index of a database's outlines (see `outlines_of`).

    The index of the embedded database is built if it is missing or damaged, in the user's cache
    folder or, if that cannot be written, among temporary files.

    Parameters
    ----------
    database : Database
        The database, as `open_database` returns it.
    thresholds, normalisation
        Thresholds of the outlines and their unit, as in `outlines_of`.
    bars : callable(task, unit)
        Shows the progress of a build.
    tell : callable(sentence)
        Says which folder could not be written, and why.

    Returns
    -------
    Index

    Raises
    ------
    InputError
        If there is none (the message names the command that builds it), it is damaged, or belongs
        to another state of the database.
    FailedError
        If there is no place for the index of the embedded database.
    """
    outlines = outlines_of(database, thresholds=thresholds, normalisation=normalisation)
    if not is_embedded(database):
        return outlines.open_index()
    for folder in companion_folders(database):
        with contextlib.suppress(InputError, OSError):
            return outlines.open_index_at(folder / outlines.index_name)
    refusals = []
    for folder in companion_folders(database):
        path = folder / outlines.index_name
        try:
            return _build(outlines, path, bars)
        except OSError as error:
            refusals.append(f"{error.filename or path}: {error.strerror or error}")
            tell(
                f"the index cannot be kept in {refusals[-1]}; {CACHE_VARIABLE} names another folder"
            )
    raise FailedError(
        f"the index of the embedded database has no place ({'; '.join(refusals)}): let "
        f"{CACHE_VARIABLE} name a folder that can be written and has 50 MB of space"
    )


def _build(outlines: DatabaseOutlines, path: Path, bars: Bars) -> Index:
    """Build an index at a path, unless another process has done so meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with hold_in_turn(path.with_name(f"{path.name}.lock")):
        with contextlib.suppress(InputError):
            return outlines.open_index_at(path)
        # Caches are cleaned, and may hold the index of an older version of the package.
        shutil.rmtree(path, ignore_errors=True)
        with bars("index the embedded database, once", "tumours") as progress:
            return build_index(outlines, path, progress=progress)
