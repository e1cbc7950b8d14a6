"""Tables as CSV files, written complete or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...dbgen.machine.files import write_text


def write_csv(
    path: Path, rows: Sequence[Mapping[str, Any]], fields: Sequence[str] | None = None
) -> None:
    """Write rows of values under their names.

    Parameters
    ----------
    path : Path
    rows : sequence of mapping
    fields : sequence of str, optional
        The columns; by default the keys of the first row, which must exist then.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fields or list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
