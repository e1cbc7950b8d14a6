"""Treatments as a file lists them, before their maps lie on a tissue's grid.

[[treatment]]
kind = "radiotherapy"
day = 40
fractions = 30
dose_gy = 2.0
alpha = 0.036
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .treatments import Drug, Radiotherapy, Resection, Treatment

MASK, DOSE, DOSE_MAP, SCAN = "mask", "dose_gy", "dose_map", "scan"

MARKED = 0.5
"""Least value of a mask's voxel in a cavity."""

KINDS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "resection": (frozenset({MASK}), frozenset({SCAN})),
    "radiotherapy": (
        frozenset({"alpha"}),
        frozenset({DOSE, DOSE_MAP, SCAN, "alpha_beta_gy", "fractions"}),
    ),
    "drug": (frozenset({"rate", "half_life_days"}), frozenset()),
}
"""For each kind, the values that it needs beside its day, and those that it may have."""


@dataclass(frozen=True)
class ListedTreatment:
    """A treatment of a list.

    Attributes
    ----------
    kind : "resection", "radiotherapy" or "drug"
    day : float
        Day of its first event, as the list counts days.
    numbers : mapping of str to float
        Its values, by the names of the solver's treatment of that kind.
    map : path or None
        File of its mask, or of its doses for a fraction in Gy.
    scan : int
        Number of the scan on whose T1 the map lies, 1 for the first.
    """

    kind: str
    day: float
    numbers: Mapping[str, float]
    map: Path | None = None
    scan: int = 1

    def on(self, day: float, values: NDArray[Any] | None = None) -> Treatment:
        """The solver's treatment.

        Parameters
        ----------
        day : float
            Day of its first event, counted from the seed or from the solver's first day.
        values : array of the tissue's grid, optional
            Values of its map there.

        Raises
        ------
        InputError
            If the treatment cannot have these values.
        """
        if self.kind == "resection":
            return Resection(day, np.zeros(1, np.bool_) if values is None else values >= MARKED)
        if self.kind == "drug":
            return Drug(day, **self.numbers)
        more: dict[str, Any] = dict(self.numbers)
        dose = more.pop(DOSE, 0.0)
        return Radiotherapy(day, dose if values is None else values, **more)

    @property
    def has_map(self) -> bool:
        """Whether it acts by voxel."""
        return self.map is not None

    def row(self) -> dict[str, Any]:
        """Plain values by name; a checksum elsewhere identifies its map."""
        return {"kind": self.kind, "day": self.day, **self.numbers}


def days_since_seed(value: object) -> float:
    """A day of a list that counts from the seed.

    Raises
    ------
    InputError
        If it is no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"day is a number of days since the seed, got {value}")
    return float(value)


def list_treatments(
    tables: object,
    *,
    folder: Path | None,
    day_of: Callable[[object], float] = days_since_seed,
    n_scans: int = 1,
) -> tuple[ListedTreatment, ...]:
    """Treatments from the tables of a TOML file, in the order of their days.

    Parameters
    ----------
    tables : list of mappings
    folder : path or None
        Folder to which files of maps are relative; None if no treatment may have a map.
    day_of : callable
        Reads a day.
    n_scans : int
        Number of scans on whose grids maps may lie.

    Raises
    ------
    InputError
        If a table describes no treatment; the message numbers it from 1.
    """
    if not isinstance(tables, list) or not tables:
        raise InputError("expected tables [[treatment]], each with kind and day")
    listed = []
    for number, table in enumerate(tables, start=1):
        try:
            listed.append(_treatment(table, folder, day_of, n_scans))
        except InputError as error:
            raise InputError(f"treatment {number}: {error}") from None
    return tuple(sorted(listed, key=lambda one: one.day))


def _treatment(
    table: object, folder: Path | None, day_of: Callable[[object], float], n_scans: int
) -> ListedTreatment:
    given = dict(table) if isinstance(table, Mapping) else {}
    kind = given.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise InputError(f"kind is one of {', '.join(KINDS)}, got {kind!r}")
    needed, taken = KINDS[kind]
    for name in sorted(needed | {"day"}):
        if name not in given:
            raise InputError(
                f"a {kind} needs {', '.join(['day', *sorted(needed)])}; {name} is missing"
            )
    day = day_of(given.pop("day"))
    unknown = sorted(set(given) - needed - taken)
    if unknown:
        names = ", ".join(["day", *sorted(needed | taken)])
        raise InputError(f"a {kind} has {names}, got {unknown[0]!r}")
    if kind == "radiotherapy" and len({DOSE, DOSE_MAP} & set(given)) != 1:
        raise InputError(f"radiotherapy has {DOSE} or {DOSE_MAP}, one of the two")
    path = _map(given.pop(MASK if MASK in needed else DOSE_MAP, None), folder)
    scan = given.pop(SCAN, 1)
    if not isinstance(scan, int) or not 1 <= scan <= n_scans:
        raise InputError(f"scan is the number of a scan, 1 to {n_scans}, got {scan!r}")
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{name} is a number, got {value!r}")
    listed = ListedTreatment(kind, day, given, path, scan)
    listed.on(1.0)  # its values are judged
    return listed


def _map(name: object, folder: Path | None) -> Path | None:
    if name is None:
        return None
    if folder is None:
        raise InputError(
            "a map lies at one place and the tumours of a study anywhere: give radiotherapy a "
            f"{DOSE}, and leave resections out"
        )
    if not isinstance(name, str) or not name:
        raise InputError(f"a map is named by its file, got {name!r}")
    return folder / name
