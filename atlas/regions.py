"""Parts of a voxel grid: the box around a mask, pieces and holes of it, blocks of voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .grid import Grid

T = TypeVar("T", bound=np.generic)

Box = tuple[slice, slice, slice]
"""Index slices along the three array axes."""


def bounding_box(mask: NDArray[np.bool_], margin: ArrayLike = 0) -> Box:
    """The smallest box that holds all of a mask; 0:0 along each axis for an empty mask.

    Parameters
    ----------
    mask : (nx, ny, nz) bool array
    margin : int or (3,) int array
        Voxels by which the box is wider on each side, within the grid.
    """
    # One pass as the voxels lie in memory; the other two axes ask the slabs that it has found.
    axes = sorted(range(3), key=lambda axis: -abs(mask.strides[axis]))
    laid = mask.transpose(axes)
    held = np.flatnonzero(laid.any(axis=(1, 2)))
    if held.size == 0:
        return slice(0, 0), slice(0, 0), slice(0, 0)
    plane = np.logical_or.reduce(laid[held[0] : held[-1] + 1], axis=0)
    spans = held, np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    in_order = [spans[axes.index(axis)] for axis in range(3)]
    x, y, z = (
        slice(max(0, int(span[0]) - int(more)), min(n, int(span[-1]) + 1 + int(more)))
        for span, more, n in zip(in_order, np.broadcast_to(margin, 3), mask.shape, strict=True)
    )
    return x, y, z


def corners_mm(mask: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """World coordinates (8, 3) of the outermost voxels' centres: the corners of the mask's box."""
    ends = [(side.start, side.stop - 1) for side in bounding_box(mask)]
    return grid.to_world(np.stack(np.meshgrid(*ends), -1).reshape(-1, 3))


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest face-connected component of a mask; empty for an empty mask."""
    from scipy import ndimage  # here: who asks for boxes can spare it

    box, largest = bounding_box(mask), np.zeros_like(mask)
    if mask[box].size:
        labels, _ = ndimage.label(mask[box])
        sizes = np.bincount(labels.ravel(order="K"))
        sizes[0] = 0
        largest[box] = labels == sizes.argmax()
    return largest


def without_holes(mask: NDArray[np.bool_], across: int | None = None) -> NDArray[np.bool_]:
    """The mask and what it encloses: voxels from which no path over faces leaves the array.

    The same as `scipy.ndimage.binary_fill_holes`, ten times as fast: components of the background
    take one pass, where SciPy lets the outside grow into the array voxel by voxel.

    Parameters
    ----------
    mask : (nx, ny, nz) bool array
    across : int, optional
        Array axis across which no path leads: each slice is filled by itself.

    Returns
    -------
    (nx, ny, nz) bool array
    """
    from scipy import ndimage

    steps = ndimage.generate_binary_structure(3, 1)
    if across is not None:
        np.moveaxis(steps, across, 0)[[0, 2]] = False
    box, filled = bounding_box(mask), mask.copy()
    outside, _ = ndimage.label(np.pad(~mask[box], 1, constant_values=True), steps)
    corners = outside[tuple(slice(1, -1) if axis == across else slice(0, 1) for axis in range(3))]
    filled[box] = outside[1:-1, 1:-1, 1:-1] != corners
    return filled


def signed_distance_mm(
    mask: NDArray[np.bool_], spacing_mm: Sequence[float] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance from each voxel's centre to the nearest one on the other side of a mask's surface.

    Parameters
    ----------
    mask : (nx, ny, nz) bool array
        Neither empty nor all.
    spacing_mm : (3,) floats
        Distance between voxel centres along each array axis.

    Returns
    -------
    (nx, ny, nz) float64 array
        In mm, negative inside.
    """
    from scipy import ndimage

    found: NDArray[np.float64] = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    box = bounding_box(mask, 1)
    found[box] -= ndimage.distance_transform_edt(mask[box], sampling=spacing_mm)
    return found


def mean_of_blocks(values: NDArray[np.floating], block: Sequence[int]) -> NDArray[np.float32]:
    """Mean over blocks of voxels, summed in float64.

    Parameters
    ----------
    values : (nx, ny, nz) array
    block : three int
        Voxels of a block along each axis, a divisor of the array's.

    Returns
    -------
    (nx / block[0], ny / block[1], nz / block[2]) float32 array
    """
    sums = values
    for axis, n in enumerate(block):
        every = [slice(None)] * 3
        parts = []
        for first in range(n):
            every[axis] = slice(first, None, n)
            parts.append(sums[tuple(every)])
        sums = parts[0].astype(np.float64)
        for part in parts[1:]:
            sums += part
    return (sums / np.prod(block)).astype(np.float32)


def shape_of(box: Box) -> tuple[int, int, int]:
    """Number of voxels of a box along each axis.

    Examples
    --------
    >>> shape_of((slice(2, 5), slice(0, 9), slice(8, 8)))
    (3, 9, 0)
    """
    x, y, z = (side.stop - side.start for side in box)
    return x, y, z


def embed(
    values: NDArray[T], box: Box, shape: tuple[int, int, int], *, order: Literal["C", "F"] = "C"
) -> NDArray[T]:
    """Lay values of a box into a new array; 0 outside the box.

    Parameters
    ----------
    values : array of the box's shape
    box : Box
    shape : (3,) tuple of int
        Shape of the whole.
    order : {"C", "F"}
        Whether the last or the first axis of the result changes fastest.

    Returns
    -------
    array of that shape
        It has the values' type.
    """
    whole = np.zeros(shape, values.dtype, order)
    whole[box] = values
    return whole


def squared_distances(
    point: NDArray[np.floating], mask: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> NDArray[np.float64]:
    """Squared distance of each voxel of a mask from a point.

    Parameters
    ----------
    point : (3,) float array
        In voxels.
    mask : (nx, ny, nz) bool array
    spacing_mm : sequence of three float
        Distance between voxel centres along each array axis.

    Returns
    -------
    (n,) float64 array
        mm^2, in the order of the mask's voxels.
    """
    x, y, z = (
        ((np.arange(n) - middle) * spacing) ** 2
        for n, middle, spacing in zip(mask.shape, point, spacing_mm, strict=True)
    )
    squared: NDArray[np.float64] = (x[:, None, None] + y[:, None] + z)[mask]
    return squared
