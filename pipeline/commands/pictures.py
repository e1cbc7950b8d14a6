"""Files of pictures that a command is asked for beside its results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...dbgen.machine.files import write_bytes
from ..pictures.drawing import drawn
from ..results.result_folder import prepare_output
from ..terminal.printing import print_notice


def require_places(*files: Path | None) -> None:
    """See that files can be written, before there is anything to write; None is none.

    Raises
    ------
    InputError
        If the folder of one cannot be written.
    """
    for file in files:
        if file is not None:
            prepare_output(file.absolute().parent)


def save_picture(
    path: Path, draw: Callable[[], bytes], facts: dict[str, Any], *, name: str = "picture"
) -> None:
    """Draw a picture to a file and add it to the facts; where that fails, say so."""
    failures: list[str] = []
    picture = drawn(f"The {name} {path}", draw, failures)
    for failure in failures:
        print_notice(failure)
    if picture is not None:
        write_bytes(path, picture)
        facts[name] = str(path.absolute())
