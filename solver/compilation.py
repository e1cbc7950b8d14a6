"""Compiled programs are kept on disk, so that a process need not compile what another has."""

from __future__ import annotations

import functools
import os
from pathlib import Path

CACHE_VARIABLE = "GLIOQUERY_CACHE"
"""Environment variable that names the cache folder; empty, nothing is kept."""


def cache_folder() -> Path | None:
    """Folder for what can be made anew, in the user's cache folder by default.

    Returns
    -------
    Path or None
        None where `GLIOQUERY_CACHE` is set and empty.
    """
    named = os.environ.get(CACHE_VARIABLE)
    if named is not None:
        return Path(named) if named else None
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "glioquery"


@functools.cache
def keep_compiled_programs() -> None:
    """Switch on JAX's persistent compilation cache, unless the user has set one up.

    Where the folder cannot be written, programs are compiled anew and nothing is said.
    """
    import jax  # here: who only wants the folder can spare it

    folder = cache_folder()
    if folder is None or jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    folder = folder / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if not os.access(folder, os.W_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Each of the few programs compiles in less than JAX's default threshold of a second.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
