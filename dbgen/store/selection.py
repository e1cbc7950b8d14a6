"""Choosing samples by the values of their variables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError


def select_rows(
    columns: Mapping[str, NDArray[Any]], bounds: Mapping[str, slice | float]
) -> NDArray[np.int64]:
    """Rows of a table whose values lie within all of some bounds; see `Database.select`.

    Parameters
    ----------
    columns : mapping of str to (n,) array
        At least one.
    bounds : mapping of str to slice or number
        By the name of the column.

    Raises
    ------
    InputError
        If there is no column of a name, or a bound is not a number or a slice from a lower to a
        higher one.
    """
    chosen = np.ones(len(next(iter(columns.values()))), dtype=bool)
    for name, bound in bounds.items():
        if name not in columns:
            raise InputError(f"unknown variable {name!r}: select by one of {', '.join(columns)}")
        low, high = _ends(name, bound)
        chosen &= (columns[name] >= low) & (columns[name] <= high)
    return np.flatnonzero(chosen).astype(np.int64)


def _ends(name: str, bound: slice | float) -> tuple[float, float]:
    """Least and largest value that a bound lets pass."""
    if not isinstance(bound, slice):
        bound = slice(bound, bound)
    try:
        low = -math.inf if bound.start is None else float(bound.start)
        high = math.inf if bound.stop is None else float(bound.stop)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if bound.step is not None or not low <= high:
        raise InputError(
            f"{name} is selected by a number or by slice(low, high) with low <= high, got {bound}"
        )
    return low, high
