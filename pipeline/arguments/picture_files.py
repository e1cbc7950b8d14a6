"""Files of pictures that a command writes beside its results."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ...dbgen.machine.files import write_bytes
from ...errors import InputError
from ..results.result_folder import output_folder
from ..terminal.printing import print_notice


@contextlib.contextmanager
def places_for(*files: Path | None, inputs: Iterable[Path | None] = ()) -> Iterator[None]:
    """See that files can be written, before any work; their folders are made.

    Folders that were made here and are empty at the end of the block are removed.

    Parameters
    ----------
    *files : Path or None
        The outputs; None stands for no file.
    inputs : iterable of Path or None
        Files that the command reads.

    Yields
    ------
    None
        For the work, at whose end the files are expected to be written.

    Raises
    ------
    InputError
        If the folder of one cannot be written, one is a folder itself, an input, or given twice.
    """
    read = {path.resolve() for path in inputs if path is not None}
    written: set[Path] = set()
    with contextlib.ExitStack() as folders:
        for file in filter(None, files):
            place = file.resolve()
            if place in read:
                raise InputError(f"{file} is an input and would be replaced: name another output")
            if place in written:
                raise InputError(f"{file} is the name of two outputs: name two files")
            if file.is_dir():
                raise InputError(f"{file} is a folder: name a file in it")
            written.add(place)
            folders.enter_context(output_folder(file.absolute().parent))
        yield


def require_png(path: Path) -> None:
    """See that a picture's file is named as one.

    Parameters
    ----------
    path : Path
        The file, which need not exist.

    Raises
    ------
    InputError
        If its name does not end in `.png`.
    """
    if path.suffix.lower() != ".png":
        raise InputError(f"a picture is written as .png, got {path.name}")


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
