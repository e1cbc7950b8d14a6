"""Files of pictures that a command writes beside its results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...dbgen.machine.files import write_bytes
from ...errors import InputError
from ..results.result_folder import prepare_output
from ..terminal.printing import print_notice


def require_places(*files: Path | None) -> None:
    """See that files can be written, before any work.

    Parameters
    ----------
    *files : Path or None
        None stands for no file.

    Raises
    ------
    InputError
        If the folder of one cannot be written.
    """
    for file in files:
        if file is not None:
            prepare_output(file.absolute().parent)


def require_gif(path: Path) -> None:
    """See that a movie's file is named as one.

    Parameters
    ----------
    path : Path
        The file, which need not exist.

    Raises
    ------
    InputError
        If its name does not end in `.gif`.
    """
    if path.suffix.lower() != ".gif":
        raise InputError(f"a movie is written as .gif, got {path.name}")


def save_picture(
    path: Path, draw: Callable[[], bytes], facts: dict[str, Any], *, name: str = "picture"
) -> None:
    """Draw a picture to a file and add it to the facts; if that fails, print a notice.

    Parameters
    ----------
    path : Path
        The file.
    draw : callable
        Returns the bytes of the picture.
    facts : dict
        The command's facts, which receive the path.
    name : str
        Name of the picture in facts and notices.
    """
    from ..pictures.drawing import drawn

    failures: list[str] = []
    picture = drawn(f"The {name} {path}", draw, failures)
    for failure in failures:
        print_notice(failure)
    if picture is not None:
        write_bytes(path, picture)
        facts[name] = str(path.absolute())
