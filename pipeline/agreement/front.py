"""How the density of a growth falls along the way that its front travels.

A travelling wave of the Fisher-Kolmogorov equation has one profile: the density depends only on how
long the front takes to, or took from, a point. In logits, z = ln(u / (1 - u)), the profile falls
nearly in a straight line, by about 1 / lambda a mm far ahead of the front. The profile of a growth
is read off its own density as the mean logit of the voxels of one travel time, made falling by
isotonic regression. So it holds what the growth equation, and its age, say about the front's shape,
and nothing about where the growth lies.

References
----------
E. Konukoglu, O. Clatz, P.-Y. Bondiau, H. Delingette, N. Ayache, "Extrapolating glioma invasion
margin in brain magnetic resonance images: suggesting new irradiation margins", Medical Image
Analysis 14:111-125, 2010: density beyond an outline from the front's travel time and its profile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

LEAST_DENSITY = 1e-4
"""Logit below which the density of a growth of finite age is no longer a wave's."""

MOST_DENSITY = 1 - 1e-3
"""Logit above which differences are rounding alone."""

BIN_MM = 0.5
"""Width of a bin of travel times, in mm of pure white matter."""

LEAST_VOXELS = 8
"""Least number of voxels in a bin."""


def logit(u: NDArray[np.floating] | float) -> NDArray[np.float32]:
    """ln(u / (1 - u)) of a density above 0 and below 1."""
    values = np.asarray(u, np.float64)
    return np.log(values / (1 - values)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Front:
    """Logit of the density by travel time, falling.

    Attributes
    ----------
    times_mm : (n,) float64 array
        Rising, in mm of pure white matter.
    logits : (n,) float64 array
        Never rising.
    lambda_mm : float
        sqrt(dw / rho): before the first time and after the last the logit falls by its inverse a
        mm.
    """

    times_mm: NDArray[np.float64]
    logits: NDArray[np.float64]
    lambda_mm: float

    @classmethod
    def of_growth(
        cls, times_mm: NDArray[np.floating], u: NDArray[np.floating], lambda_mm: float
    ) -> Front:
        """Read the profile off a growth.

        Parameters
        ----------
        times_mm : array
            Travel time of the growth's own front, of voxels in any order; infinite ones are left
            out.
        u : array of that shape
            Density there, in [0, 1].
        lambda_mm : float
            > 0.

        Returns
        -------
        Front
            A straight line through 1/2 at time 0 where the growth has too few voxels.
        """
        counted = (u >= LEAST_DENSITY) & np.isfinite(times_mm)
        times = times_mm[counted].astype(np.float64)
        logits = logit(np.minimum(u[counted], MOST_DENSITY)).astype(np.float64)
        bins = np.floor(times / BIN_MM).astype(int)
        _, place = np.unique(bins, return_inverse=True)
        n = np.bincount(place)
        full = n >= LEAST_VOXELS
        if full.sum() < 2:
            return cls(np.zeros(1), np.zeros(1), lambda_mm)
        mean_times, mean_logits = (
            np.bincount(place, weights=values)[full] / n[full] for values in (times, logits)
        )
        fitted = isotonic_regression(mean_logits, weights=n[full], increasing=False).x
        return cls(mean_times, fitted, lambda_mm)

    def at(self, times_mm: NDArray[np.floating]) -> NDArray[np.float32]:
        """Logit at each time; -inf at infinite ones.

        Parameters
        ----------
        times_mm : float array
            Travel times, mm of white matter.

        Returns
        -------
        float array
            Logits.
        """
        first, last = self.times_mm[0], self.times_mm[-1]
        beyond = np.maximum(times_mm - last, 0) - np.maximum(first - times_mm, 0)
        inside = np.interp(times_mm, self.times_mm, self.logits)
        return (inside - beyond / self.lambda_mm).astype(np.float32)

    def time_of(self, u: float) -> float:
        """Time at which the density falls to u, the first one where it stays there.

        Parameters
        ----------
        u : float
            A density, between 0 and 1.

        Returns
        -------
        float
            mm of white matter.
        """
        level = float(logit(u))
        if level > self.logits[0]:
            return float(self.times_mm[0] - (level - self.logits[0]) * self.lambda_mm)
        if level < self.logits[-1]:
            return float(self.times_mm[-1] + (self.logits[-1] - level) * self.lambda_mm)
        # Falling by the least that makes each logit a place of its own.
        strictly = self.logits - 1e-9 * np.arange(len(self.logits))
        return float(np.interp(-level, -strictly, self.times_mm))

    def from_time(self, start_mm: float) -> Front:
        """The same front with its clock at 0 at this time.

        Parameters
        ----------
        start_mm : float
            mm of white matter.

        Returns
        -------
        Front
        """
        return replace(self, times_mm=self.times_mm - start_mm)
