"""What an image has in common with another that a map of points lays into it.

The points that count are those of the model's foreground and of a shell around it. The shell is
dark around a stripped brain, and also in a head, where it holds fluid and bone.

References
----------
C. Studholme, D. L. G. Hill, D. J. Hawkes, "An overlap invariant entropy measure of 3D medical image
alignment", Pattern Recognition 32(1):71-86, 1999.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ...atlas import Grid
from ..images.coarsening import coarsen, even_out
from ..images.foreground import foreground
from ..images.nifti import Scan
from ..images.point_map import affine_about

Measure = Literal["correlation", "information"]
Loss = Callable[[NDArray[np.float64]], float]

SHELL_MM = 8.0
"""Fluid and bone around a brain; the scalp begins farther out."""

BRIGHTEST = 98
"""Percentile at which intensities are cut off: vessels and contrast agent are above."""

BINS = 32
"""Bins of the histograms for mutual information."""

CUT_CM2 = 1.0
"""Area of an image's face that its brain touches, from which on the brain continues beyond."""


class Comparison:
    """A model's brain with its shell, and the image it is compared with, on voxels of one size."""

    def __init__(
        self,
        model: Scan,
        image: Scan,
        spacing_mm: float,
        counts: NDArray[np.floating] | None = None,
    ) -> None:
        brain = coarsen(model, spacing_mm)
        inside = foreground(brain.values)
        outside_mm = ndimage.distance_transform_edt(~inside, brain.grid.spacing_mm)
        near = outside_mm <= SHELL_MM
        bright = _cut_off(np.where(inside, brain.values, 0))
        self.expected = bright[near].astype(np.float64)
        self.points = brain.grid.to_world(np.argwhere(near)).T
        self.centre = brain.grid.to_world(np.argwhere(inside)).mean(axis=0)
        even = even_out(image, spacing_mm)
        kept = np.ones(even.grid.shape, np.float32)
        if counts is not None:
            kept = even_out(Scan(counts, image.grid), spacing_mm).values
        self.image = Scan(_cut_off(even.values, kept), even.grid)
        self.to_voxel = np.linalg.inv(even.grid.affine)
        self.bordered = np.pad(self.image.values, 1)
        self.counts = np.pad(kept, 1, constant_values=1)
        for axis, place in _cut_faces(foreground(even.values), even.grid):
            self.counts[(slice(None),) * axis + (place,)] = 0

    def motion(self, pose: NDArray[np.float64]) -> NDArray[np.float64]:
        """A rotation vector in degrees, and the place of the model's centre, as a matrix."""
        turn = Rotation.from_rotvec(pose[:3], degrees=True).as_matrix()
        return affine_about(turn, self.centre, pose[3:])

    def loss_by(self, measure: Measure) -> Loss:
        """The loss of a pose, which a fit minimises; outside the image it is dark."""
        return self._by_correlation if measure == "correlation" else self._by_information

    def _by_correlation(self, pose: NDArray[np.float64]) -> float:
        found = self._found(pose)
        off, spread = self.expected - self.expected.mean(), found.std()
        if spread == 0:
            return 2.0
        return 1 - float((found * off).mean() / spread / self.expected.std())

    def _by_information(self, pose: NDArray[np.float64]) -> float:
        return 1 - normalised_information(self._found(pose), self.expected)

    def loss_and_slope(self, motion: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """One minus the correlation of the points that count, and its change as each point moves.

        With weights w, deviations a of the image and b of the model from their weighted means,
        and r = <a b> / sqrt(<a a> <b b>), where <.> sums with weights:
        dr / da_i = w_i (b_i / sqrt(<a a> <b b>) - r a_i / <a a>) and
        dr / dw_i = a_i b_i / sqrt(<a a> <b b>) - r (a_i^2 / <a a> + b_i^2 / <b b>) / 2.

        Returns
        -------
        loss : float
            2 where nothing is seen.
        slope : (3, n) float array
            Along the axes of the image's world, a mm.
        """
        places = self._places(motion)
        found, by_place = _look_up(self.bordered, places)
        weights, weights_by_place = _look_up(self.counts, places)
        total = max(weights.sum(), 1.0)
        a = found - (weights * found).sum() / total
        b = self.expected - (weights * self.expected).sum() / total
        aa, bb, ab = (weights * a * a).sum(), (weights * b * b).sum(), (weights * a * b).sum()
        if aa == 0 or bb == 0:
            return 2.0, np.zeros_like(places)
        size = np.sqrt(aa * bb)
        r = ab / size
        by_value = weights * (b / size - r * a / aa)
        by_weight = a * b / size - r / 2 * (a * a / aa + b * b / bb)
        by_voxel = by_value * by_place + by_weight * weights_by_place
        return 1 - r, -self.to_voxel[:3, :3].T @ by_voxel

    def _places(self, motion: NDArray[np.float64]) -> NDArray[np.float64]:
        to_voxel = self.to_voxel @ motion
        return to_voxel[:3, :3] @ self.points + to_voxel[:3, 3:]

    def _found(self, pose: NDArray[np.float64]) -> NDArray[np.float64]:
        places = self._places(self.motion(pose))
        return ndimage.map_coordinates(self.image.values, places, np.float64, order=1)


def _look_up(
    bordered: NDArray[np.float32], places: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Linear interpolation and its exact derivative along the axes, a voxel.

    The array has a border of one voxel, whose first voxel is at -1; it goes on for ever.
    """
    last = np.array(bordered.shape)[:, None] - 1
    inside = (places > -1) & (places < last - 1)
    at = np.clip(places + 1, 0, last)
    low = np.minimum(at.astype(np.intp), last - 1)
    share = at - low
    strides = [bordered.shape[1] * bordered.shape[2], bordered.shape[2], 1]
    first = sum(i * stride for i, stride in zip(low, strides, strict=True))
    flat = bordered.ravel()
    corners = np.array(
        [
            [[flat[first + x + y + z] for z in (0, strides[2])] for y in (0, strides[1])]
            for x in (0, strides[0])
        ]
    ).astype(np.float64)
    x, y, z = share
    by_x = corners[1] - corners[0]
    face = corners[0] + x * by_x
    by_y, edge = face[1] - face[0], face[0] + y * (face[1] - face[0])
    along_y = by_x[0] + y * (by_x[1] - by_x[0])
    slopes = np.stack(
        [
            along_y[0] + z * (along_y[1] - along_y[0]),
            by_y[0] + z * (by_y[1] - by_y[0]),
            edge[1] - edge[0],
        ]
    )
    return edge[0] + z * (edge[1] - edge[0]), np.where(inside, slopes, 0)


def normalised_information(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Normalised mutual information of two lists of intensities, 0 (none) to 1 (all).

    (H(a) + H(b)) / H(a, b) - 1, from histograms of `BINS` bins from 0 to the 99th percentiles.
    """
    joint = np.bincount(_binned(a) * BINS + _binned(b), minlength=BINS**2).reshape(BINS, BINS)
    joint_p = joint / len(a)
    h_a, h_b, h_ab = (_entropy(p) for p in (joint_p.sum(axis=1), joint_p.sum(axis=0), joint_p))
    return float((h_a + h_b) / h_ab - 1) if h_ab > 0 else 0.0


def _binned(values: NDArray[np.floating]) -> NDArray[np.intp]:
    top = max(float(np.percentile(values, 99)), 1e-9)
    return np.minimum(np.clip(values / top, 0, 1) * BINS, BINS - 1).astype(np.intp)


def _entropy(p: NDArray[np.float64]) -> float:
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


def _cut_off(
    values: NDArray[np.float32], counts: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Intensities from 0 to a percentile of those that are positive and count."""
    bright = values[values > 0 if counts is None else (values > 0) & (counts > 0.5)]
    top = np.percentile(bright, BRIGHTEST) if bright.size else 1.0
    return np.clip(values, 0, top).astype(np.float32)


def _cut_faces(brain: NDArray[np.bool_], grid: Grid) -> list[tuple[int, int]]:
    """Faces of the field of view through which a brain goes: axis, and 0 or -1 for its end."""
    cut = []
    for axis, place in itertools.product(range(3), (0, -1)):
        area_cm2 = grid.voxel_ml / grid.spacing_mm[axis] * 10
        if np.take(brain, place, axis).sum() * area_cm2 >= CUT_CM2:
            cut.append((axis, place))
    return cut
