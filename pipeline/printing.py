"""How the command line says things: facts and tables for people, or one JSON object."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from .progress import console


def show(facts: dict[str, Any], as_json: bool) -> None:
    """Print facts: for people on stderr, or as one JSON object on stdout."""
    if as_json:
        print(json.dumps(plain(facts), indent=2))
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            console.print(f"{name}:")
            for key, item in value.items():
                console.print(f"    {escape(str(key))}: {said(item)}")
        else:
            console.print(f"{name}: {said(value)}")


def plain(value: Any) -> Any:
    """Turn a value into what JSON can say: NaN as null, tuples as lists, NumPy's as Python's."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def said(value: Any) -> str:
    """A value as a person reads it."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{escape(str(key))} {said(item)}" for key, item in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(said, value))
    if isinstance(value, list):
        return "; ".join(map(said, value))
    return escape(str(value))


def table(rows: list[dict[str, Any]]) -> Table:
    """A table of rows with the same keys."""
    drawn = Table(*rows[0])
    for row in rows:
        drawn.add_row(*map(said, row.values()))
    return drawn


def one_line(error: Exception) -> str:
    """An error's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def print_step(name: str) -> None:
    """Name a step that begins."""
    console.print(f"[dim]{name} ...[/]")
