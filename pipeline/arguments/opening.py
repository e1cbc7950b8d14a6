"""Open databases and indexes, with progress and notices for a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...dbgen import Database
from ...dbgen.store.opening import open_database, require_model
from ...query import Index
from ...query.index.opening import open_index as open_unseen
from ..inversion.options import InversionOptions
from ..terminal.printing import print_notice
from ..terminal.progress import progress_bar


def open_index(database: Database, **outlines: Any) -> Index:
    """Open the index of a database as `query.index.open_index`, with build and notices shown.

    Parameters
    ----------
    database : Database
    **outlines
        Thresholds and normalisation of the outlines.

    Returns
    -------
    Index
    """
    return open_unseen(database, bars=progress_bar, tell=print_notice, **outlines)


def open_for(
    options: InversionOptions, database: Path | None, model: str | None
) -> tuple[Database, Index]:
    """Open what inversions with these options need, and refuse options that do not fit it.

    Parameters
    ----------
    options : InversionOptions
    database : Path or None
        Folder or name of the database; None for the embedded one.
    model : str or None
        As `require_model` takes it.

    Returns
    -------
    Database, Index

    Raises
    ------
    InputError
        If there is no such database, or the options need something that it lacks.
    """
    source = open_database(database)
    index = open_index(source)
    if options.own_anatomy:  # asks the model
        require_model(source, model)
    options.require_fit(source, index.n_samples)
    return source, index
