"""The patients' folders of the PREDICT-GBM benchmark."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from ...paths import StrPath
from ..names import checked_identifier


def find_exams(folder: StrPath) -> list[Path]:
    """The patients' folders in the benchmark's input.

    Parameters
    ----------
    folder : str or os.PathLike
        The folder that PREDICT-GBM mounts as input.

    Returns
    -------
    list of Path
        Sorted by name.

    Raises
    ------
    InputError
        If there is none, or an id is not safe as the name of a file; the message names all such.
    """
    found = sorted(path for path in Path(folder).glob("Patient-*") if path.is_dir())
    if not found:
        raise InputError(
            f"the input {folder} holds no folder Patient-<id>, as PREDICT-GBM provides them"
        )
    faults = []
    for path in found:
        try:
            checked_identifier(identifier_of(path))
        except InputError as error:
            faults.append(str(error))
    if faults:
        raise InputError(f"the input {folder}: {'; '.join(faults)}")
    return found


def identifier_of(folder: Path) -> str:
    """A patient's id, from the name of the folder."""
    return folder.name.removeprefix("Patient-")
