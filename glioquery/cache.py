"""The cache folder, for files that can be made again."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "GLIOQUERY_CACHE"
"""Environment variable that names the cache folder; if it is set but empty, nothing is kept."""


def cache_folder() -> Path | None:
    """Folder for what can be made again, in the user's cache folder by default.

    Returns
    -------
    Path or None
        The folder may be missing or read-only. None if `GLIOQUERY_CACHE` is set but empty, or if
        the user has no home.
    """
    named = os.environ.get(CACHE_VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        if named is not None:
            return Path(named).expanduser().absolute() if named else None
        return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "glioquery"
    except RuntimeError:  # a user id without a name has no home
        return None
