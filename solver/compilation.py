"""Compiled programs are kept on disk, so that no process compiles what another one has compiled."""

from __future__ import annotations

import functools
import os

from ..cache import cache_folder
from .own_settings import require_device


def prepare_jax() -> None:
    """Prepare a process of this package for JAX; it fails now rather than late (takes 1 s).

    Raises
    ------
    DeviceError
        If JAX finds no device (see `own_settings.require_device`).
    """
    require_device()
    keep_compiled_programs()


@functools.cache
def keep_compiled_programs() -> None:
    """Let JAX keep the programs of this process on disk, unless the user has set that up.

    The setting holds for the whole process, the user's own programs included. The commands and the
    workers call this. In a script or a notebook, call it once to save the two seconds in which the
    growth models compile. If the cache folder cannot be written, programs are compiled again
    without a notice.
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
