"""Rows that a benchmark has measured, in a file from which the same command goes on."""

import json
from pathlib import Path
from typing import Any


class KeptRows:
    """The rows of a file, a line of JSON each, all measured with the same options.

    Parameters
    ----------
    path : Path
        The file, which need not exist.
    **options
        What rows of one file share. A row tells its own by the same names.
    """

    def __init__(self, path: Path, **options: Any) -> None:
        self.path, self.options = path, options
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        self.rows: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
        for row in self.rows:
            own = {name: row.get(name) for name in options}
            if own != options:
                raise SystemExit(f"{path} holds rows of {own}, asked are {options}: name another")

    def add(self, row: dict[str, Any]) -> None:
        """Keep one more."""
        self.rows.append(row | self.options)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.rows[-1]) + "\n")
