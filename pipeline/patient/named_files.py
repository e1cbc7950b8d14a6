"""Which files make a patient, and what can be said of them before an image is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from ...errors import InputError
from ...paths import StrPath
from ..images.file_kinds import require_nifti

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
