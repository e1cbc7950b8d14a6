"""Runs that a person lists: one row of a file for each."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...paths import StrPath
from ...solver.declarations import COMMON, Parameter
from ...solver.parameters import GrowthParameters
from .values import Range

PARQUET = (".parquet", ".pq")
"""How the names of files end that pyarrow reads."""


@dataclass(frozen=True)
class RunTable:
    """The parameters of all runs of a study.

    Attributes
    ----------
    columns : mapping of str to tuple of float
        By the name of the parameter: those of `COMMON`, and any of the model's own.
    """

    columns: Mapping[str, tuple[float, ...]] = field(hash=False)

    def __post_init__(self) -> None:
        given: object = self.columns
        if not isinstance(given, Mapping):
            raise InputError(
                f"the table of runs is a file, or lists of numbers by their names, got {given!r}"
            )
        columns = {name: _floats(name, values) for name, values in given.items()}
        missing = [p.name for p in COMMON if p.name not in columns]
        if missing:
            raise InputError(f"the table of runs has no column {', '.join(missing)}")
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1 or 0 in lengths:
            raise InputError("the table of runs has at least one row, and as many in each column")
        object.__setattr__(self, "columns", columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def own_names(self) -> list[str]:
        """Its columns of parameters that the growth model declares itself."""
        common = {p.name for p in COMMON}
        return [name for name in self.columns if name not in common]

    def growth(self, row: int) -> GrowthParameters:
        """The growth of a row, from 0."""
        return GrowthParameters.of({name: values[row] for name, values in self.columns.items()})

    def range_of(self, name: str) -> Range:
        """From the least to the greatest value of a column."""
        return Range(min(self.columns[name]), max(self.columns[name]))

    def to_dict(self) -> dict[str, list[float]]:
        """The columns in plain values, from which the table is made again."""
        return {name: list(values) for name, values in self.columns.items()}


def _floats(name: str, values: Any) -> tuple[float, ...]:
    """The numbers of a column."""
    try:
        if not isinstance(values, str):
            return tuple(map(float, values))
    except (TypeError, ValueError):
        pass
    raise InputError(f"the table of runs, {name}: a list of numbers is expected, got {values!r}")


def read_runs(path: StrPath, own: Sequence[Parameter]) -> RunTable:
    """Read a table of runs, CSV or Parquet by the end of its name.

    Parameters
    ----------
    path : str or os.PathLike
        File with a column for each of `COMMON`, and for any of the model's own parameters. The
        other own parameters have the model's values.
    own : sequence of Parameter
        The model's own parameters.

    Raises
    ------
    InputError
        If the file cannot be read, lacks a column, has a column of an unknown name, or holds a
        value that its parameter cannot take; the message names the file and the row.
    """
    path = Path(path)
    header, rows = _parquet(path) if path.suffix.lower() in PARQUET else _csv(path)
    declared = {p.name: p for p in (*COMMON, *own)}
    for name in header:
        if name not in declared:
            known = ", ".join(declared)
            raise InputError(f"{path}: unknown column {name!r}: choose one of {known}")
    missing = [p.name for p in COMMON if p.name not in header]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}: each row is a whole run")
    if len(set(header)) < len(header):
        raise InputError(f"{path}: each column needs a name of its own, got {', '.join(header)}")
    if not rows:
        raise InputError(f"{path}: at least one row is expected below the names of the columns")
    columns: dict[str, list[float]] = {name: [] for name in header}
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise InputError(
                f"{path}, row {number}: {len(header)} values are expected, got {len(row)}"
            )
        for name, cell in zip(header, row, strict=True):
            try:
                columns[name].append(declared[name].require(_number(cell)))
            except InputError as error:
                raise InputError(f"{path}, row {number}: {error}") from None
    return RunTable({name: tuple(values) for name, values in columns.items()})


def _number(cell: Any) -> Any:
    """A cell as a number where it is one; else as it is, to be shown."""
    if isinstance(cell, str):
        try:
            return float(cell)
        except ValueError:
            return cell
    return math.nan if cell is None else cell


def _csv(path: Path) -> tuple[list[str], list[list[Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as CSV ({error})") from None
    header = [name.strip() for name in lines[0]] if lines else []
    return header, [list(row) for row in lines[1:]]


def _parquet(path: Path) -> tuple[list[str], list[list[Any]]]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import read_table
    except ImportError:
        raise InputError(
            f"{path}: Parquet is read by pyarrow, which is not installed: pip install pyarrow, or "
            "give the table as CSV"
        ) from None
    try:
        table = read_table(path)
    except (OSError, ArrowException) as error:
        raise InputError(f"{path}: cannot be read as Parquet ({error})") from None
    columns = [column.to_pylist() for column in table.columns]
    return list(table.column_names), [list(row) for row in zip(*columns, strict=True)]
