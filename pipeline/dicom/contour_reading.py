"""Structures of a DICOM RTSTRUCT, from contours in planes to voxels.

Contours lie on the slices of the series they were drawn on. Where these are an image's slices the
voxels are that image's; otherwise the contours' own planes make a grid. What a structure's contours
in one plane enclose an odd number of times is inside it (see `polygons`), be they CLOSED_PLANAR or
CLOSEDPLANAR_XOR; points and open lines enclose nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.grid import flip_lps
from ...errors import InputError
from .dicom_folder import numbers_in, text_in
from .polygons import fill
from .series import SLICE_APART

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")

FINEST_MM = 1.0
"""Largest voxel size, in their planes, of a grid of the contours' own."""

OFF_PLANE_MM = 0.1
"""Distance of a point from its contour's plane that counts as rounding."""

LEAST_SHARE = 0.5
"""Least distance of two planes as a share of the usual one: a nearer plane is out of place."""

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


def frame_uid_of(header: Any) -> str | None:
    """DICOM's name of the world that the contours lie in; None where there is not one for all."""
    rois = header.get("StructureSetROISequence", ())
    found = {str(roi.get("ReferencedFrameOfReferenceUID") or "") for roi in rois}
    return (found.pop() or None) if len(found) == 1 else None


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
) -> tuple[dict[str, NDArray[np.bool_]], Grid]:
    """Voxels whose centres lie inside each structure's contours.

    Parameters
    ----------
    structures : dict of str to list of (n, 3) arrays
        Contours in mm.
    image : Grid
        Its voxels are used if the contours lie on its slices.
    name : str
        Opens the messages.

    Raises
    ------
    InputError
        If a structure has no contour, or contours do not lie in planes that are parallel and evenly
        spaced.
    """
    for structure, contours in structures.items():
        if not contours:
            raise InputError(
                f"{name}: the structure {structure!r} has no closed contour; name one that is drawn"
            )
    every = [contour for contours in structures.values() for contour in contours]
    normal = _normal(every)
    off = max(float(np.ptp(contour @ normal)) for contour in every)
    if off > 2 * OFF_PLANE_MM:
        raise InputError(
            f"{name}: expected contours in parallel planes, got points up to {off:.3g} mm apart "
            "across them; export the structures on the slices of one series"
        )
    step = _step(every, normal, image, name)
    grid = image if _lies_on(every, image, step) else _own_grid(every, normal, step, image)
    axis = int(np.argmax(np.abs(normal @ (grid.affine[:3, :3] / grid.spacing_mm))))
    return {key: _fill(contours, grid, axis) for key, contours in structures.items()}, grid


def _normal(contours: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Unit vector across the plane of the largest contour (Newell's sum)."""
    areas = [
        np.cross(points - points[0], np.roll(points, -1, axis=0) - points[0]).sum(axis=0)
        for points in contours
    ]
    largest = max(areas, key=lambda area: float(np.linalg.norm(area)))
    return np.asarray(largest / np.linalg.norm(largest))


def _step(
    every: Sequence[NDArray[np.float64]], normal: NDArray[np.float64], image: Grid, name: str
) -> float:
    """Distance in mm from plane to plane; planes without a contour may lie between.

    It is the smallest distance of two planes with contours if all others are its multiples, and
    otherwise that of the image's slices if the contours lie on these.
    """
    gaps = np.diff(np.sort(np.concatenate([contour @ normal for contour in every])))
    gaps = gaps[gaps > 2 * OFF_PLANE_MM]
    if not gaps.size:
        raise InputError(
            f"{name}: expected contours in several planes, got one, which has no thickness; give "
            "all slices of the structures"
        )
    n = np.rint(gaps / gaps.min())
    step = float(gaps.sum() / n.sum())  # the smallest one alone is rounded
    is_even = np.abs(gaps / step - n) <= SLICE_APART + 2 * OFF_PLANE_MM / step
    if is_even.all() and gaps.min() >= LEAST_SHARE * np.median(gaps):
        return step
    axes = image.affine[:3, :3] / image.spacing_mm
    of_image = float(image.spacing_mm[int(np.argmax(np.abs(normal @ axes)))])
    if _lies_on(every, image, of_image):
        return of_image
    raise InputError(
        f"{name}: expected contours in evenly spaced planes, got distances from "
        f"{gaps.min():.4g} to {gaps.max():.4g} mm; export the structures on the slices of one "
        "series"
    )


def _lies_on(contours: Sequence[NDArray[np.float64]], image: Grid, step_mm: float) -> bool:
    """Whether contours lie on the slices of an image, within it, and on none but every slice."""
    voxels = np.concatenate([image.to_voxel(contour) for contour in contours])
    if (voxels < -0.5).any() or (voxels > np.array(image.shape) - 0.5).any():
        return False
    for axis in range(3):
        places = [image.to_voxel(contour)[:, axis] for contour in contours]
        is_slice = all(np.abs(p - np.rint(p.mean())).max() <= SLICE_APART for p in places)
        if is_slice and abs(step_mm / image.spacing_mm[axis] - 1) <= SLICE_APART:
            return True
    return False


def _own_grid(
    contours: Sequence[NDArray[np.float64]],
    normal: NDArray[np.float64],
    step_mm: float,
    image: Grid,
) -> Grid:
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
        voxels = grid.to_voxel(contour)
        at = int(np.rint(voxels[:, axis].mean()))
        planes.setdefault(at, []).append(np.delete(voxels, axis, axis=1))
    for at, polygons in planes.items():
        slices[at] = fill(polygons, (slices.shape[1], slices.shape[2]))
    return mask
