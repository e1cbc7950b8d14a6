"""Whether a patient's tissue edges agree with the atlas's, and no move would improve that."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ...atlas import Atlas, Grid
from ...atlas.regions import bounding_box, without_holes
from ...solver import TumorMasks
from ..alignment.transform import AtlasTransform
from ..images.nifti import Scan
from ..images.point_map import affine_about
from ..patient.patient import Patient

MOVES = (5.0, 5.0)
"""Degrees and mm of the moves that improve no good map."""

EDGE_SCALE_MM = 1.5
"""Standard deviation of the Gaussian before gradients are taken: below the width of a sulcus,
above noise."""

BLUR_REACH = 4.0
"""Standard deviations beyond which the Gaussian is cut off."""

EDGE_SHARE = 0.1
"""Share of the atlas's brain, with the strongest gradients, that counts as tissue edges."""

SURFACE_CLEARANCE_MM = 10.0
"""Distance of the edges from the brain's surface. The Dice measures the surface, and a deformation
alone can correct it."""

LESION_CLEARANCE_MM = 4.0
"""Distance of the edges from the lesion, which the atlas has not."""

EDGE_POINTS = 12_000
"""Most edges that are compared."""


def measure_edges(
    patient: Patient, transform: AtlasTransform, masks: TumorMasks, atlas: Atlas
) -> tuple[float, float]:
    """Compare the directions of tissue edges.

    Returns
    -------
    agreement, advantage : float
        See `RegistrationQuality.edge_agreement` and `edge_advantage`; NaN where the lesion leaves
        no edge.
    """
    points, expected = _atlas_edges(masks, atlas)
    if not len(points):
        return float("nan"), float("nan")
    # d I / d x on the atlas by central differences of the patient's image, looked up in place.
    reach = np.ceil(BLUR_REACH * _blur_voxels(patient.grid)) + 1
    seen = patient.t1.part(bounding_box(patient.t1.values != 0, reach))
    image, own = _blurred(seen), seen.grid
    ends = [transform.patient_from_atlas(points + side) for side in (*np.eye(3), *-np.eye(3))]

    def agreement(move: NDArray[np.float64]) -> float:
        values = [
            ndimage.map_coordinates(
                image, own.to_voxel(end @ move[:3, :3].T + move[:3, 3]).T, order=1
            )
            for end in ends
        ]
        found = np.stack(values[:3]) - np.stack(values[3:])
        size = np.linalg.norm(found, axis=0) * np.linalg.norm(expected, axis=0)
        if not size.any():
            return float("nan")
        return float(np.mean((found * expected).sum(axis=0) / np.where(size > 0, size, 1)))

    agreed = agreement(np.eye(4))
    centre = np.mean(ends, axis=(0, 1))
    return agreed, agreed - max(agreement(move) for move in _moves(centre))


def _blurred(scan: Scan) -> NDArray[np.float32]:
    blurred: NDArray[np.float32] = ndimage.gaussian_filter(
        scan.values, _blur_voxels(scan.grid), truncate=BLUR_REACH
    )
    return blurred


def _blur_voxels(grid: Grid) -> NDArray[np.float64]:
    return EDGE_SCALE_MM / np.array(grid.spacing_mm)


def _atlas_edges(masks: TumorMasks, atlas: Atlas) -> tuple[NDArray[Any], NDArray[Any]]:
    """World coordinates (n, 3) of the atlas's tissue edges, and its gradients (3, n) there."""
    grid, (inside, gradient) = atlas.t1_grid, deep_gradients(atlas)
    if masks.whole.any():
        margin = np.ceil(LESION_CLEARANCE_MM / np.array(masks.grid.spacing_mm))
        box = bounding_box(masks.whole, margin)
        distance = ndimage.distance_transform_edt(~masks.whole[box], masks.grid.spacing_mm)
        near = np.zeros(masks.grid.shape, bool)
        near[box] = distance <= LESION_CLEARANCE_MM
        there = np.rint(masks.grid.to_voxel(grid.to_world(inside))).astype(int)
        is_clear = ~near[tuple(there.T)]
        inside, gradient = inside[is_clear], gradient[:, is_clear]
    strength = np.linalg.norm(gradient, axis=0)
    least = np.quantile(strength, 1 - EDGE_SHARE) if strength.size else 0
    edges = np.flatnonzero(strength >= least)
    edges = edges[:: -(-len(edges) // EDGE_POINTS)]
    return grid.to_world(inside[edges]), gradient[:, edges]


@functools.lru_cache(maxsize=1)
def deep_gradients(atlas: Atlas) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    """Voxels (n, 3) deep inside the atlas's brain, and the gradients (3, n) of its T1 there.

    Kept for the next patient.

    Parameters
    ----------
    atlas : Atlas

    Returns
    -------
    voxels : (n, 3) int16 array
    gradients : (3, n) float32 array
    """
    box = bounding_box(atlas.t1 > 0, 1)  # with air all around, from which the depth is measured
    t1 = Scan(atlas.t1, atlas.t1_grid).part(box)
    spacing = np.array(t1.grid.spacing_mm)
    gradient = np.stack(np.gradient(_blurred(t1), *spacing))
    depth = ndimage.distance_transform_edt(without_holes(t1.values > 0), spacing)
    inside = np.argwhere(depth > SURFACE_CLEARANCE_MM)
    found = gradient[:, *inside.T]
    return (inside + [side.start for side in box]).astype(np.int16), found


def _moves(centre: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Turns about a centre and shifts, by `MOVES`, both ways along each axis."""
    degrees, shift_mm = MOVES
    moves = []
    for axis in (*np.eye(3), *-np.eye(3)):
        turn = Rotation.from_rotvec(degrees * axis, degrees=True).as_matrix()
        shift = np.eye(4)
        shift[:3, 3] = shift_mm * axis
        moves += [affine_about(turn, centre), shift]
    return moves
