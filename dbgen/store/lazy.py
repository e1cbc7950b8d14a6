"""The shards of a database as one array, read only where values are asked for.

`xarray.open_mfdataset` would do this through dask. A sample is one compressed chunk of its shard,
so that there is nothing to gain from a scheduler: xarray's own lazy indexing is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from .stored import StoredShard


def read_variable(file: netCDF4.Dataset, name: str) -> xr.Variable:
    """A variable with its attributes, in memory."""
    variable = file[name]
    return xr.Variable(variable.dimensions, np.asarray(variable[:]), _attributes(variable))


def lazy_variable(name: str, shards: Sequence[StoredShard]) -> xr.Variable:
    """A variable along `sample`, joined over all shards, whose values are read when asked for.

    Files are opened for each reading and closed after it: the variable holds none open, and can be
    pickled.

    Parameters
    ----------
    name : str
        A variable that every shard has, with `sample` as its first dimension.
    shards : sequence of StoredShard
        In the order of their samples, the first from sample 0.
    """
    with shards[0].opened() as shard:
        variable = shard[name]
        dimensions, attributes = variable.dimensions, _attributes(variable)
        shape = (shards[-1].record.last, *variable.shape[1:])
        dtype = np.dtype(variable.dtype)
    stacked = _StackedShards(name, tuple(shards), shape, dtype)
    return xr.Variable(dimensions, indexing.LazilyIndexedArray(stacked), attributes)


class _StackedShards(BackendArray):
    """One variable of all shards as xarray's lazy indexing asks for it."""

    def __init__(
        self, name: str, shards: tuple[StoredShard, ...], shape: tuple[int, ...], dtype: np.dtype
    ) -> None:
        self.name, self.shards = name, shards
        self.shape, self.dtype = shape, dtype
        self.firsts = np.array([shard.record.first for shard in shards])

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._read
        )

    def _read(self, key: tuple[Any, ...]) -> NDArray[Any]:
        """Values at an integer, a slice or an array of integers on each axis, each on its own."""
        asked, *inner = key
        samples = np.arange(self.shape[0])[asked]
        rows = np.atleast_1d(samples)
        values = [np.empty(0)] * len(rows)
        shard_of = np.searchsorted(self.firsts, rows, side="right") - 1
        for index in np.unique(shard_of):
            shard = self.shards[index]
            with shard.opened() as file:
                variable = file[self.name]
                variable.set_auto_maskandscale(False)
                for place in np.flatnonzero(shard_of == index):
                    values[place] = _on_each_axis(variable[rows[place] - shard.record.first], inner)
        if np.ndim(samples) == 0:
            return values[0]
        if not values:
            empty = np.empty(self.shape[1:], self.dtype)
            return np.empty((0, *_on_each_axis(empty, inner).shape), self.dtype)
        return np.stack(values)


def _attributes(variable: netCDF4.Variable[Any]) -> dict[str, Any]:
    return {key: variable.getncattr(key) for key in variable.ncattrs()}


def _on_each_axis(values: NDArray[Any], key: Sequence[Any]) -> NDArray[Any]:
    # From the last axis to the first, so that an integer, which removes its axis, moves no other.
    for axis in reversed(range(len(key))):
        values = values[(slice(None),) * axis + (key[axis],)]
    return values
