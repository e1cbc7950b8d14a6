"""What is asked of `generate`, completed from the database that stands in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import InputError
from .store.header import HEADER, DatabaseError, read_header
from .store.record import require_readable_path
from .study.plan import Plan
from .study.samplers import find_sampler
from .study.space import ParameterSpace
from .study.values import whole_number

SHARD_SIZE = 48
"""A multiple of the default snapshots of a run, so that no run is simulated for two shards."""


def complete_request(
    folder: Path, n_samples: int | None, plan: Plan | None, store: str | None
) -> tuple[int, Plan, str]:
    """The request of `generate`, completed from the folder's database.

    Raises
    ------
    InputError
        If the number or `store` is out of range, or no number is given where one is needed.
    DatabaseError
        If the folder holds a database that was merged, or one of another schema, or its path is
        none for NetCDF (see `require_readable_path`).
    """
    require_readable_path(folder)
    begun = own_header(folder) if (folder / HEADER).exists() else None
    if plan is None:
        plan = Plan.from_description(begun["plan"]) if begun else Plan()
    if n_samples is None and plan.space.n_points is None and begun:
        n_samples = begun["n_samples"]
    if store is None:
        store = begun["store"] if begun else "density"
    if store not in ("density", "outlines"):
        raise InputError(f"store is 'density' or 'outlines', got {store!r}")
    return number_of_samples(n_samples, plan.space), plan, store


def number_of_samples(n_samples: int | None, space: ParameterSpace) -> int:
    """The number of tumours to make: all of a sweep, unless a number is given.

    Raises
    ------
    InputError
        If it is not positive, more than the sweep has, or missing where there is no sweep.
    """
    n_points = space.n_points
    if n_samples is None:
        if n_points is None:
            raise InputError(
                f"a number of tumours is needed: the sampler {space.sampler!r} draws without end"
            )
        return n_points
    n_samples = whole_number(n_samples, "n_samples")
    if n_samples < 1:
        raise InputError(f"n_samples is a number from 1 up, got {n_samples}")
    if n_points is not None and n_samples > n_points:
        points = "of the design" if find_sampler(space.sampler).has_points else "swept"
        raise InputError(f"n_samples is at most {n_points}, the points {points}, got {n_samples}")
    return n_samples


def checked_shard_size(shard_size: int) -> int:
    """A number of samples in a file, as a whole number.

    Raises
    ------
    InputError
        If it is none, or below 1.
    """
    size = whole_number(shard_size, "shard_size")
    if size < 1:
        raise InputError(f"shard_size is a number from 1 up, got {size}")
    return size


def own_header(folder: Path) -> dict[str, Any]:
    """The header of a database that was generated, not merged."""
    header = read_header(folder)
    if "parts" in header:
        raise DatabaseError(
            f"{folder} was merged from {len(header['parts'])} databases and is not generated "
            "further: extend or repair those, and merge them again into a new folder"
        )
    return header
