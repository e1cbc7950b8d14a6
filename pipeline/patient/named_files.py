"""The files of a patient, and what can be checked before an image is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from ...dbgen.machine.files import sha256_of
from ...errors import InputError
from ...paths import StrPath
from ..dicom.dicom_path import is_dicom, require_extra
from ..dicom.named_structures import STRUCTURES, StructureNames
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
"""The user's name for each role of a file."""

IMAGES = ("t1", "t1c", "flair", "seg_reference")
"""Files that may be DICOM series."""

OUTLINES = ("seg", "recurrence")
"""Files that may be a DICOM SEG or RTSTRUCT."""

SEG_GRIDS = ("own", "t1")
"""The voxels of a segmentation: its header's own, or the registered image's."""

Modality = Literal["t1", "t1c"]


def seg_convention(
    seg: StrPath,
    labels: str | None = None,
    *,
    core_labels: Sequence[int] | None = None,
    whole_labels: Sequence[int] | None = None,
) -> LabelConvention:
    """What the labels of a segmentation mean; for DICOM, the labels that its structures get.

    Parameters
    ----------
    seg : path
        The segmentation: structures with names in DICOM, voxels with labels otherwise.
    labels, core_labels, whole_labels
        As in `label_convention`.

    Raises
    ------
    InputError
        If the convention is unknown, or labels are named for a file that has structures.
    """
    if not is_dicom(seg):
        return label_convention(labels, core_labels=core_labels, whole_labels=whole_labels)
    if labels is not None or core_labels is not None or whole_labels is not None:
        raise InputError(
            f"labels: the segmentation {seg} is DICOM, whose structures have names and no labels; "
            "name them with --whole-structures and --core-structures instead"
        )
    return STRUCTURES


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
        Name of one of `CONVENTIONS`.
    convention : LabelConvention
        Convention of the segmentation.
    recurrence : path or None
        The follow-up's segmentation.
    option : str
        Option that gives the name, which begins the messages.

    Raises
    ------
    InputError
        If the name is unknown, or there is no recurrence with labels.
    """
    if recurrence is None:
        if name is None:
            return convention
        raise InputError(
            f"{option} names the labels of a recurrence, and none is given: give both or neither"
        )
    if is_dicom(recurrence):
        if name is None:
            return STRUCTURES
        raise InputError(
            f"{option}: the recurrence {recurrence} is DICOM, whose structures have names and no "
            "labels: leave it out; they are named as those of the segmentation"
        )
    if name is None:
        if convention is not STRUCTURES:
            return convention
        raise InputError(
            f"{option}: the segmentation is DICOM and has no labels whose meaning the recurrence "
            f"{recurrence} could share; name its convention"
        )
    return label_convention(name, option=option)


def require_files(
    paths: Mapping[str, StrPath | None],
    *,
    structures: StructureNames | None = None,
    seg_grid: str = "own",
) -> Modality:
    """Refuse files that cannot be a patient's, in milliseconds; return which image is registered.

    Parameters
    ----------
    paths : mapping of str to path
        Files by role, of `ROLES`; see `load_patient`.
    structures : StructureNames or None
        Names of the outlines' structures in DICOM files.
    seg_grid : "own" or "t1"
        The voxels that the segmentation has; see `load_patient`.

    Raises
    ------
    InputError
        If a file is missing, or is neither NIfTI nor a kind of DICOM that its role allows, if there
        is no T1, or if two options contradict each other.
    ExtraError
        If a file is DICOM, and the extra `dicom` is not installed.
    """
    if paths["t1"] is None and paths["t1c"] is None:
        raise InputError(
            "a T1-weighted image is needed for the registration: give a T1 (--t1) or one with "
            "contrast (--t1c)"
        )
    if seg_grid not in SEG_GRIDS:
        raise InputError(f"--seg-grid: expected one of {', '.join(SEG_GRIDS)}, got {seg_grid!r}")
    if seg_grid == "t1" and paths["seg_reference"] is not None:
        raise InputError(
            "--seg-grid t1 says that the segmentation has the voxels of the registered image, "
            "--seg-reference that it has those of another one: give one of them"
        )
    given = {role: path for role, path in paths.items() if path is not None}
    drawn = [given[role] for role in OUTLINES if role in given and is_dicom(given[role])]
    if structures is not None and not drawn:
        raise InputError(
            "--core-structures and --whole-structures name structures of a DICOM SEG or RTSTRUCT, "
            f"but the segmentation {paths['seg']} is none: name its labels instead"
        )
    if seg_grid == "t1" and is_dicom(given["seg"]):
        raise InputError(
            f"--seg-grid t1: the segmentation {paths['seg']} is DICOM, which says where it lies; "
            "leave --seg-grid out"
        )
    for role, path in given.items():
        _require_file(role, path, structures)
    return "t1c" if paths["t1"] is None else "t1"


def input_sha256(role: str, path: StrPath) -> str:
    """SHA-256 of a file; of a DICOM series, that of all its files.

    Raises
    ------
    InputError
        If the series cannot be found.
    """
    if role in IMAGES and is_dicom(path):
        from ..dicom.dicom_folder import find_series

        return find_series(path, f"{ROLES[role]} {path}").sha256
    if role in OUTLINES and is_dicom(path):
        from ..dicom.dicom_folder import find_outlines

        return sha256_of(find_outlines(path, f"{ROLES[role]} {path}").path)
    return sha256_of(Path(path))


def _require_file(role: str, path: StrPath, structures: StructureNames | None) -> None:
    name = f"{ROLES[role]} {path}"
    if role not in (*IMAGES, *OUTLINES) or not is_dicom(path):
        if role in (*IMAGES, *OUTLINES) and Path(path).is_dir():
            raise InputError(
                f"{name}: expected a NIfTI image or DICOM files, got a folder without any DICOM "
                "file; name the image in it, or the folder of the series"
            )
        require_nifti(Path(path), name)
        return
    require_extra()
    if role in IMAGES:
        from ..dicom.series import require_series

        require_series(path, name)
    else:
        from ..dicom.outline_file import require_outlines

        require_outlines(path, name, structures)
