"""Open databases and indexes, with progress and notices for a person."""

from __future__ import annotations

import functools
from pathlib import Path

from ...dbgen import Database
from ...query import Index
from ...query.index import opening
from ...query.index.opening import open_database, require_model
from ..inversion.options import InversionOptions
from ..terminal.printing import print_notice
from ..terminal.progress import progress_bar

open_index = functools.partial(opening.open_index, bars=progress_bar, tell=print_notice)
"""`query.index.opening.open_index`, with build and notices shown."""


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
