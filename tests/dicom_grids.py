"""Grids of scanners: planes in every direction, and analytic shapes in their middle."""

import numpy as np
from scipy.spatial.transform import Rotation

from glioquery.atlas import Grid

SHAPE = (26, 24, 18)
CENTRE_MM = np.array([-70.0, 104.0, 61.0])

AXIAL = np.diag([-1.0, -1.0, 1.0])  # columns to the left, rows to the back, slices up
SAGITTAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
CORONAL = np.array([[-1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


def grid_along(axes, spacing_mm=(3.0, 3.0, 3.0), turn_deg=(0, 0, 0), flips=(1, 1, 1)):
    """A grid around a centre: its axes, turned, some of them the other way round."""
    turn = Rotation.from_euler("xyz", turn_deg, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ axes @ np.diag(flips) * np.array(spacing_mm)
    affine[:3, 3] = CENTRE_MM - affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return Grid(SHAPE, affine)


GRIDS = {
    "axial": grid_along(AXIAL),
    "sagittal": grid_along(SAGITTAL),
    "coronal": grid_along(CORONAL),
    "oblique by 10": grid_along(AXIAL, turn_deg=(10, 0, 0)),
    "oblique by 25 and 15": grid_along(CORONAL, turn_deg=(25, -15, 0)),
    "oblique by 40, 20 and 35": grid_along(SAGITTAL, turn_deg=(40, 20, -35)),
    "anisotropic": grid_along(AXIAL, (2.5, 3.0, 5.0), (12, 5, -8)),
    "falling slices": grid_along(AXIAL, flips=(1, 1, -1)),
    "columns to the right": grid_along(AXIAL, flips=(-1, 1, 1)),
    "rows to the front": grid_along(CORONAL, turn_deg=(5, 5, 5), flips=(1, -1, 1)),
}


def sphere(points):
    """A ball of 16 mm, off the centre."""
    return np.linalg.norm(points - CENTRE_MM - [4, -3, 2], axis=-1) < 16


def torus(points):
    """A ring that lies in no plane of the world, with a hole."""
    turned = (points - CENTRE_MM) @ Rotation.from_euler("xy", [20, 35], degrees=True).as_matrix()
    return (np.hypot(turned[..., 0], turned[..., 1]) - 16) ** 2 + turned[..., 2] ** 2 < 6.5**2


def two_pieces(points):
    """Two balls, far from each other."""
    far = CENTRE_MM + np.array([16, 14, -9])
    return (np.linalg.norm(points - CENTRE_MM + [12, 12, -8], axis=-1) < 9) | (
        np.linalg.norm(points - far, axis=-1) < 7
    )


SHAPES = {"Sphere": sphere, "Torus": torus, "Two pieces": two_pieces}


def points_of(grid):
    """World coordinates of all voxels."""
    return grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))


def volume(grid):
    """Intensities that tell every voxel's place: rising to the right, the front and the top."""
    x, y, z = np.moveaxis(points_of(grid) - CENTRE_MM, -1, 0)
    return np.rint(2000 + 9 * x + 5 * y + 3 * z).astype(np.uint16)
