"""Outlines from a DICOM SEG or RTSTRUCT, as a segmentation with labels."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...dbgen.machine.files import sha256_of
from ...errors import InputError
from ...paths import StrPath
from ..images.frames import SAME_GRID_VOXELS
from ..images.headers import Frames
from ..images.nifti import ImageFile
from .contour_reading import frame_uid_of, rasterise, read_contours, roi_numbers
from .dicom_folder import OUTLINES, find_outlines, read_whole
from .named_structures import CORE_LABEL, REST_LABEL, StructureNames, find_structure
from .segment_reading import read_segments, segment_numbers


def require_outlines(path: StrPath, name: str, names: StructureNames | None) -> None:
    """See that a file holds the structures that are named.

    Parameters
    ----------
    path : str or os.PathLike
        See `find_outlines`.
    name : str
        Opens every message.
    names : StructureNames or None
        Names of the outlines' structures; None if the user named none.

    Raises
    ------
    InputError
        If it does not; the message lists its structures.
    """
    file = find_outlines(path, name)
    header = read_whole(file.path, name)
    held = [label for label, _ in _held(header, name)]
    if names is None:
        known = ", ".join(map(repr, held)) or "none"
        raise InputError(
            f"{name}: which of its structures are the outlines is never guessed; it holds {known}: "
            "name those of the whole tumour with --whole-structures, of the core with "
            "--core-structures"
        )
    for wanted in (*names.core, *names.whole):
        find_structure(wanted, held, name)


def read_outlines(path: StrPath, role: str, names: StructureNames, image: ImageFile) -> ImageFile:
    """Read outlines as labels of `named_structures.STRUCTURES`.

    Parameters
    ----------
    path : str or os.PathLike
        See `find_outlines`.
    role : str
        What the file is to the user ("segmentation"); opens every message.
    names : StructureNames
    image : ImageFile
        The image in whose world they lie. They have its voxels if they lie on its grid, and their
        own otherwise.

    Returns
    -------
    ImageFile
        Integer labels.

    Raises
    ------
    InputError
        As `require_outlines`, if they lie in another frame of reference than the image, or cannot
        be brought to voxels.
    """
    name = f"{role} {path}"
    require_outlines(path, name, names)
    file = find_outlines(path, name)
    header = read_whole(file.path, name)
    is_contours = OUTLINES[header.SOPClassUID] == "RTSTRUCT"
    numbers = dict(_held(header, name))  # each name that is wanted is one structure's
    core = {find_structure(wanted, numbers, name) for wanted in names.core}
    whole = core | {find_structure(wanted, numbers, name) for wanted in names.whole}
    chosen = {key: numbers[key] for key in sorted(whole)}
    frame_uid = (
        frame_uid_of(header, chosen.values(), name)
        if is_contours
        else header.get("FrameOfReferenceUID") or None
    )
    notices = _compare_worlds(name, role, frame_uid, image.frame_uid)
    if is_contours:
        contours = {key: read_contours(header, number, name) for key, number in chosen.items()}
        masks, grid, further = rasterise(contours, image.grid, name)
        notices += further
    else:
        masks, grid = read_segments(header, chosen, image.grid, name)
    labels = np.zeros(grid.shape, np.uint8)
    labels[_union(masks, whole)] = REST_LABEL
    labels[_union(masks, core)] = CORE_LABEL
    embedded = _embedded(labels, grid, image.grid)
    if embedded is not None:
        labels, grid = embedded, image.grid
    return ImageFile(
        values=labels,
        grid=grid,
        frames=Frames(grid),
        notices=tuple(notices),
        sha256=sha256_of(file.path),
        frame_uid=None if frame_uid is None else str(frame_uid),
    )


def _held(header: Any, name: str) -> list[tuple[str, int]]:
    """Name and number of each structure."""
    is_contours = OUTLINES[header.SOPClassUID] == "RTSTRUCT"
    return roi_numbers(header, name) if is_contours else segment_numbers(header, name)


def _compare_worlds(name: str, role: str, own: str | None, image: str | None) -> list[str]:
    """What to tell where DICOM does not say whether outlines and image lie in one world."""
    if own is None or image is None:
        return [
            f"The {role} and its image do not both name their frame of reference, as DICOM does: "
            "their coordinates were taken for those of one world."
        ]
    if str(own) != image:
        advice = (
            "name that one as the segmentation's reference (--seg-reference)"
            if role == "segmentation"
            else "carry it to the image that is registered, by a registration of yours"
        )
        raise InputError(
            f"{name}: it lies in another frame of reference than the image, so it was drawn on "
            f"another series; {advice}"
        )
    return []


def _union(masks: dict[str, NDArray[np.bool_]], names: Collection[str]) -> NDArray[np.bool_]:
    shape = next(iter(masks.values())).shape
    every = [masks[name] for name in names]
    return np.any(every, axis=0) if every else np.zeros(shape, bool)


def _embedded(labels: NDArray[np.uint8], grid: Grid, image: Grid) -> NDArray[np.uint8] | None:
    """Labels on an image's grid, where their voxels are some of its, in any order of the axes."""
    corners = grid.corner_voxels()
    there = image.to_voxel(grid.to_world(corners))
    steps = np.rint(np.linalg.inv(image.affine[:3, :3]) @ grid.affine[:3, :3])
    is_turned = (np.abs(steps).sum(axis=0) == 1).all()
    # Where steps of one voxel lead: a step of 1.2 comes to voxels of the image, too, at times.
    expected = np.rint(there[0]) + corners @ steps.T
    if not is_turned or np.abs(there - expected).max() > SAME_GRID_VOXELS:
        return None
    drawn = np.argwhere(labels > 0)
    at = np.rint(image.to_voxel(grid.to_world(drawn))).astype(int)
    if (at < 0).any() or (at >= image.shape).any():
        return None
    embedded = np.zeros(image.shape, np.uint8)
    embedded[tuple(at.T)] = labels[tuple(drawn.T)]
    return embedded
