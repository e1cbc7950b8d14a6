"""Whether two files lie in one world, where their headers leave a doubt.

A file may declare two frames that differ, or have lost its own. For a single file this is a notice;
for two files that belong together it decides where one lies on the other. `PAIR_RULES` lists the
cases for the documentation and the tests; the functions here act by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...atlas import Grid
from ...atlas.header_frames import FRAMES_APART_MM
from ...errors import InputError
from .headers import Frames, Rule, axes_of
from .nifti import ImageFile

SAME_GRID_VOXELS = 0.05
"""Two grids whose corners are nearer than this are one grid: headers are rounded."""

HANGING = ("seg", "brain_mask", "recurrence")
"""Roles of files whose headers alone say where they lie; further images are aligned."""

COPY = "copy the image's header to it"

PAIR_RULES = (
    Rule("frames of both", "equal to 0.05 voxels", "accepted", "one grid, voxel for voxel"),
    Rule(
        "frame, the image's other frame",
        "one shape; one file's sform equals the other's qform, or the reverse",
        "notice",
        "one grid, voxel for voxel",
    ),
    Rule(
        "frames of both, elsewhere",
        "sform and qform differ by one and the same motion",
        "accepted",
        "the sforms",
    ),
    Rule(
        "frames of both, elsewhere",
        "sform and qform of one file differ, and those of the other agree or differ by another "
        "motion",
        "refused",
        "it is unknown in which frame the two files agree",
    ),
    Rule(
        "frames of both, elsewhere",
        "one shape, one of the two headers lost",
        "refused",
        "for a segmentation, --seg-grid t1 takes the image's voxels",
    ),
    Rule("frames of both, elsewhere", "each file has one frame", "notice", "one world"),
    Rule("sform_code of both", "different names of spaces", "accepted", "the numbers alone count"),
)
"""Rules for a file that must lie in the world of an image: segmentation, masks, recurrence, tissue,
maps of treatments."""


def is_same(grid: Grid, other: Grid | None) -> bool:
    """Whether two grids are the same, apart from rounding in a header."""
    if other is None or grid.shape != other.shape:
        return False
    corners = grid.corner_voxels()
    apart = other.to_voxel(grid.to_world(corners)) - corners
    return bool(np.abs(apart).max() < SAME_GRID_VOXELS)


def settle(
    files: Mapping[str, ImageFile], image: str, names: Mapping[str, str]
) -> tuple[dict[str, ImageFile], list[str]]:
    """Give each file the grid that it shares with the image or the segmentation's reference.

    Parameters
    ----------
    files : mapping of str to ImageFile
        Files by role; see `named_files.ROLES`.
    image : str
        Role of the registered image.
    names : mapping of str to str
        How messages call each file.

    Returns
    -------
    dict of str to ImageFile
        Files by role. A grid that differs from the image's or the reference's by rounding, or by a
        header's other frame, is replaced by it.
    list of str
        Notices for the user.

    Raises
    ------
    InputError
        If a pair is refused; see `PAIR_RULES`.
    """
    settled = dict(files)
    notices: list[str] = []
    reference = "seg_reference" if "seg_reference" in files else image
    for role, file in files.items():
        if role == image:
            continue
        anchor = files[reference if role == "seg" else image]
        anchor_name = names[reference if role == "seg" else image]
        grids = [files[i].grid for i in (image, reference) if i != role]
        grid = next((grid for grid in grids if is_same(file.grid, grid)), None)
        told: tuple[str, ...] = ()
        if grid is None:
            grid, told = shared_grid(file.frames, names[role], anchor.frames, anchor_name)
        if grid is not None:
            settled[role] = replace(file, grid=grid)
            notices += told
        elif role in HANGING:
            is_image = role == "seg" and anchor.sha256 == files[image].sha256
            require_one_world(
                file.frames, names[role], anchor.frames, anchor_name,
                advice="say so with --seg-grid t1" if is_image else COPY,
            )  # fmt: skip
        elif role == "seg_reference":
            _require_frame_of_reference(file.frames, names[role], files[image].frames)
    return settled, notices


def shared_grid(
    frames: Frames, name: str, image: Frames, image_name: str
) -> tuple[Grid | None, tuple[str, ...]]:
    """The grid of an image, where a file has its voxels.

    Parameters
    ----------
    frames, image : Frames
    name, image_name : str
        How notices call them.

    Returns
    -------
    Grid or None
        The image's, where the file's grid differs from it by rounding, or by a header's other
        frame.
    tuple of str
        A notice, where it lies in the other frame.
    """
    if is_same(frames.grid, image.grid):
        return image.grid, ()
    if not _lies_in_other_frame(frames, image):
        return None, ()
    return image.grid, (
        f"The {name} does not lie in the frame of the {image_name} that is in use, but in the "
        "other one that a header declares (sform and qform). Their shapes are the same, so it "
        "gets that image's voxels.",
    )


def _lies_in_other_frame(frames: Frames, image: Frames) -> bool:
    """Whether a frame of one file is the other frame that the other file's header declares."""
    return (
        is_same(frames.grid, image.other)
        or (frames.other is not None and is_same(frames.other, image.grid))
        or (frames.other is not None and is_same(frames.other, image.other))
    )


def require_one_world(
    frames: Frames, name: str, image: Frames, image_name: str, *, advice: str = COPY
) -> None:
    """See that a file lies in one world with an image, by their headers.

    Parameters
    ----------
    frames, image : Frames
    name, image_name : str
        How messages call them.
    advice : str
        What to do where the file has the image's voxels.

    Raises
    ------
    InputError
        Unless they have one grid: if one header declares two frames and the other not the same
        two, or if one is lost that had the image's voxels.
    """
    if is_same(frames.grid, image.grid):
        return
    if frames.grid.shape == image.grid.shape and frames.is_lost != image.is_lost:
        whose = "its" if frames.is_lost else "that one's"
        raise InputError(
            f"{name}: it has the shape of the {image_name}, but {whose} header is lost (no frame, "
            "or one with its origin in the first voxel), so it is unknown how they lie; if they "
            f"have the same voxels, {advice}"
        )
    if frames.other is not None and image.other is not None:
        motion = frames.other.affine @ np.linalg.inv(frames.grid.affine)
        moved = Grid(image.grid.shape, motion @ image.grid.affine)
        if moved.apart_mm(image.other) < FRAMES_APART_MM:
            return
    if frames.other is not None:
        doubtful, two = name, _two_frames(frames.grid, frames.other)
    elif image.other is not None:
        doubtful, two = image_name, _two_frames(image.grid, image.other)
    else:
        return
    raise InputError(
        f"{name}: it lies on another grid than the {image_name}, and the {doubtful} declares "
        f"{two}, of which one alone can be the other file's; write the right one "
        f"into both; or, if the voxels are the same, {advice}"
    )


def require_one_frame(frames: Frames, name: str) -> None:
    """See that a header leaves no choice of frames, if no image can settle it.

    Raises
    ------
    InputError
        If it declares two that differ.
    """
    if frames.other is not None:
        raise InputError(
            f"{name}: its header declares {_two_frames(frames.grid, frames.other)}, and one alone "
            "can be the right one; write that into both"
        )


def describe(grid: Grid) -> str:
    """A grid's numbers and its axes, in words."""
    return f"{grid}, axes {axes_of(grid)}"


def _require_frame_of_reference(frames: Frames, name: str, image: Frames) -> None:
    if frames.is_lost and not image.is_lost and frames.grid.shape == image.grid.shape:
        raise InputError(
            f"{name}: its header is lost (no frame, or one with its origin in the first voxel), so "
            "it cannot be aligned; give it its header back, or, if it and the "
            "segmentation have the voxels of the registered image, give --seg-grid t1 in its place"
        )


def _two_frames(grid: Grid, other: Grid) -> str:
    return (
        f"two frames {grid.apart_mm(other):.3g} mm apart (sform {describe(grid)}; qform "
        f"{describe(other)})"
    )
