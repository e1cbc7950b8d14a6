"""Smooth random fields, which bend heads, shade images and change tissue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

MOST_STEP = 4
"""Voxels between the points at which the noise is drawn; it is interpolated linearly between."""

LEAST_SD = 5.0
"""Least standard deviation of the noise, in such steps, for which this is smooth enough."""


def smooth_noise(
    shape: tuple[int, int, int], sd: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Gaussian-filtered white noise, scaled to a largest magnitude of 1.

    Parameters
    ----------
    shape : tuple of three int
    sd : float
        Standard deviation of the filter in voxels.
    rng : numpy.random.Generator
    """
    step = int(np.clip(sd / LEAST_SD, 1, MOST_STEP))
    coarse = rng.standard_normal([-(-n // step) + 1 for n in shape]).astype(np.float32)
    noise = ndimage.gaussian_filter(coarse, sd / step, mode="wrap")
    for axis, n in enumerate(shape):
        noise = _divided(noise, axis, n, step)
    noise /= np.abs(noise).max()
    return noise


def _divided(values: NDArray[np.float32], axis: int, n: int, step: int) -> NDArray[np.float32]:
    """The first n of the points that divide each interval along an axis into `step` parts."""
    at = np.arange(n) / step
    before = at.astype(int)
    share = (at - before).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    low, high = (np.take(values, before + i, axis) for i in (0, 1))
    return low + share * (high - low)
