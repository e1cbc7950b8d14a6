"""The one description of a voxel grid: a shape and an affine to RAS world coordinates in mm."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError

LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From RAS world coordinates (NIfTI, ours) to LPS (DICOM, ITK), and back."""

MOST_SHEAR = 1e-3
"""Largest cosine between two voxel axes that counts as a right angle: headers are rounded."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A voxel grid in the world.

    Parameters
    ----------
    shape : tuple of three int
        Number of voxels along the array axes.
    affine : (4, 4) float array
        Maps voxel indices (of voxel centres) to RAS world coordinates in mm.

    Raises
    ------
    InputError
        If the shape is not three positive numbers, or the affine is not an invertible
        4 x 4 matrix of finite numbers.

    Examples
    --------
    >>> import numpy as np
    >>> grid = Grid((64, 64, 64), np.diag([2, 2, 2, 1]))
    >>> round(grid.voxel_ml, 6)
    0.008
    >>> grid.to_voxel([10, 20, 30]).tolist()
    [5.0, 10.0, 15.0]
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise InputError(f"a grid has three positive sizes, got {tuple(self.shape)}")
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise InputError(
                f"an affine is a 4 x 4 matrix of finite numbers, got {affine.tolist()}"
            )
        if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise InputError(
                f"the affine is singular, its axes span no volume: {affine[:3, :3].tolist()}"
            )
        affine.setflags(write=False)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along each array axis, to 1e-5 mm.

        Headers hold seven digits, and a rotation rounds them again. The distances are therefore
        rounded: whole millimetres stay whole, and a comparison with one voxel is stable.
        """
        return tuple(np.linalg.norm(self.affine[:3, :3], axis=0).round(5).tolist())

    @property
    def shear(self) -> float:
        """Largest cosine, in magnitude, between two array axes: 0 if all are at right angles.

        Examples
        --------
        >>> import numpy as np
        >>> sheared = np.eye(4)
        >>> sheared[0, 1] = 1
        >>> round(Grid((9, 9, 9), sheared).shear, 3), Grid((9, 9, 9), np.eye(4)).shear
        (0.707, 0.0)
        """
        axes = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(np.abs(axes.T @ axes - np.eye(3)).max())

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    def to_world(self, voxels: ArrayLike) -> NDArray[np.float64]:
        """World coordinates (..., 3) in mm of voxel indices (..., 3), which may be fractional.

        Parameters
        ----------
        voxels : (..., 3) array
            Voxel indices, which may be fractional.

        Returns
        -------
        (..., 3) float64 array
            World coordinates, mm.
        """
        return np.asarray(voxels, np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_voxel(self, world_mm: ArrayLike) -> NDArray[np.float64]:
        """Fractional voxel indices (..., 3) of world coordinates (..., 3) in mm.

        Parameters
        ----------
        world_mm : (..., 3) array
            World coordinates, mm.

        Returns
        -------
        (..., 3) float64 array
            Voxel indices, fractional.
        """
        inverse = np.linalg.inv(self.affine)
        return np.asarray(world_mm, np.float64) @ inverse[:3, :3].T + inverse[:3, 3]

    def corner_voxels(self) -> NDArray[np.int64]:
        """The voxels at the corners.

        Returns
        -------
        (8, 3) int array
            Their indices, the first voxel first and the last one last.
        """
        return np.array(list(np.ndindex(2, 2, 2))) * (np.array(self.shape) - 1)

    def apart_mm(self, other: Grid) -> float:
        """Largest distance between the places that two grids of one shape give a corner voxel.

        Parameters
        ----------
        other : Grid
            A grid of the same shape.

        Returns
        -------
        float
            Euclidean distance, mm.

        Examples
        --------
        >>> import numpy as np
        >>> moved = np.eye(4)
        >>> moved[:2, 3] = 3, 4
        >>> Grid((9, 9, 9), np.eye(4)).apart_mm(Grid((9, 9, 9), moved))
        5.0
        """
        corners = self.corner_voxels()
        steps = self.to_world(corners) - other.to_world(corners)
        return float(np.linalg.norm(steps, axis=1).max())

    def part(self, box: tuple[slice, slice, slice]) -> Grid:
        """The grid of a box of its voxels.

        Parameters
        ----------
        box : three slices
            With a start and a stop each, not empty.

        Returns
        -------
        Grid

        Examples
        --------
        >>> import numpy as np
        >>> part = Grid((9, 9, 9), np.eye(4)).part((slice(2, 5), slice(0, 9), slice(8, 9)))
        >>> part.shape, part.affine[:3, 3].tolist()
        ((3, 9, 1), [2.0, 0.0, 8.0])
        """
        affine = self.affine.copy()
        affine[:3, 3] = self.to_world([side.start for side in box])
        x, y, z = (side.stop - side.start for side in box)
        return Grid((x, y, z), affine)

    def axis_mm(self, axis: int) -> NDArray[np.float64]:
        """World coordinate of each voxel along one array axis of a grid aligned with the world.

        Parameters
        ----------
        axis : int
            0, 1 or 2.

        Returns
        -------
        float64 array
            One coordinate for each voxel, mm.

        Raises
        ------
        ValueError
            If the grid is rotated against the world axes, so that no such coordinate exists.
        """
        off_axis = self.affine[:3, :3] - np.diag(np.diag(self.affine[:3, :3]))
        if np.abs(off_axis).max() > 1e-6:
            raise ValueError("only a grid whose axes run along world x, y, z has axis coordinates")
        return self.affine[axis, 3] + self.affine[axis, axis] * np.arange(self.shape[axis])

    def __eq__(self, other: object) -> bool:
        """Whether two grids have one shape and no voxel's places lie 1e-3 mm apart or more."""
        if not isinstance(other, Grid):
            return NotImplemented
        if self.shape != other.shape:
            return False
        if (self.affine == other.affine).all():
            return True
        return self.apart_mm(other) < 1e-3

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        spacing = sizes_as_text(self.spacing_mm)
        first = ", ".join(f"{x:.4g}" for x in self.affine[:3, 3])
        return f"{' x '.join(map(str, self.shape))} voxels of {spacing} mm from ({first})"


def flip_lps(vectors: NDArray[Any]) -> NDArray[Any]:
    """Points or vectors (..., 3) of the RAS world in the LPS one, or the other way round."""
    return vectors * np.diag(LPS_FROM_RAS)[:3].astype(vectors.dtype)


def sizes_as_text(sizes: Iterable[float]) -> str:
    """Sizes along the axes for a message, to four digits: 0.9375 x 0.9375 x 1.2."""
    return " x ".join(f"{size:.4g}" for size in sizes)


SIMULATION_GRID = Grid(
    shape=(128, 128, 128),
    affine=np.array(
        [[2, 0, 0, -246.5], [0, 2, 0, -7.5], [0, 0, 2, -49.5], [0, 0, 0, 1]], dtype=np.float64
    ),
)
"""128^3 voxels of 2 mm, axes RAS: SRI24 padded by 8/8, 8/8, 50/51 mm, eight of its voxels each."""
