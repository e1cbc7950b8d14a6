"""Databases that were fetched, by name: they lie in the user's cache."""

from __future__ import annotations

import re
from pathlib import Path

from ...cache import CACHE_VARIABLE, cache_folder
from ...errors import InputError
from ...paths import StrPath
from .header import HEADER

FETCHED = "fetched"
"""Name of the folder of them in the cache."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""Names that are valid for a folder on any machine."""


def fetched_folder(name: str) -> Path:
    """Where a fetched database lies or will lie.

    Raises
    ------
    InputError
        If it cannot be the name of a database, or there is no cache.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"a database's name has letters, digits and . _ - and begins with neither of these "
            f"three, got {name!r}"
        )
    cache = cache_folder()
    if cache is None:
        raise InputError(
            f"fetched databases lie in the cache, and there is none: let {CACHE_VARIABLE} name a "
            "folder"
        )
    return cache / FETCHED / name


def located(path: StrPath) -> Path:
    """A database's folder: the path itself, or the fetched database of that name.

    A database at the path comes first. Where neither is there, the path is returned as it is.
    """
    folder = Path(path)
    if not (folder / HEADER).is_file() and NAME.fullmatch(str(path)) and cache_folder() is not None:
        fetched = fetched_folder(str(path))
        if (fetched / HEADER).is_file():
            return fetched
    return folder
