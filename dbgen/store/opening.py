"""Open a database that a person names, or the embedded one, and its growth model."""

from __future__ import annotations

from ...paths import StrPath
from .database import Database
from .embedded import embedded_database


def open_database(path: StrPath | None = None) -> Database:
    """Open a database; without a folder, the embedded one.

    Parameters
    ----------
    path : path, optional
        Folder of the database; by default that of the embedded database.

    Returns
    -------
    Database

    Raises
    ------
    DatabaseError
        If it is no database, or not complete.
    """
    return embedded_database() if path is None else Database.open(path)


def require_model(database: Database, model: str | None = None) -> None:
    """See that a database's growth model can be made, before a simulation with it.

    Parameters
    ----------
    database : Database
    model : str, optional
        The model's class, as module:Class, if no installed package offers it. A class that only the
        database names is never imported.

    Raises
    ------
    InputError
        If the model cannot be made; the message says how to name it.
    """
    from ...solver.models import find_class, recall_model, register_model  # here: they need JAX

    if model is not None:
        register_model(find_class(model))
    recall_model(database.header["plan"]["model"])
