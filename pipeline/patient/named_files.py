"""Which files make a patient, and what can be said of them before an image is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from ...errors import InputError
from ...paths import StrPath
from ..images.file_kinds import require_nifti
from ..images.labels import LabelConvention, label_convention

ROLES = {
    "t1": "T1",
    "t1c": "T1c",
    "flair": "FLAIR",
    "seg": "segmentation",
    "brain_mask": "brain mask",
    "seg_reference": "segmentation's reference",
    "recurrence": "recurrence",
}
"""What each file is to the user."""

SEG_GRIDS = ("own", "t1")
"""Whose voxels a segmentation has: those of its header, or the registered image's."""

Modality = Literal["t1", "t1c"]


def follow_up_convention(
    name: str | None,
    convention: LabelConvention,
    recurrence: StrPath | None,
    *,
    option: str = "--recurrence-labels",
) -> LabelConvention:
    """What the labels of a follow-up mean: as in the segmentation, unless a name says else.

    Parameters
    ----------
    name : str or None
        Of `CONVENTIONS`.
    convention : LabelConvention
        Of the segmentation.
    recurrence : path or None
        The follow-up's segmentation.
    option : str
        What the user calls the name; opens the messages.

    Raises
    ------
    InputError
        If the name is unknown, or names the labels of no file.
    """
    if name is None:
        return convention
    if recurrence is None:
        raise InputError(
            f"{option} names the labels of a recurrence, and none is given: give both or neither"
        )
    return label_convention(name, option=option)


def require_files(paths: Mapping[str, StrPath | None], *, seg_grid: str = "own") -> Modality:
    """Refuse files that cannot be a patient's, in milliseconds; which of them is registered.

    Parameters
    ----------
    paths : mapping of str to path
        By role, of `ROLES`; see `load_patient`.
    seg_grid : "own" or "t1"
        Whose voxels the segmentation has.

    Raises
    ------
    InputError
        If a file is missing or no NIfTI, there is no T1, or two options contradict each other.
    """
    if paths["t1"] is None and paths["t1c"] is None:
        raise InputError("a T1-weighted image is needed for the registration: give a T1 or a T1c")
    if seg_grid not in SEG_GRIDS:
        raise InputError(f"--seg-grid: expected one of {', '.join(SEG_GRIDS)}, got {seg_grid!r}")
    if seg_grid == "t1" and paths["seg_reference"] is not None:
        raise InputError(
            "--seg-grid t1 says that the segmentation has the voxels of the registered image, "
            "--seg-reference that it has those of another one: give one of them"
        )
    for role, path in paths.items():
        if path is not None:
            require_nifti(Path(path), f"{ROLES[role]} {path}")
    return "t1c" if paths["t1"] is None else "t1"
