"""Rigid and affine registration by correlation or mutual information.

One image, the model, is laid into another. The points that count are those of its foreground and
of a shell around it. Of a stripped brain this shell is dark, and so it is in a head, where it holds
fluid and bone. What the points have in common with the places that they come to is measured by the
correlation of the intensities, or by their mutual information where the contrasts differ.

`find_pose` needs no start: it compares rotations all around, and improves the best of them by the
Nelder-Mead method. `fit_linear` goes on from there with the derivatives of the correlation and the
L-BFGS method, coarse to fine. Neither depends on the frame that a header gives an image, whatever
its turn (up to `MOST_TURNED`) and shift, and both compute in one thread, bit for bit the same.

ANTs' linear stages were tried first. Its correlation, sampled sparsely and with the lesion masked,
finds 0.5 degrees of 21; dense, it stops up to 4 mm apart for two frames of one image, and takes 7
to 35 s. Its mutual information, sampled sparsely, left a pose that was right to 0.2 mm for one
that was 30 mm off.

References
----------
C. Studholme, D. L. G. Hill, D. J. Hawkes, "An overlap invariant entropy measure of 3D medical image
alignment", Pattern Recognition 32(1):71-86, 1999.
D. C. Liu, J. Nocedal, "On the limited memory BFGS method for large scale optimization",
Mathematical Programming 45:503-528, 1989.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from ...atlas import Grid
from ..images.coarsening import coarsen, even_out
from ..images.foreground import foreground
from ..images.nifti import Scan

LinearKind = Literal["rigid", "affine"]
Measure = Literal["correlation", "information"]
Loss = Callable[[NDArray[np.float64]], float]

SHELL_MM = 8.0
"""Fluid and bone around a brain; the scalp begins farther out."""

BRIGHTEST = 98
"""Percentile at which intensities are cut off: vessels and contrast agent are above."""

SEARCH_MM = 10.0
"""Voxels of the search over poses."""

POSE_MM = 6.0
"""Voxels on which the best pose is improved."""

REFINED_MM = 3.0
"""Voxels of `refine_pose`."""

BINS = 32
"""Of the histograms that mutual information is read from."""

FIT_MM = (6.0, 4.0)
"""Voxels of the fits with derivatives, one after the other. At 3 mm the outcome is the same to
0.3 mm in the median, after three times as long."""

MOST_TURNED = 40
"""Degrees about each axis that are searched. Headers of scanners are tilted by 5 to 25."""

TURNS = [
    Rotation.from_euler("xyz", MOST_TURNED / 2 * np.array(steps), degrees=True)
    for steps in itertools.product((-2, -1, 0, 1, 2), repeat=3)
]
ANY_TURNS = [
    Rotation.from_euler("xyz", MOST_TURNED / 2 * np.array(steps), degrees=True) * axes
    for axes in Rotation.create_group("O")
    for steps in itertools.product((-1, 0, 1), repeat=3)
]
"""That a search begins with: about each axis, and after each exchange of axes."""

HEAD_SHIFTS_MM = (-25, 0, 25)
"""A brain is looked for in a head along each axis, around the centre of what is deep inside."""

N_STARTS = 4
"""The best of the poses are improved."""

N_STEPS = 150
"""Evaluations of a search over poses, and of its improvement."""

FIRST_STEPS = np.array([8, 8, 8, 5, 5, 5.0])
"""Of the search over poses, in degrees and mm; a third or a sixth of them later."""

RADIUS_MM = 60.0
"""Turns a change of a matrix into a displacement: the unit in which a fit's numbers are alike."""

CUT_CM2 = 1.0
"""Area of an image's face that its brain touches, from which on it goes on beyond."""


def find_pose(
    model: Scan,
    image: Scan,
    *,
    measure: Measure = "correlation",
    head: bool = False,
    anyhow: bool = False,
) -> NDArray[np.float64]:
    """Find where what one image shows lies in another, from any start (0.5 to 2 s).

    Parameters
    ----------
    model : Scan
        What is looked for: a stripped brain, or a head.
    image : Scan
        Of the same kind; or, for a stripped brain, a head in which fat is dark.
    measure : "correlation" or "information"
        The latter where contrasts may differ.
    head : bool
        Whether a brain is looked for in a head, whose centre is not the brain's.
    anyhow : bool
        Whether the image may be turned by any angle, as after the loss of its header, and not by
        `MOST_TURNED` alone.

    Returns
    -------
    (4, 4) float array
        Rigid motion from the model's world to the image's.
    """
    search = _Comparison(model, image, SEARCH_MM)
    loss = search.loss_by(measure)
    shifts = HEAD_SHIFTS_MM if head else (0,)
    centre = _deepest(search.image) if head else _centre(search.image)
    starts = [
        np.array([*turn.as_rotvec(degrees=True), *(centre + shift)])
        for turn in (ANY_TURNS if anyhow else TURNS)
        for shift in itertools.product(shifts, repeat=3)
    ]
    starts.append(np.array([0, 0, 0, *search.centre]))  # as the headers have it
    best = sorted(starts, key=loss)[:N_STARTS]
    found = min((_improve(loss, start, FIRST_STEPS) for start in best), key=lambda r: r.fun)
    fine = _Comparison(model, image, POSE_MM)
    return fine.motion(_improve(fine.loss_by(measure), found.x, FIRST_STEPS / 3).x)


def refine_pose(
    model: Scan, image: Scan, start: NDArray[np.float64], *, measure: Measure = "information"
) -> NDArray[np.float64]:
    """Improve a pose on voxels of `REFINED_MM` (1 to 2 s); parameters and result as `find_pose`."""
    fine = _Comparison(model, image, REFINED_MM)
    turn = Rotation.from_matrix(start[:3, :3]).as_rotvec(degrees=True)
    pose = np.array([*turn, *(start[:3, :3] @ fine.centre + start[:3, 3])])
    return fine.motion(_improve(fine.loss_by(measure), pose, FIRST_STEPS / 6).x)


def fit_linear(
    model: Scan,
    image: Scan,
    start: NDArray[np.float64],
    *,
    kind: LinearKind = "affine",
    counts: NDArray[np.floating] | None = None,
) -> NDArray[np.float64]:
    """Improve a linear map of a stripped brain to an image (1 s).

    Where the image's brain is cut by a face of its field of view, what lies beyond does not count.

    Parameters
    ----------
    model, image : Scan
        As in `find_pose`.
    start : (4, 4) float array
        From the model's world to the image's.
    kind : "rigid" or "affine"
        By 6 numbers, or by 12.
    counts : array of the image's shape, optional
        0 where the image does not count, a lesion say, 1 elsewhere; by default all of it counts.

    Returns
    -------
    (4, 4) float array
        From the model's world to the image's.
    """
    for spacing_mm in FIT_MM:
        start = _fit(_Comparison(model, image, spacing_mm, counts), start, kind)
    return start


class _Comparison:
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
        affine = np.eye(4)
        affine[:3, :3] = Rotation.from_rotvec(pose[:3], degrees=True).as_matrix()
        affine[:3, 3] = pose[3:] - affine[:3, :3] @ self.centre
        return affine

    def loss_by(self, measure: Measure) -> Loss:
        """What is to be made small by the choice of a pose; outside the image it is dark."""
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
        """One less the correlation of what counts, and how it changes as each point moves.

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


def _improve(
    loss: Loss, start: NDArray[np.float64], steps: NDArray[np.float64]
) -> optimize.OptimizeResult:
    return optimize.minimize(
        loss,
        start,
        method="Nelder-Mead",
        options={
            "initial_simplex": np.vstack([start, start + np.diag(steps)]),
            "maxfev": N_STEPS,
            "xatol": 0.1,
            "fatol": 1e-5,
        },
    )


def _fit(
    comparison: _Comparison, start: NDArray[np.float64], kind: LinearKind
) -> NDArray[np.float64]:
    """Maximise the correlation over start A, A being a change of the model around its centre."""
    centre = comparison.centre
    arms = comparison.points - centre[:, None]

    def change(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        affine = np.eye(4)
        if kind == "rigid":
            affine[:3, :3] = Rotation.from_rotvec(numbers[:3] / RADIUS_MM).as_matrix()
        else:
            affine[:3, :3] += numbers[:9].reshape(3, 3) / RADIUS_MM
        affine[:3, 3] = centre + numbers[-3:] - affine[:3, :3] @ centre
        return affine

    def loss(numbers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slope = comparison.loss_and_slope(start @ change(numbers))
        pull = start[:3, :3].T @ slope
        # d loss / d M, M being the matrix of the change: sum over the points of pull x arm.
        by_matrix = (pull[:, None, :] * arms[None, :, :]).sum(axis=2)
        if kind == "affine":
            by_numbers = by_matrix.ravel() / RADIUS_MM
        else:
            by_numbers = np.array([(by_matrix * turn).sum() for turn in _turning(numbers[:3])])
        return value, np.concatenate([by_numbers, pull.sum(axis=1)])

    found = optimize.minimize(
        loss,
        np.zeros(6 if kind == "rigid" else 12),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 200, "ftol": 1e-9, "gtol": 1e-7},
    )
    return start @ change(found.x)


def _turning(numbers: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Derivatives of a rotation matrix with respect to its three numbers, in mm at `RADIUS_MM`."""
    step = 1e-3
    ends = [
        [Rotation.from_rotvec((numbers + side) / RADIUS_MM).as_matrix() for side in (shift, -shift)]
        for shift in step * np.eye(3)
    ]
    return [(high - low) / (2 * step) for high, low in ends]


def _cut_off(
    values: NDArray[np.float32], counts: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Intensities from 0 to a percentile of those that are positive and count."""
    bright = values[values > 0 if counts is None else (values > 0) & (counts > 0.5)]
    top = np.percentile(bright, BRIGHTEST) if bright.size else 1.0
    return np.clip(values, 0, top).astype(np.float32)


def _centre(image: Scan) -> NDArray[np.float64]:
    return image.grid.to_world(np.argwhere(foreground(image.values))).mean(axis=0)


def _deepest(image: Scan) -> NDArray[np.float64]:
    """Mean place of what lies deepest in a head, weighted by its depth squared."""
    shown = np.pad(foreground(image.values), 1)
    depth = ndimage.distance_transform_edt(shown, image.grid.spacing_mm)[1:-1, 1:-1, 1:-1]
    voxels = np.argwhere(depth > 0)
    return np.average(
        image.grid.to_world(voxels), axis=0, weights=depth[tuple(voxels.T)] ** 2
    ).astype(np.float64)


def _cut_faces(brain: NDArray[np.bool_], grid: Grid) -> list[tuple[int, int]]:
    """Faces of the field of view through which a brain goes: axis, and 0 or -1 for its end."""
    cut = []
    for axis, place in itertools.product(range(3), (0, -1)):
        area_cm2 = grid.voxel_ml / grid.spacing_mm[axis] * 10
        if np.take(brain, place, axis).sum() * area_cm2 >= CUT_CM2:
            cut.append((axis, place))
    return cut
