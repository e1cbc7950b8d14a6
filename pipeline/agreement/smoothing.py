"""Travel times without the errors of a drawn outline.

A person or a network draws an outline a millimetre or two off, and the error changes over a
centimetre. A front carries this error on: behind a false dent, all travel times are too long. They
are also too long behind a barrier that the tissue map shows too wide. A tumour's own front is
smooth, for cells that diffuse pass around small obstacles. Smoothing takes from the times what no
front could have.

    t'(x) = sum of g(x - y) t(y) / sum of g(x - y) - level,    y where a front arrives,

g a Gaussian. The level keeps the outline's volume: as many voxels are inside, t' < 0, as before.
A small outline is smoothed less: it would lose its shape, not its errors. So is a small part of an
outline beside a large one, each part by itself as far as it is the nearest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMOOTHING_MM = 4.0
"""Largest standard deviation of the Gaussian; errors of an outline change over some 8 mm."""

SHARE_OF_DEPTH = 1 / 3
"""Largest standard deviation as a share of the greatest depth inside the outline. The depth is a
travel time, so that grey matter counts for more than white: with a depth in mm the maps of virtual
patients 1020 to 1027 have a larger error (0.0591 instead of 0.0586 in arm a)."""

STEP_MM = 0.5
"""Step of the standard deviations of parts that are less deep than the deepest: few passes."""

PASSING_MM = 2.5
"""Distance by which a part must be farther than the nearest one to count less by a factor of e."""

ADJACENT = np.ones((3, 3, 3), bool)
"""Voxels that touch belong to one part."""


def smoothing_mm(times_mm: NDArray[np.float32]) -> float:
    """Standard deviation of the Gaussian for an outline, or for its deepest part.

    Parameters
    ----------
    times_mm : float32 array
        Signed travel times from the outline.

    Returns
    -------
    float
        mm, above 0.
    """
    return min(SMOOTHING_MM, SHARE_OF_DEPTH * -float(times_mm.min()))


def smooth_parts(
    times_mm: NDArray[np.float32], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Smooth the signed travel times from an outline, each part of it as its depth allows.

    Parameters
    ----------
    times_mm : (nx, ny, nz) float32 array
        As `travel_time` returns them.
    spacing_mm : tuple of three float
        Distance between voxel centres along each array axis.

    Returns
    -------
    (nx, ny, nz) float32 array
        +inf where it was.
    """
    deepest_mm = smoothing_mm(times_mm)
    parts, n = ndimage.label(times_mm < 0, ADJACENT)
    depths = -ndimage.minimum(times_mm, parts, np.arange(1, n + 1))
    sds = np.maximum(np.round(SHARE_OF_DEPTH * depths / STEP_MM), 1) * STEP_MM
    sds = np.where(SHARE_OF_DEPTH * depths >= deepest_mm, deepest_mm, np.minimum(sds, deepest_mm))
    kinds = np.unique(sds)
    if len(kinds) == 1:
        return smooth_times(times_mm, spacing_mm, deepest_mm)
    reached = np.isfinite(times_mm)
    of_kind = [np.append(False, sds == sd_mm)[parts] for sd_mm in kinds]
    away = np.stack(
        [
            ndimage.distance_transform_edt(~its_parts, sampling=spacing_mm)[reached]
            for its_parts in of_kind
        ]
    )
    nearest = away.argmin(axis=0)
    counts = np.exp((away.min(axis=0) - away) / PASSING_MM)
    smooth = np.zeros(len(nearest), np.float32)
    for kind, sd_mm in enumerate(kinds):
        means = _means(times_mm, spacing_mm, sd_mm)[reached]
        means -= _level(means[nearest == kind], int(of_kind[kind].sum()))
        smooth += means * (counts[kind] / counts.sum(axis=0)).astype(np.float32)
    found = np.full_like(times_mm, np.inf)
    found[reached] = smooth - _level(smooth, int((times_mm < 0).sum()))
    return found


def smooth_times(
    times_mm: NDArray[np.float32], spacing_mm: tuple[float, float, float], sd_mm: float
) -> NDArray[np.float32]:
    """Smooth the signed travel times from an outline, all of it alike.

    Parameters
    ----------
    times_mm : (nx, ny, nz) float32 array
        As `travel_time` returns them.
    spacing_mm : tuple of three float
        Distance between voxel centres along each array axis.
    sd_mm : float
        Standard deviation of the Gaussian.

    Returns
    -------
    (nx, ny, nz) float32 array
        +inf where it was.
    """
    smooth, reached = _means(times_mm, spacing_mm, sd_mm), np.isfinite(times_mm)
    smooth[reached] -= _level(smooth[reached], int((times_mm < 0).sum()))
    return smooth


def _means(
    times_mm: NDArray[np.float32], spacing_mm: tuple[float, float, float], sd_mm: float
) -> NDArray[np.float32]:
    """Means of the times by the Gaussian, +inf where no front arrives."""
    reached = np.isfinite(times_mm)
    width = sd_mm / np.array(spacing_mm)
    known, share = (
        ndimage.gaussian_filter(values.astype(np.float32), width, mode="constant")[reached]
        for values in (np.where(reached, times_mm, 0), reached)
    )
    means = np.full(times_mm.shape, np.inf, np.float32)
    means[reached] = known / share
    return means


def _level(values: NDArray[np.float32], n_below: int) -> np.float32:
    """Half-way between the last of the n lowest values and the next one."""
    if not 0 < n_below < len(values):
        return np.float32(0)
    last, following = np.partition(values, (n_below - 1, n_below))[n_below - 1 : n_below + 1]
    return np.float32((last + following) / 2)
