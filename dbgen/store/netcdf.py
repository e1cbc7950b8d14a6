"""NetCDF files for one thread at a time.

The libraries below, netCDF-C and HDF5, keep state of the whole process without a lock: two threads
in them at once, even in two files, end Python with a segmentation fault. Whatever this package
reads or writes with netCDF4 goes through the lock of this module.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    import netCDF4

T = TypeVar("T")

_LOCK = threading.RLock()


@contextlib.contextmanager
def alone_in_netcdf() -> Iterator[None]:
    """Keep all other threads out of NetCDF and HDF5 for the block, which holds no other such block.

    So do threads that read values from files of their own with xarray; it opens files unprotected.
    """
    with _LOCK, _lock_of_xarray():
        yield


@contextlib.contextmanager
def opened(path: Path, mode: Literal["r", "a"] = "r") -> Iterator[netCDF4.Dataset]:
    """A NetCDF file, which no thread shares, for a block that `alone_in_netcdf` keeps."""
    import netCDF4  # here and below: who reads no file yet can spare it

    with alone_in_netcdf(), netCDF4.Dataset(path, mode) as file:
        yield file


@contextlib.contextmanager
def created(path: Path) -> Iterator[netCDF4.Dataset]:
    """A new NetCDF file, each use of which stands in a block of `alone_in_netcdf` of its own.

    So others may read while it is being made, which can take minutes.
    """
    import netCDF4

    with alone_in_netcdf():
        file = netCDF4.Dataset(path, "w", format="NETCDF4")
    try:
        yield file
    finally:
        with alone_in_netcdf():
            file.close()


class computed_once(cached_property[T]):  # noqa: N801 - used as a decorator, as its base is
    """A cached property that one thread computes, while the others wait for its value.

    It may read NetCDF files: both have one lock, so that neither waits for the other.
    """

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        with _LOCK:
            return super().__get__(instance, owner)


_forking: list[contextlib.AbstractContextManager[None]] = []
"""The block that a fork under way holds; there is one at most."""


def _before_fork() -> None:
    """Wait for a fork's turn like a reading.

    Otherwise the child would inherit locks that nobody opens, and libraries amid their work.
    """
    block = alone_in_netcdf()
    block.__enter__()
    _forking.append(block)


def _after_fork() -> None:
    _forking.pop().__exit__(None, None, None)


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _lock_of_xarray() -> contextlib.AbstractContextManager[Any]:
    # A process without xarray reads nothing through it; importing it would take 40 MB.
    module = sys.modules.get("xarray.backends.netCDF4_")
    lock = getattr(module, "NETCDF4_PYTHON_LOCK", None)  # none while it is being imported
    return contextlib.nullcontext() if lock is None else lock
