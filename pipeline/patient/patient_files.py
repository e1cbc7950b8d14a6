"""A patient's files, read and checked against each other before any step that takes time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.grid import MOST_SHEAR
from ...errors import InputError
from ...paths import StrPath
from ...solver import TumorMasks
from ..dicom.dicom_path import is_dicom
from ..dicom.named_structures import StructureNames
from ..images.foreground import BRAIN_ML, above_background, darken_background
from ..images.frames import describe, settle
from ..images.headers import Frames
from ..images.labels import LabelConvention, outlines_from_labels, rounded_labels
from ..images.nifti import ImageFile, Scan, read_nifti
from ..images.resampling import in_order_of, resample_image, resample_masks
from .islands import Islands, part_islands
from .lesion import MIN_IN_BRAIN
from .named_files import IMAGES, OUTLINES, ROLES, Modality, require_files
from .nesting import doubts_of_nesting


@dataclass(frozen=True, eq=False)
class PatientFiles:
    """The contents of a patient's files.

    Attributes
    ----------
    modality : "t1" or "t1c"
        Kind of the registered image.
    image : Scan
        The registered image as it came, with skull or without.
    outlines : TumorMasks
        Core and whole tumour on the segmentation's own grid.
    islands : Islands
        Islands of the outlines.
    others : mapping of str to Scan
        Further images by role: seg_reference, if it is another than the registered image, flair,
        and t1c beside a T1. Those whose grid is not the registered image's lie in their own world.
    brain_mask : bool array or None
        A given brain on the grid of `image`.
    brain_drawn : Scan or None
        The brain mask on its own voxels, if they differ from `image`.
    recurrence : TumorMasks or None
        Outlines of a follow-up scan on the grid of `image`.
    names : mapping of str to str
        Name of each file in messages.
    checksums : mapping of str to str
        SHA-256 of each file by its role.
    frames : Frames
        What the header of `image` says about its place.
    notices : tuple of str
        Notices for the user.
    """

    modality: Modality
    image: Scan
    outlines: TumorMasks
    islands: Islands
    others: Mapping[str, Scan]
    brain_mask: NDArray[np.bool_] | None
    brain_drawn: Scan | None
    recurrence: TumorMasks | None
    names: Mapping[str, str]
    checksums: Mapping[str, str]
    frames: Frames
    notices: tuple[str, ...]


def read_patient_files(
    paths: Mapping[str, StrPath | None],
    convention: LabelConvention,
    follow_up: LabelConvention,
    *,
    structures: StructureNames | None = None,
    seg_grid: str = "own",
    keep_islands: bool = False,
) -> PatientFiles:
    """Read a patient's files and see that they fit together.

    Parameters
    ----------
    paths : mapping of str to path
        Files by role, of `ROLES`; see `load_patient`.
    convention, follow_up : LabelConvention
        Conventions of segmentation and recurrence.
    structures : StructureNames or None
        Names of the outlines' structures in DICOM files.
    seg_grid : "own" or "t1"
        The voxels that the segmentation has; see `load_patient`.
    keep_islands : bool
        Whether islands stay part of the outlines, see `islands`.

    Raises
    ------
    InputError
        If files or options do not fit; the message says what was expected, what came and what to
        do.
    """
    modality = require_files(paths, structures=structures, seg_grid=seg_grid)
    files = _read_files(paths, modality, structures, seg_grid)
    first = files[modality]
    names = {role: f"{ROLES[role]} {paths[role]}" for role in files}
    notices = [notice for file in files.values() for notice in file.notices]
    files, settled = settle(files, modality, names)
    notices += settled
    grid = files["seg"].grid
    _require_right_angles(grid, names["seg"])
    drawn = outlines_from_labels(files["seg"].values, grid, convention, name=names["seg"])
    outlines, islands = part_islands(drawn, keep=keep_islands)
    if islands.notice is not None:
        notices.append(islands.notice)
    scans: dict[str, Scan] = {}
    for role in (modality, "seg_reference", "flair", "t1c"):
        if role in files and role not in scans:
            scans[role], told = _scan(files[role], role, names[role])
            notices += told
    image = scans[modality]
    others = {role: scan for role, scan in scans.items() if role != modality}
    mask = brain_drawn = recurrence = None
    if "brain_mask" in files:
        mask, brain_drawn = _read_mask(files["brain_mask"], names["brain_mask"], image)
    if "recurrence" in files:
        recurrence, told = _read_recurrence(
            files["recurrence"], names["recurrence"], image.grid, follow_up
        )
        notices += told
    reference = others.get("seg_reference")
    if reference is None:
        _require_overlap(image, names[modality], outlines, names["seg"])
        if grid != image.grid:
            notices.append(
                f"The segmentation lies on another grid ({describe(grid)}) than the "
                f"{ROLES[modality]} ({describe(image.grid)}); glioquery assumes that both "
                f"headers refer to one world. If they do not, {advise(grid, image.grid)}."
            )
    elif reference.grid != grid:
        raise InputError(
            f"{names['seg_reference']}: the segmentation must lie on its grid, but it has "
            f"{describe(reference.grid)}, where the segmentation has {describe(grid)}; "
            f"{advise(grid, image.grid)}"
        )
    elif files["seg_reference"].sha256 == files[modality].sha256:
        del others["seg_reference"]
    if not outlines.core.any():
        without = "besides islands " if drawn.core.any() else ""
        notices.append(
            f"The segmentation has no core {without}(no enhancing or necrotic tumour): the score "
            "is the Dice of the whole tumour alone."
        )
    notices += doubts_of_nesting(outlines, ROLES["seg"])
    return PatientFiles(
        modality=modality,
        image=image,
        outlines=outlines,
        islands=islands,
        others=others,
        brain_mask=mask,
        brain_drawn=brain_drawn,
        recurrence=recurrence,
        names=names,
        checksums={role: file.sha256 for role, file in files.items()},
        frames=first.frames,
        notices=tuple(notices),
    )


def carry_mask(mask: Scan, grid: Grid) -> NDArray[np.bool_]:
    """A mask of 0 and 1 on another grid of the same world."""
    return resample_image(mask, grid).values >= 0.5


def advise(grid: Grid, image: Grid) -> str:
    """What to do if a segmentation and the registered image lie apart."""
    advice = "name the image that was segmented as the segmentation's reference (--seg-reference)"
    if grid.shape == image.shape and grid != image:
        advice = f"give --seg-grid t1 where the segmentation has its voxels, or else {advice}"
    return advice


def _read_files(
    paths: Mapping[str, StrPath | None],
    modality: Modality,
    structures: StructureNames | None,
    seg_grid: str,
) -> dict[str, ImageFile]:
    """All files by role, images before the outlines, whose voxels may be an image's."""
    given = {role: path for role, path in paths.items() if path is not None}
    files: dict[str, ImageFile] = {modality: _read_image(modality, given[modality])}
    images = [role for role in given if role not in OUTLINES and role != modality]
    files |= {role: _read_image(role, given[role]) for role in images}
    first = files[modality]
    for role in OUTLINES:
        if role not in given:
            continue
        if is_dicom(given[role]):
            from ..dicom.outline_file import read_outlines

            assert structures is not None, "require_files saw to it"
            anchor = files.get("seg_reference", first) if role == "seg" else first
            files[role] = read_outlines(given[role], ROLES[role], structures, anchor)
        else:
            grid = first.grid if role == "seg" and seg_grid == "t1" else None
            files[role] = read_nifti(given[role], ROLES[role], grid=grid)
    return {role: files[role] for role in given}


def _read_image(role: str, path: StrPath) -> ImageFile:
    """An image of a head, from NIfTI or from a DICOM series."""
    if role in IMAGES and is_dicom(path):
        from ..dicom.series import read_series

        return read_series(path, ROLES[role])
    return read_nifti(path, ROLES[role], of_head=True)


def _scan(file: ImageFile, role: str, name: str) -> tuple[Scan, list[str]]:
    """An image with a dark background, and notices about how it got one."""
    with np.errstate(over="ignore"):  # becomes infinite, and is refused as that
        values = file.values.astype(np.float32)
    if not np.isfinite(values).all():
        n = int(np.size(values) - np.isfinite(values).sum())
        raise InputError(
            f"{name}: expected finite intensities, got {n} voxels of NaN or infinity; "
            "replace them by 0 or export the image again"
        )
    _require_right_angles(file.grid, name)
    values, level = darken_background(values, name)
    told = [] if level is None else [
        f"The {ROLES[role]} has a background of {level:.4g}: it was set to 0, and all else was "
        "shifted to begin there."
    ]  # fmt: skip
    return Scan(values, file.grid), told


def _require_right_angles(grid: Grid, name: str) -> None:
    if grid.shear > MOST_SHEAR:
        raise InputError(
            f"{name}: expected voxel axes at right angles, got a sheared grid, which neither the "
            "registration nor distances in mm can take; resample the image first"
        )


def _read_mask(file: ImageFile, name: str, scan: Scan) -> tuple[NDArray[np.bool_], Scan | None]:
    """A brain mask on the registered image's grid, and on its own grid if that differs."""
    labels = rounded_labels(file.values)
    found = np.unique(file.values if labels is None else labels)
    if labels is None or len(found) > 2 or found[0] != 0:
        raise InputError(
            f"{name}: expected 0 outside and one other whole number inside the brain, got "
            f"{len(found)} values from {found[0]:g} to {found[-1]:g}; threshold it first"
        )
    mask = labels > 0
    volume_ml = float(mask.sum() * file.grid.voxel_ml)
    if not BRAIN_ML[0] <= volume_ml <= BRAIN_ML[1]:
        raise InputError(
            f"{name}: expected a brain (900-1900 ml), but the mask measures {volume_ml:.0f} ml"
        )
    drawn = None if file.grid == scan.grid else Scan(mask.astype(np.float32), file.grid)
    carried = mask if drawn is None else carry_mask(drawn, scan.grid)
    lit = float(above_background(scan.values)[carried].mean()) if carried.any() else 0.0
    if carried.sum() * scan.grid.voxel_ml < 0.8 * volume_ml or lit < 0.8:
        raise InputError(
            f"{name}: it does not lie on the brain of the image ({lit:.0%} of what it covers "
            "there is bright); both must share one world frame, as a mask made from that image does"
        )
    return carried, drawn


def _read_recurrence(
    file: ImageFile, name: str, grid: Grid, convention: LabelConvention
) -> tuple[TumorMasks, list[str]]:
    """A follow-up segmentation on the registered image's grid, and notices about it."""
    option = "--recurrence-labels"
    masks = outlines_from_labels(file.values, file.grid, convention, name=name, option=option)
    doubts = doubts_of_nesting(masks, ROLES["recurrence"])
    masks = in_order_of(grid, masks)
    if masks.grid == grid:
        return masks, doubts
    share = _share_in_view(masks, grid)
    if share < MIN_IN_BRAIN:
        raise InputError(
            f"{name}: only {share:.0%} of it lies in the field of view of the registered image "
            f"({describe(grid)}, where it has {describe(file.grid)}); co-register the follow-up "
            "scan to that image first"
        )
    carried = resample_masks(masks, grid)
    if not carried.whole.any():
        raise InputError(
            f"{name}: it vanishes on the voxels of the registered image ({describe(grid)}, where "
            f"it has {describe(file.grid)}); it is too small to be covered there"
        )
    if share == 1:
        return carried, doubts
    return carried, [
        *doubts,
        f"Only {share:.0%} of the recurrence lies in the field of view of the registered image: "
        "the coverage is that of this part.",
    ]


def _share_in_view(masks: TumorMasks, grid: Grid) -> float:
    voxels = grid.to_voxel(masks.grid.to_world(np.argwhere(masks.whole)))
    inside = ((voxels > -0.5) & (voxels < np.array(grid.shape) - 0.5)).all(axis=1)
    return float(inside.mean())


def _require_overlap(scan: Scan, name: str, masks: TumorMasks, seg_name: str) -> None:
    share = _share_in_view(masks, scan.grid)
    if share < MIN_IN_BRAIN:
        raise InputError(
            f"{seg_name}: only {share:.0%} of the outlined tumour lies in the field of view of the "
            f"{name}. That image has {describe(scan.grid)}; the segmentation has "
            f"{describe(masks.grid)}; {advise(masks.grid, scan.grid)}"
        )
