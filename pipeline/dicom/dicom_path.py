"""What a path names: DICOM files, and which series of a folder; found without pydicom."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from ...errors import ExtraError, InputError
from ...paths import StrPath

MAGIC_AT = 128
MAGIC = b"DICM"

CHOSEN = re.compile(r"(?P<folder>.+)#(?P<number>\d+)")
"""A folder and the number of a series in it, as in FOLDER#3."""


def split_number(path: StrPath) -> tuple[Path, int | None]:
    """A path without the number of a series, and that number: FOLDER#3."""
    path = Path(path)
    found = CHOSEN.fullmatch(str(path))
    if found is None or path.exists():
        return path, None
    return Path(found["folder"]), int(found["number"])


def is_dicom(path: StrPath) -> bool:
    """Whether a path names a DICOM file, a folder that holds one, or a series in such a folder.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    bool
    """
    try:
        place, _ = split_number(path)
        return any(has_magic(file) for file in (place.rglob("*") if place.is_dir() else [place]))
    except OSError:  # a name that no file can have, a folder that may not be read
        return False


def has_magic(path: Path) -> bool:
    """Whether a file begins as DICOM's files do."""
    try:
        with path.open("rb") as file:
            return file.read(MAGIC_AT + len(MAGIC))[MAGIC_AT:] == MAGIC
    except OSError:
        return False


def require_series_path(path: StrPath, name: str) -> None:
    """See that a path may name the series that DICOM outputs refer to.

    Parameters
    ----------
    path : str or os.PathLike
    name : str
        Opens the message.

    Raises
    ------
    InputError
        If it is no DICOM.
    """
    if not is_dicom(path):
        raise InputError(
            f"{name}: DICOM outputs refer to the series that was registered, and this is none; "
            "give its DICOM series, or ask for no DICOM outputs"
        )


def require_extra() -> None:
    """See that the packages that read and write DICOM are installed.

    Raises
    ------
    ExtraError
        If they are not.
    """
    if any(importlib.util.find_spec(library) is None for library in ("pydicom", "highdicom")):
        raise ExtraError(
            "DICOM files are read and written with pydicom and highdicom: `pip install "
            "'glioquery[dicom]'`, or convert the series to NIfTI, for instance with dcm2niix"
        )
