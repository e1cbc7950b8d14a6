"""Where the points of one image lie in another: an affine, a field of displacements, an affine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas import Grid

Points = NDArray[np.float64]

Spans = tuple[tuple[int, int], ...]
"""First voxel and the one after the last, along each array axis; they may lie beyond the array."""


@dataclass(frozen=True, eq=False)
class PointMap:
    """A map from the world of a target to that of a source.

    p lies at after(q + f(q)) with q = before(p). Points are (3, n) here: one contiguous row for
    each coordinate.

    Attributes
    ----------
    before, after : (4, 4) float array
    field : (nx, ny, nz, 3) float32 array, optional
        f in mm on `grid`, zero outside it; without a field, everywhere.
    grid : Grid, optional
    """

    before: NDArray[np.float64]
    after: NDArray[np.float64]
    field: NDArray[np.float32] | None = None
    grid: Grid | None = None

    def map(
        self, target: NDArray[np.float64], voxels: Points, source: NDArray[np.float64]
    ) -> Points:
        """Voxel indices in the source of voxel indices in the target, given both affines.

        Parameters
        ----------
        target : (4, 4) float array
            Affine of the target, from voxels to mm.
        voxels : (3, n) float array
            Voxel indices in the target.
        source : (4, 4) float array
            Affine of the source, from voxels to mm.

        Returns
        -------
        (3, n) float array
            Voxel indices in the source.
        """
        points = apply(self.before @ target, voxels)
        if self.field is not None and self.grid is not None:
            at = apply(inverse(self.grid.affine), points)
            for i in range(3):
                points[i] += sample(self.field[..., i], at)
        return apply(inverse(source) @ self.after, points)

    def points(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (n, 3) of the target's world in the source's, mm.

        Parameters
        ----------
        points_mm : (n, 3) float array
            In the target's world, mm.

        Returns
        -------
        (n, 3) float array
            In the source's world, mm.
        """
        return self.map(np.eye(4), points_mm.T, np.eye(4)).T

    def find_box(self, source: Spans, source_grid: Grid, target: Grid) -> Spans:
        """Find the target voxels that a box of source voxels can reach.

        Parameters
        ----------
        source : Spans
            Voxels of the source.
        source_grid, target : Grid

        Returns
        -------
        Spans
            In the target.
        """
        reach = 0 if self.field is None else np.abs(self.field).max(axis=(0, 1, 2))
        low, high = _hull(inverse(self.after) @ source_grid.affine, *np.transpose(source))
        back = inverse(self.before @ target.affine)
        low, high = _hull(back, low - reach, high + reach)
        first = np.clip(np.floor(low).astype(int) - 1, 0, target.shape)
        last = np.clip(np.ceil(high).astype(int) + 2, 0, target.shape)
        return tuple((int(a), int(b)) for a, b in zip(first, last, strict=True))


SAME_WORLD = PointMap(np.eye(4), np.eye(4))
"""The map between grids of one world, which moves no point."""


def inverse(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of an affine."""
    return np.linalg.inv(affine).astype(np.float64)


def affine_about(
    linear: NDArray[np.float64],
    centre_mm: NDArray[np.float64],
    place_mm: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """The affine of a linear map about a centre, which stays where it is or comes to a place.

    Parameters
    ----------
    linear : (3, 3) float array
    centre_mm : (3,) float array
    place_mm : (3,) float array, optional
        Where the centre comes to.

    Returns
    -------
    (4, 4) float array

    Examples
    --------
    >>> import numpy as np
    >>> affine_about(2 * np.eye(3), np.array([1.0, 2.0, 3.0]))[:3, 3].tolist()
    [-1.0, -2.0, -3.0]
    """
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = (centre_mm if place_mm is None else place_mm) - affine[:3, :3] @ centre_mm
    return affine


def apply(affine: NDArray[np.float64], points: Points) -> Points:
    """Points (3, n) mapped by an affine."""
    return affine[:3, :3] @ points + affine[:3, 3:]


def sample(values: NDArray[np.float32], voxels: Points, order: int = 1) -> NDArray[np.float32]:
    """Values at voxel indices (3, n), linearly or at the nearest voxel (order 0); 0 outside."""
    return ndimage.map_coordinates(
        values, voxels, output=np.float32, order=order, mode="grid-constant", prefilter=False
    )


def _hull(
    affine: NDArray[np.float64], low: NDArray[Any], high: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1)
    mapped = apply(affine, corners)
    return mapped.min(axis=1), mapped.max(axis=1)
