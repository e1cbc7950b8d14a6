"""Structures of a DICOM RTSTRUCT, from contours in planes to voxels.

Contours lie on the slices of the series they were drawn on. Where these are an image's slices the
voxels are that image's; otherwise the contours' own planes make a grid. What a structure's contours
in one plane enclose an odd number of times is inside it (see `polygons`), be they CLOSED_PLANAR or
CLOSEDPLANAR_XOR; points and open lines enclose nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.grid import flip_lps
from ...errors import InputError
from ..images.headers import require_few_voxels, require_sizes
from .dicom_folder import numbers_in, text_in
from .planes import (
    OFF_PLANE_MM,
    Planes,
    axis_across,
    even_step,
    gaps_between,
    lies_on,
    normal_of,
    step_of_slices,
)
from .polygons import fill

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")

FINEST_MM = 1.0
"""Largest voxel size, in their planes, of a grid of the contours' own."""

VOXEL_DECIMALS = 3
"""Decimals of points in voxels: coordinates in the world are rounded, and those of a voxel's centre
must lead there, as what lies on a contour is inside."""

Contours = list[NDArray[np.float64]]
"""Contours, each (n, 3) in mm, in RAS world coordinates."""


def roi_numbers(header: Any, name: str) -> list[tuple[str, int]]:
    """Name, which may be empty, and number of each structure, in the order of the file.

    Raises
    ------
    InputError
        If a structure has no number.
    """
    return [
        (str(roi.get("ROIName") or ""), int(numbers_in(roi, "ROINumber", (), name)))
        for roi in header.get("StructureSetROISequence", ())
    ]


def frame_uid_of(header: Any, numbers: Collection[int], name: str) -> str | None:
    """DICOM's name of the world that some structures lie in; None where one of them has none.

    Raises
    ------
    InputError
        If they lie in several.
    """
    found = {
        str(roi.get("ReferencedFrameOfReferenceUID") or "")
        for roi in header.get("StructureSetROISequence", ())
        if numbers_in(roi, "ROINumber", (), name) in numbers
    }
    if len(found - {""}) > 1:
        raise InputError(
            f"{name}: expected structures in one frame of reference, got {len(found - {''})}: they "
            "were drawn on several series; name those that were drawn on one"
        )
    return None if "" in found or not found else found.pop()


def read_contours(header: Any, number: int, name: str) -> Contours:
    """The closed contours of a structure; those of less than three points enclose nothing.

    Raises
    ------
    InputError
        If a contour has no type, or is no list of points.
    """
    closed = [
        flip_lps(numbers_in(contour, "ContourData", (-1, 3), name))
        for roi in header.get("ROIContourSequence", ())
        if numbers_in(roi, "ReferencedROINumber", (), name) == number
        for contour in roi.get("ContourSequence", ())
        if text_in(contour, "ContourGeometricType", name) in CLOSED
    ]
    return [contour for contour in closed if len(contour) >= 3]


def rasterise(
    structures: dict[str, Contours], image: Grid, name: str
) -> tuple[dict[str, NDArray[np.bool_]], Grid, tuple[str, ...]]:
    """Voxels whose centres lie inside each structure's contours.

    Parameters
    ----------
    structures : dict of str to list of (n, 3) arrays
        Contours in mm.
    image : Grid
        Its voxels are used if the contours lie on its slices.
    name : str
        Opens the messages.

    Returns
    -------
    dict of str to bool array
        Masks by structure.
    Grid
        Grid of all masks.
    tuple of str
        Notices.

    Raises
    ------
    InputError
        If a structure has no contour, if none encloses an area, if contours do not lie in planes
        that are parallel and evenly spaced, or if their voxels are not of a head's size.
    """
    for structure, contours in structures.items():
        if not contours:
            raise InputError(
                f"{name}: the structure {structure!r} has no closed contour; name one that is drawn"
            )
    every = [contour for contours in structures.values() for contour in contours]
    normal = normal_of(every, name)
    off = max(float(np.ptp(contour @ normal)) for contour in every)
    if off > 2 * OFF_PLANE_MM:
        raise InputError(
            f"{name}: expected contours in parallel planes, got points up to {off:.3g} mm apart "
            "across them; export the structures on the slices of one series"
        )
    step = _step(every, normal, image, name)
    grid = image if lies_on(every, image, step) else _own_grid(every, normal, step, image)
    require_few_voxels(grid.shape, name)
    require_sizes(grid, name, least_side_mm=0)
    notices: tuple[str, ...] = ()
    of_slices = step_of_slices(every, normal, image)
    if of_slices is not None and round(step / of_slices) > 1:
        notices = (
            f"The contours lie on one of every {round(step / of_slices)} slices of the image: each "
            f"was taken for {step:.3g} mm thick.",
        )
    axis = axis_across(normal, grid)
    masks = {key: _fill(contours, grid, axis) for key, contours in structures.items()}
    return masks, grid, notices


def _step(every: Planes, normal: NDArray[np.float64], image: Grid, name: str) -> float:
    """Distance in mm from plane to plane; planes without a contour may lie between.

    It is the smallest distance of planes with contours if all others are its multiples, and
    otherwise that of the image's slices if the contours lie on these. So it is, too, where there
    are only two planes: they may be far apart.
    """
    gaps = gaps_between(every, normal)
    if not gaps.size:
        raise InputError(
            f"{name}: expected contours in several planes, got one, which has no thickness; give "
            "all slices of the structures"
        )
    step, of_slices = even_step(gaps), step_of_slices(every, normal, image)
    if of_slices is not None and (step is None or len(gaps) == 1):
        step = of_slices
    if step is None:
        raise InputError(
            f"{name}: expected contours in evenly spaced planes, got distances from "
            f"{gaps.min():.4g} to {gaps.max():.4g} mm; export the structures on the slices of one "
            "series"
        )
    return step


def _own_grid(contours: Planes, normal: NDArray[np.float64], step_mm: float, image: Grid) -> Grid:
    """A grid of the contours' planes, with voxels as fine as the image's in them."""
    points = np.concatenate(contours)
    axes = image.affine[:3, :3] / image.spacing_mm
    along = axes[:, int(np.argmin(np.abs(normal @ axes)))]
    along = along - normal * (normal @ along)
    along /= np.linalg.norm(along)
    frame = np.column_stack([along, np.cross(normal, along), normal])
    fine = min(FINEST_MM, *image.spacing_mm)
    sizes = np.array([fine, fine, step_mm])
    at = points @ frame / sizes
    # Straight edges lie between centres of voxels, not on them: neither side is favoured.
    first = at.min(axis=0) - [0.5, 0.5, 0]
    shape = np.ceil(at.max(axis=0) - first).astype(int) + 1
    shape[2] = int(np.rint(at[:, 2].max() - first[2])) + 1
    affine = np.eye(4)
    affine[:3, :3] = frame * sizes
    affine[:3, 3] = affine[:3, :3] @ first
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def _fill(contours: Contours, grid: Grid, axis: int) -> NDArray[np.bool_]:
    """Fill each slice across an axis with the contours that lie in it."""
    mask = np.zeros(grid.shape, bool)
    slices = np.moveaxis(mask, axis, 0)
    planes: dict[int, list[NDArray[np.float64]]] = {}
    for contour in contours:
        voxels = grid.to_voxel(contour).round(VOXEL_DECIMALS)
        at = int(np.rint(voxels[:, axis].mean()))
        planes.setdefault(at, []).append(np.delete(voxels, axis, axis=1))
    for at, polygons in planes.items():
        slices[at] = fill(polygons, (slices.shape[1], slices.shape[2]))
    return mask
