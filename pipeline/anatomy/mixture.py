"""Fluid, grey and white matter, separated by intensity, with an atlas as the prior.

A voxel counts as two halves, each of one tissue: pure where both are of the same, else mixed, with
any share of the two. With the expected probabilities p_a of the tissues, a pure voxel of a has the
weight (p_a p_a)^t and a mixed one w (p_a p_b)^t: t, `TRUST`, is below 1, because an atlas that lies
a few mm off says less than its probabilities do. w, `MIXED`, is large, because much of the cortex
is narrower than a voxel. Around the mean intensity of a pure voxel lies noise of one standard
deviation; the intensities of mixed voxels spread evenly between two means. The coil's sensitivity
multiplies all intensities; it is a polynomial of the place. Means, noise and polynomial are fitted
by expectation maximisation.

References
----------
K. Van Leemput, F. Maes, D. Vandermeulen, P. Suetens, "Automated model-based tissue classification
of MR images of the brain", IEEE Transactions on Medical Imaging 18(10):897-908, 1999: an atlas as
prior, and a polynomial for the coil.
P. Santago, H. D. Gage, "Quantification of MR brain images by mixture density and partial volume
modeling", IEEE Transactions on Medical Imaging 12(3):566-574, 1993: mixed voxels spread evenly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

N_ROUNDS = 15
"""Iterations of the fit. More of them change no share by more than a hundredth."""

DEGREE = 3
"""Degree of the polynomial of the place."""

TRUST = 0.7
"""Power t of the atlas's probabilities."""

MIXED = 15.0
"""Weight of a mixed voxel; two halves drawn one by one would have 2."""

FLOOR = 0.01
"""Probability added to each tissue: nothing is impossible beside a misplaced boundary."""

PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2))
"""Tissues of the two halves; 0 is fluid, 1 grey matter, 2 white matter."""

LEAST_NOISE = 1e-3
"""Least noise, in units of the brain's median; without any, no voxel could be mixed."""

SENSITIVITY = (0.5, 2.0)
"""Bounds of the coil's sensitivity relative to its mean."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """The model of a brain's intensities.

    Attributes
    ----------
    means : (3,) float array
        Intensity of fluid, grey and white matter, in units of the brain's median.
    noise : float
        Standard deviation around each, likewise.
    coefficients : (n,) float array
        Coefficients of the coil's polynomial; its constant is 1.
    """

    means: Array
    noise: float
    coefficients: Array

    @property
    def contrast(self) -> float:
        """Distance of white from grey matter in standard deviations of the noise."""
        return float((self.means[2] - self.means[1]) / self.noise)

    @property
    def is_of_t1(self) -> bool:
        """Whether white matter is brighter than grey, and grey brighter than fluid."""
        return bool(self.means[0] < self.means[1] < self.means[2])

    def shares(self, intensities: Array, expected: Array, places: Array) -> Array:
        """Shares of the tissues in each voxel.

        Parameters
        ----------
        intensities : (n,) float array
        expected : (3, n) float array
            Probabilities of fluid, grey and white matter.
        places : (n, 3) float array
            In [-1, 1].

        Returns
        -------
        (3, n) float array
            In [0, 1]; they sum to 1.
        """
        even = intensities / _sensitivity(_polynomials(places), self.coefficients)
        weights = _responsibilities(even, _log_weights(expected), self.means, self.noise)
        centres, variances, spreads = _classes(self.means, self.noise)
        shares = np.zeros_like(expected)
        for weight, (a, b), centre, variance, spread in zip(
            weights, PAIRS, centres, variances, spreads, strict=True
        ):
            if a == b:
                shares[a] += weight
                continue
            off = spread / variance * (even - centre) / (self.means[a] - self.means[b])
            of_a = np.clip(0.5 + off, 0, 1)
            shares[a] += weight * of_a
            shares[b] += weight * (1 - of_a)
        return shares


def fit_mixture(intensities: Array, expected: Array, places: Array) -> Mixture:
    """Fit means, noise and the coil's sensitivity to the voxels of a brain (1 s for 150,000).

    Parameters
    ----------
    intensities : (n,) float array
        In units of their median.
    expected : (3, n) float array
        Probabilities of fluid, grey and white matter.
    places : (n, 3) float array
        In [-1, 1].
    """
    log_weights = _log_weights(expected)
    terms = _polynomials(places)
    means = (expected @ intensities + FLOOR) / (expected.sum(axis=1) + FLOOR)
    noise = max(float(intensities.std()) / 2, LEAST_NOISE)
    coefficients = np.zeros(terms.shape[1])
    even = intensities
    for _ in range(N_ROUNDS):
        weights = _responsibilities(even, log_weights, means, noise)
        pure = weights[:3]
        total = pure.sum(axis=1) + 1  # so that none divides by zero
        means = (pure @ even) / total
        squares = (pure * (even - means[:, None]) ** 2).sum()
        noise = max(float(np.sqrt(squares / total.sum())), LEAST_NOISE)
        coefficients = _fit_coil(intensities, weights, means, noise, terms)
        even = intensities / _sensitivity(terms, coefficients)
    return Mixture(means, noise, coefficients)


def _fit_coil(
    intensities: Array, weights: Array, means: Array, noise: float, terms: Array
) -> Array:
    """Polynomial that best turns expected into measured intensities (weighted least squares)."""
    centres, variances, _ = _classes(means, noise)
    precision = (1 / variances) @ weights
    even = (centres / variances) @ weights / precision
    columns = terms * (even * np.sqrt(precision))[:, None]
    missing = (intensities - even) * np.sqrt(precision)
    normal = columns.T @ columns
    normal += 1e-6 * np.trace(normal) / len(normal) * np.eye(len(normal))
    found: Array = np.linalg.solve(normal, columns.T @ missing)
    return found


def _sensitivity(terms: Array, coefficients: Array) -> Array:
    return np.clip(1 + terms @ coefficients, *SENSITIVITY)


def _polynomials(places: Array) -> Array:
    """Products of Legendre's polynomials up to a total degree, without the constant."""
    x, y, z = (np.polynomial.legendre.legvander(axis, DEGREE) for axis in places.T)
    degrees = range(DEGREE + 1)
    return np.stack(
        [
            x[:, i] * y[:, j] * z[:, k]
            for i in degrees
            for j in degrees
            for k in degrees
            if 0 < i + j + k <= DEGREE
        ],
        axis=1,
    )


def _log_weights(expected: Array) -> Array:
    """Logarithm of each pair's weight in each voxel, before its intensity is seen."""
    floored = (expected + FLOOR) / (expected + FLOOR).sum(axis=0)
    weights = np.stack(
        [(1 if a == b else MIXED) * (floored[a] * floored[b]) ** TRUST for a, b in PAIRS]
    )
    return np.log(weights)


def _classes(means: Array, noise: float) -> tuple[Array, Array, Array]:
    """Mean and variance of each pair's intensity; the part of the variance that mixing adds."""
    first, second = np.array(PAIRS).T
    spreads = (means[first] - means[second]) ** 2 / 12
    return (means[first] + means[second]) / 2, noise**2 + spreads, spreads


def _responsibilities(even: Array, log_weights: Array, means: Array, noise: float) -> Array:
    """Probability of each pair in each voxel, given its intensity."""
    centres, variances, _ = _classes(means, noise)
    logs = log_weights - 0.5 * np.log(variances)[:, None]
    logs -= 0.5 * (even - centres[:, None]) ** 2 / variances[:, None]
    weights = np.exp(logs - logs.max(axis=0))
    found: Array = weights / weights.sum(axis=0)
    return found
