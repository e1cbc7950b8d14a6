"""Output of the command line: facts and tables for people, or one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.markup import escape

from ...errors import visible
from ..results.json_values import plain
from .progress import console


def show(facts: dict[str, Any], as_json: bool) -> None:
    """Print facts: for people on stderr, or as one JSON object on stdout.

    Parameters
    ----------
    facts : dict
        Values by name.
    as_json : bool
        Whether to print JSON, for a program.
    """
    if as_json:
        print(json.dumps(plain(facts), indent=2))
        return
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            _print_lines([f"{name}:", *(f"    {key}: {said(item)}" for key, item in value.items())])
        else:
            _print_lines([f"{name}: {said(value)}"])


def show_table(rows: Sequence[Mapping[str, Any]], *, n_keys: int = 1) -> None:
    """Print a table for people on stderr: all of it, whatever the width.

    Parameters
    ----------
    rows : sequence of mapping
        At least one row; all have the same keys, the names of the columns, the most important
        first.
    n_keys : int
        Number of first columns that name a row; they begin each of its lines if it takes several.
    """
    _print_lines(lay_out(rows, n_keys=n_keys, width=console.width if console.is_terminal else None))


def lay_out(
    rows: Sequence[Mapping[str, Any]], *, n_keys: int = 1, width: int | None = None
) -> list[str]:
    """Aligned lines of a table; see `show_table`.

    The columns that do not fit into the width follow in further blocks, each with the columns that
    name the rows. If not even one fits beside these, each row is a list of its values.

    Parameters
    ----------
    width : int, optional
        Characters in a line; without it, a row is one line however long.
    """
    columns = [_Column(name, [row[name] for row in rows]) for name in rows[0]]
    keys, others = columns[:n_keys], columns[n_keys:]
    if width is None:
        return _joined(columns)
    if any(_width_of([*keys, column]) > width for column in others):
        lines: list[str] = []
        for i in range(len(rows)):
            lines += [f"{column.name}: {column.texts[i]}" for column in columns] + [""]
        return lines[:-1]
    blocks = [keys]
    for column in others:
        if _width_of([*blocks[-1], column]) > width:
            blocks.append(keys)
        blocks[-1] = [*blocks[-1], column]
    return [line for block in blocks for line in ["", *_joined(block)]][1:]


class _Column:
    """A column of a table as text: numbers are aligned at their ends, all else at its beginning."""

    def __init__(self, name: str, values: list[Any]) -> None:
        self.name, self.texts = name, [said(value) for value in values]
        self.width = max(map(len, [name, *self.texts]))
        self._is_number = all(isinstance(v, int | float | np.number) for v in values)

    def lines(self) -> list[str]:
        """The name and the texts, padded to one width."""
        texts = [self.name, *self.texts]
        if self._is_number:
            return [text.rjust(self.width) for text in texts]
        return [text.ljust(self.width) for text in texts]


def _joined(columns: list[_Column]) -> list[str]:
    rows = zip(*(column.lines() for column in columns), strict=True)
    return ["  ".join(row).rstrip() for row in rows]


def _width_of(columns: list[_Column]) -> int:
    return sum(column.width for column in columns) + 2 * (len(columns) - 1)


def _print_lines(lines: list[str]) -> None:
    """Print text as it is, without markup."""
    for line in lines:
        console.print(visible(line), markup=False)


def said(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 9999.5 else f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {said(item)}" for key, item in value.items()) or "none"
    if isinstance(value, tuple):
        return ", ".join(map(said, value))
    if isinstance(value, list):
        return "; ".join(map(said, value)) or "none"
    return str(value)


def print_step(name: str) -> None:
    """Name a step that begins.

    Parameters
    ----------
    name : str
        Such as "register".
    """
    console.print(f"[dim]{escape(visible(name))} ...[/]")


def print_notice(text: str) -> None:
    """Print a notice: something to know that is no error.

    Parameters
    ----------
    text : str
        One line.
    """
    console.print(f"[yellow]notice:[/] {escape(visible(text))}")
