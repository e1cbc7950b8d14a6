"""Travel times without the errors of a drawn outline.

A person or a network draws an outline a millimetre or two off, and the error changes over a
centimetre. A front carries this error on: behind a false dent, all travel times are too long. They
are also too long behind a barrier that the tissue map shows too wide. A tumour's own front is
smooth, for cells that diffuse pass around small obstacles. Smoothing takes from the times what no
front could have.

    t'(x) = sum of g(x - y) t(y) / sum of g(x - y) - level,    y where a front arrives,

g a Gaussian. The level keeps the outline's volume: as many voxels are inside, t' < 0, as before.
A small outline is smoothed less: it would lose its shape, not its errors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMOOTHING_MM = 4.0
"""Largest standard deviation of the Gaussian; errors of an outline change over some 8 mm."""

SHARE_OF_DEPTH = 1 / 3
"""Largest standard deviation as a share of the greatest depth inside the outline."""


def smoothing_mm(times_mm: NDArray[np.float32]) -> float:
    """Standard deviation of the Gaussian for an outline.

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


def smooth_times(
    times_mm: NDArray[np.float32], spacing_mm: tuple[float, float, float], sd_mm: float
) -> NDArray[np.float32]:
    """Smooth the signed travel times from an outline.

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
    reached = np.isfinite(times_mm)
    width = sd_mm / np.array(spacing_mm)
    known, share = (
        ndimage.gaussian_filter(values.astype(np.float32), width, mode="constant")[reached]
        for values in (np.where(reached, times_mm, 0), reached)
    )
    smooth = known / share
    smooth -= _level(smooth, int((times_mm < 0).sum()))
    found = np.full(times_mm.shape, np.inf, np.float32)
    found[reached] = smooth
    return found


def _level(values: NDArray[np.float32], n_below: int) -> np.float32:
    """Half-way between the last of the n lowest values and the next one."""
    if not 0 < n_below < len(values):
        return np.float32(0)
    last, following = np.partition(values, (n_below - 1, n_below))[n_below - 1 : n_below + 1]
    return np.float32((last + following) / 2)
