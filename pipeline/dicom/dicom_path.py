"""What a path names: DICOM files, and which series of a folder; found without pydicom."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from ...errors import ExtraError
from ...paths import StrPath

MAGIC_AT = 128
MAGIC = b"DICM"

CHOSEN = re.compile(r"(?P<folder>.+)#(?P<number>\d+)")
"""A folder, and the number of a series in it."""


def split_number(path: StrPath) -> tuple[Path, int | None]:
    """A path without the number of a series, and that number: FOLDER#3."""
    path = Path(path)
    found = CHOSEN.fullmatch(str(path))
    if found is None or path.exists():
        return path, None
    return Path(found["folder"]), int(found["number"])


def is_dicom(path: StrPath) -> bool:
    """Whether a path names a folder, as series have one, a series in a folder, or a DICOM file."""
    place, _ = split_number(path)
    return place.is_dir() or has_magic(place)


def has_magic(path: Path) -> bool:
    """Whether a file begins as DICOM's files do."""
    try:
        with path.open("rb") as file:
            return file.read(MAGIC_AT + len(MAGIC))[MAGIC_AT:] == MAGIC
    except OSError:
        return False


def require_extra() -> None:
    """See that what reads and writes DICOM is installed.

    Raises
    ------
    ExtraError
        If it is not.
    """
    if any(importlib.util.find_spec(library) is None for library in ("pydicom", "highdicom")):
        raise ExtraError(
            "DICOM files are read and written with pydicom and highdicom: `pip install "
            "'glioquery[dicom]'`, or convert the series to NIfTI, for instance with dcm2niix"
        )
