"""Rigid and affine registration by correlation or mutual information.

One image, the model, is laid into another. The points that count are those of its foreground and of
a shell around it. The shell is dark around a stripped brain, and also in a head, where it holds
fluid and bone. The measure of a pose is the correlation of the intensities, or their mutual
information where the contrasts differ.

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
D. C. Liu, J. Nocedal, "On the limited memory BFGS method for large scale optimization",
Mathematical Programming 45:503-528, 1989.
"""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from ..images.foreground import foreground
from ..images.nifti import Scan
from ..images.point_map import affine_about
from .comparison import Comparison, Loss, Measure

LinearKind = Literal["rigid", "affine"]

SEARCH_MM = 10.0
"""Voxels of the search over poses."""

POSE_MM = 6.0
"""Voxels on which the best pose is improved."""

REFINED_MM = 3.0
"""Voxels of `refine_pose`."""

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
"""Rotations that a search begins with: about each axis, and after each exchange of axes."""

HEAD_SHIFTS_MM = (-25, 0, 25)
"""Shifts along each axis of the search for a brain in a head, around the centre of its deep
inside."""

N_STARTS = 4
"""Number of the best poses that are improved."""

N_STEPS = 150
"""Evaluations of a search over poses, and of its improvement."""

FIRST_STEPS = np.array([8, 8, 8, 5, 5, 5.0])
"""First steps of the search over poses, in degrees and mm; later ones are a third or a sixth of
them."""

RADIUS_MM = 60.0
"""Radius in mm that turns a change of a matrix into a displacement, so that all numbers of a fit
have one unit."""


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
        The image to find: a stripped brain, or a head.
    image : Scan
        An image of the same kind; or, for a stripped brain, a head in which fat is dark.
    measure : "correlation" or "information"
        The latter where contrasts may differ.
    head : bool
        Whether to find a brain in a head, whose centre is not the brain's.
    anyhow : bool
        Whether the image may be turned by any angle, as after the loss of its header, and not by
        `MOST_TURNED` alone.

    Returns
    -------
    (4, 4) float array
        Rigid motion from the model's world to the image's.
    """
    search = Comparison(model, image, SEARCH_MM)
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
    fine = Comparison(model, image, POSE_MM)
    return fine.motion(_improve(fine.loss_by(measure), found.x, FIRST_STEPS / 3).x)


def refine_pose(model: Scan, image: Scan, start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Improve a pose by mutual information, on voxels of `REFINED_MM` (1 to 2 s).

    Parameters
    ----------
    model, image : Scan
        As in `find_pose`.
    start : (4, 4) float array
        The pose to improve, mm.

    Returns
    -------
    (4, 4) float array
        As `find_pose` returns it, mm.
    """
    fine = Comparison(model, image, REFINED_MM)
    turn = Rotation.from_matrix(start[:3, :3]).as_rotvec(degrees=True)
    pose = np.array([*turn, *(start[:3, :3] @ fine.centre + start[:3, 3])])
    return fine.motion(_improve(fine.loss_by("information"), pose, FIRST_STEPS / 6).x)


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
        0 where the image does not count, such as in a lesion, and 1 elsewhere; by default all of it
        counts.

    Returns
    -------
    (4, 4) float array
        From the model's world to the image's.
    """
    for spacing_mm in FIT_MM:
        start = _fit(Comparison(model, image, spacing_mm, counts), start, kind)
    return start


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
    comparison: Comparison, start: NDArray[np.float64], kind: LinearKind
) -> NDArray[np.float64]:
    """Maximise the correlation over start A, A being a change of the model around its centre."""
    centre = comparison.centre
    arms = comparison.points - centre[:, None]

    def change(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        if kind == "rigid":
            linear = Rotation.from_rotvec(numbers[:3] / RADIUS_MM).as_matrix()
        else:
            linear = np.eye(3) + numbers[:9].reshape(3, 3) / RADIUS_MM
        return affine_about(linear, centre, centre + numbers[-3:])

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
