"""The planes in which outlines were drawn: how far apart, and whether on an image's slices.

A plane is given by points in it, (n, 3) in mm, in RAS world coordinates, that go around an area: a
contour, or the corners of a frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...errors import InputError
from .series import SLICE_APART

OFF_PLANE_MM = 0.1
"""Distance of a point from its plane, or from an image's field of view, that counts as rounding."""

LEAST_SHARE = 0.5
"""Share of the distances that are the smallest one, at least: else one plane is out of place."""

Planes = Sequence[NDArray[np.float64]]


def normal_of(planes: Planes, name: str) -> NDArray[np.float64]:
    """Unit vector across the plane of the largest area (Newell's sum).

    Raises
    ------
    InputError
        If no area is larger than rounding.
    """
    areas = [
        np.cross(points - points[0], np.roll(points, -1, axis=0) - points[0]).sum(axis=0) / 2
        for points in planes
    ]
    largest = max(areas, key=lambda area: float(np.linalg.norm(area)))
    size = float(np.linalg.norm(largest))
    if size < OFF_PLANE_MM**2:
        raise InputError(
            f"{name}: expected outlines that enclose an area, got at most {size:.2g} mm^2, as "
            "points on one line have it; name structures that are drawn"
        )
    return np.asarray(largest / size)


def axis_across(normal: NDArray[np.float64], grid: Grid) -> int:
    """The axis of a grid that runs best along a vector."""
    return int(np.argmax(np.abs(normal @ (grid.affine[:3, :3] / grid.spacing_mm))))


def gaps_between(planes: Planes, normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances in mm from plane to plane along their normal; none where there is one plane."""
    gaps = np.diff(np.sort(np.concatenate([points @ normal for points in planes])))
    return np.asarray(gaps[gaps > 2 * OFF_PLANE_MM])


def even_step(gaps: NDArray[np.float64]) -> float | None:
    """The smallest distance of planes in mm, if all others are its multiples.

    None where they are not, or where there is no distance. Planes may be missing.
    """
    if not gaps.size:
        return None
    n = np.rint(gaps / gaps.min())
    step = float(gaps.sum() / n.sum())  # the smallest one alone is rounded
    is_even = np.abs(gaps / step - n) <= SLICE_APART + 2 * OFF_PLANE_MM / step
    is_usual = (n == 1).mean() >= LEAST_SHARE
    return step if is_even.all() and is_usual else None


def fits(gaps: NDArray[np.float64], step_mm: float) -> bool:
    """Whether planes lie so far apart as a file says, or some of them are missing.

    Distances that are all one multiple of what it says contradict it: between three or more of
    them no plane is missing.
    """
    n = np.rint(gaps / step_mm)
    if (n < 1).any() or (
        np.abs(gaps / step_mm - n) > SLICE_APART + 2 * OFF_PLANE_MM / step_mm
    ).any():
        return False
    return len(gaps) < 3 or (n != n[0]).any() or n[0] == 1


def step_of_slices(planes: Planes, normal: NDArray[np.float64], image: Grid) -> float | None:
    """Distance in mm of an image's slices, if planes lie on these; None otherwise."""
    step = image.spacing_mm[axis_across(normal, image)]
    return step if lies_on(planes, image, step) else None


def lies_on(planes: Planes, image: Grid, step_mm: float) -> bool:
    """Whether planes lie on the slices of an image, within it, and on none but every slice."""
    voxels = np.concatenate([image.to_voxel(points) for points in planes])
    edge = 0.5 + OFF_PLANE_MM / np.array(image.spacing_mm)
    if (voxels < -edge).any() or (voxels > np.array(image.shape) - 1 + edge).any():
        return False
    for axis in range(3):
        places = [image.to_voxel(points)[:, axis] for points in planes]
        is_slice = all(np.abs(p - np.rint(p.mean())).max() <= SLICE_APART for p in places)
        if is_slice and abs(step_mm / image.spacing_mm[axis] - 1) <= SLICE_APART:
            return True
    return False
