"""Signed travel time to the surface of an outline.

Solves |grad tau| speed = 1 with tau = 0 on the outline's surface, outwards and inwards. Its unit is
mm at speed 1: it is the signed distance if the speed is 1 everywhere, to a quarter of a voxel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas.regions import Box, bounding_box
from ...errors import InputError
from ...solver.own_settings import own_jax
from .eikonal import FAR, solve_eikonal

LEAST_SPEED = 1e-3
"""Least speed of a voxel that a front enters."""


@own_jax()
def travel_time(
    outline: NDArray[np.bool_],
    speed: NDArray[np.floating],
    spacing_mm: tuple[float, float, float],
    *,
    reach_mm: float = np.inf,
) -> NDArray[np.float32]:
    """How long a front travels from an outline's surface to each voxel's centre.

    Parameters
    ----------
    outline : (nx, ny, nz) bool array
        The surface lies between the centres of its voxels and of their neighbours: half-way on a
        flat face, else where the signed distance between centres passes 0. Where the neighbour is
        of speed 0 there is none, for nothing crosses that face, unless there is none at all.
    speed : (nx, ny, nz) array
        >= 0; no path leads through a voxel of speed 0 (below `LEAST_SPEED`) or beyond the array.
    spacing_mm : tuple of three float
        Distance between voxel centres along each array axis.
    reach_mm : float
        Longer times are not computed, which saves work.

    Returns
    -------
    (nx, ny, nz) float32 array
        In mm at speed 1: positive outside the outline, negative inside, +inf in voxels of a speed
        below `LEAST_SPEED` and, outside, those that no path reaches or that lie beyond `reach_mm`
        or `FAR` / 2. A part of the outline from which no path leads to the surface is as deep as
        the deepest voxel.

    Raises
    ------
    InputError
        If the arrays differ in shape, the outline is empty or leaves nothing outside, a speed is
        negative or not finite, or a spacing is not positive.
    """
    outline, speed = np.asarray(outline, bool), np.asarray(speed)
    _check(outline, speed, spacing_mm)
    is_open = speed >= LEAST_SPEED
    times = np.full(outline.shape, np.inf, np.float32)
    if not is_open.any():
        return times
    slowness = (1 / np.where(is_open, speed, 1)).astype(np.float32)
    surface = bounding_box(outline, 1)
    ahead, behind = (np.full(outline.shape, FAR, np.float32) for _ in range(2))
    for may_cross in (is_open, np.ones_like(outline)):
        ahead[surface], behind[surface] = _beside_surface(
            outline[surface], may_cross[surface], slowness[surface], spacing_mm
        )
        if (ahead[surface] < FAR).any():
            break
    ahead[~is_open] = behind[~is_open] = FAR
    farthest = reach_mm * float(speed.max()) / np.array(spacing_mm) + 1
    reached = bounding_box(outline, np.minimum(np.ceil(farthest), max(outline.shape)).astype(int))
    for sign, side, box, reach in (
        (1, ~outline, _common(reached, bounding_box(is_open | outline)), reach_mm),
        (-1, outline, surface, np.inf),
    ):
        within = is_open & side
        known = np.where(side, ahead, np.where(behind < FAR, -behind, FAR))[box]
        found = solve_eikonal(known, slowness[box], within[box], spacing_mm, reach)
        times[box] = np.where(within[box], sign * found, times[box])
    enclosed = times == -np.inf
    times[enclosed] = times.min(where=~enclosed & outline, initial=0)
    return times


def _check(
    outline: NDArray[np.bool_], speed: NDArray[np.floating], spacing_mm: tuple[float, float, float]
) -> None:
    if outline.shape != speed.shape or outline.ndim != 3:
        raise InputError(
            "an outline and speeds are arrays of one shape with three axes, got "
            f"{outline.shape} and {speed.shape}"
        )
    if not outline.any():
        raise InputError("the outline is empty: a front has nowhere to begin")
    if outline.all():
        raise InputError("the outline leaves no voxel outside, so it has no surface")
    if not (np.isfinite(speed).all() and speed.min() >= 0):
        raise InputError("speeds are finite and at least 0, got others")
    if not (np.isfinite(spacing_mm).all() and min(spacing_mm) > 0):
        raise InputError(f"distances between voxels are positive numbers, got {spacing_mm}")


def _common(a: Box, b: Box) -> Box:
    """What two boxes share."""
    x, y, z = (slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return x, y, z


def _beside_surface(
    outline: NDArray[np.bool_],
    is_open: NDArray[np.bool_],
    slowness: NDArray[np.float32],
    spacing_mm: tuple[float, float, float],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Times between the surface and the voxels with a face on it; `FAR` elsewhere.

    Only faces between open voxels are part of the surface. Along each axis it lies where the signed
    distance between centres, interpolated linearly, is 0. Through the points at d_x, d_y and d_z so
    found goes a plane at the distance 1 / d^2 = 1 / d_x^2 + 1 / d_y^2 + 1 / d_z^2.

    Returns
    -------
    two float32 arrays of the outline's shape
        Times by the voxel's own slowness, of a front that goes on from here, and by the mean
        slowness of its neighbours across the surface, the medium of a front that goes on there;
        nearer ones weigh more.
    """
    to_inside, to_outside = (
        ndimage.distance_transform_edt(~(side & is_open), sampling=spacing_mm)
        for side in (outline, ~outline)
    )
    depth = np.where(outline, to_outside, to_inside)
    inverse_square, across, faces = (np.zeros(outline.shape) for _ in range(3))
    for axis, spacing in enumerate(spacing_mm):
        here, there, may, slow, slowness_across, weight = (
            np.moveaxis(a, axis, 0) for a in (outline, depth, is_open, slowness, across, faces)
        )
        crossed = (here[1:] != here[:-1]) & may[1:] & may[:-1]
        total = (there[1:] + there[:-1]) / spacing
        nearest = np.zeros(there.shape)  # 1 / d_axis, of the two sides' the larger
        for own, other in ((slice(1, None), slice(-1)), (slice(-1), slice(1, None))):
            inverse = np.divide(total, there[own], out=np.zeros_like(total), where=crossed)
            np.maximum(nearest[own], inverse, out=nearest[own])
            slowness_across[own] += inverse**2 * slow[other]
            weight[own] += inverse**2
        inverse_square += np.moveaxis(nearest**2, 0, axis)
    beside = inverse_square > 0
    inverse_square[~beside] = faces[~beside] = 1
    distance = 1 / np.sqrt(inverse_square)
    return (
        np.where(beside, distance * slowness, FAR).astype(np.float32),
        np.where(beside, distance * across / faces, FAR).astype(np.float32),
    )
