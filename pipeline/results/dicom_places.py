"""Where DICOM outputs may be written: over none but earlier ones of glioquery, which go first."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ...errors import InputError
from ...paths import StrPath
from ..dicom.dicom_path import has_magic, split_number
from ..names import DICOM_FILES


def require_dicom_places(folder: StrPath, inputs: Iterable[StrPath]) -> None:
    """See that DICOM outputs neither replace a file of somebody else nor lie among the inputs.

    Parameters
    ----------
    folder : str or os.PathLike
        Folder of the outputs, which need not exist.
    inputs : iterable of path
        Files, folders of series, and series as in FOLDER#3.

    Raises
    ------
    InputError
        If an output would be one of the inputs, lie in the folder of a series, or replace a file
        that glioquery did not write.
    """
    taken = {split_number(path)[0].resolve() for path in inputs}
    for target in (Path(folder) / name for name in DICOM_FILES):
        place = target.resolve()
        if place in taken:
            raise InputError(
                f"the DICOM output {target} would replace an input: name another folder"
            )
        if taken.intersection(place.parents):
            raise InputError(
                f"the DICOM output {target} would lie in the folder of an input series, and be "
                "read as a part of it: name another folder"
            )
        if target.exists() and not _is_own(target):
            raise InputError(
                f"the DICOM output {target} would replace a file that glioquery did not write: "
                "name another folder, or move the file away"
            )


def require_apart(folder: StrPath, results: Iterable[Path], name: str) -> None:
    """See that DICOM outputs, which identify the patient, are to lie in no folder of a result.

    Parameters
    ----------
    folder : str or os.PathLike
        Folder of the outputs, which need not exist.
    results : iterable of Path
    name : str
        How the message calls the folder.

    Raises
    ------
    InputError
        If it is one of a result, or lies in one.
    """
    place = Path(folder).resolve()
    for result in results:
        if result.resolve() in (place, *place.parents):
            raise InputError(
                f"{name}: DICOM files identify the patient and lie apart from the result in "
                f"{result}; name another folder for them"
            )


def remove_dicom(folder: StrPath) -> None:
    """Remove DICOM outputs of an earlier run: better none than some of another result.

    Parameters
    ----------
    folder : str or os.PathLike
        Folder of the outputs; see `require_dicom_places`.
    """
    for name in DICOM_FILES:
        (Path(folder) / name).unlink(missing_ok=True)


def _is_own(path: Path) -> bool:
    """Whether a file is a DICOM object that glioquery made."""
    if not has_magic(path):
        return False
    from ..dicom.dicom_packages import pydicom, quietly
    from ..dicom_export.maker import NAME

    with quietly():
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except Exception:  # pydicom raises what it happens to meet in a damaged file
            return False
    return bool(header.get("ManufacturerModelName") == NAME)
