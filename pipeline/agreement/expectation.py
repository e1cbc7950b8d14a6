"""How far an agreed density may be from the truth, voxel by voxel.

The true logit z' is taken as normally distributed around the agreed one z, lower and wider the
lower the map's density is:

    z' ~ N(z - BIAS d, s^2 + (SHARE s_g)^2),    s = NEAR + WIDENING d,    d = max(0, -z)

s_g is the spread of the ensemble's logits there, which enters with the growth's share in z. With
probability LAPSE + LAPSE_BEYOND min(1, d / ALL_BEYOND) a voxel holds no cells at all: it is fluid,
or lies beyond a barrier, or only oedema reaches it. The six constants were fitted on 40 virtual
patients of three kinds (cells only; oedema without cells; mass effect): by least squares of what
the probabilities of {u' >= p}, p from 0.01 to 0.6, claim and what is true, tenth by tenth. A
maximum-likelihood fit gave less reliable probabilities, because the true errors do not follow this
distribution. The probabilities hold for the mixture of the three kinds, not for each kind.
docs/trial.md has their reliability in other patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from ...atlas import Grid
from ...solver import TumorDensity
from ..images.field import Field
from .agreement import GROWTH_SHARE, Agreement, rising
from .front import logit

NEAR = 0.33
"""Standard deviation of the logit where the map has a density of a half or more."""

WIDENING = 0.122
"""Its growth per logit below."""

BIAS = 0.149
"""Excess fall of the truth per logit below: the outlines' errors flatten the front."""

LAPSE = 0.022
"""Probability that there are no cells where the map has a density of a half or more."""

LAPSE_BEYOND = 0.29
"""What is added to it far below."""

ALL_BEYOND = 4.65
"""Logit below 0 from which on all of it is added: a density of 0.01."""

LEAST_LOGIT = -16.0
"""Logit (a density of 1e-7) below which expectation and probability count as 0."""

AT_ONCE = 2**16
"""Voxels that are reckoned at once: their values stay in the cache."""

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
"""Nodes of the integration over the true logit."""


@dataclass(frozen=True, eq=False)
class DensityMaps:
    """Expectation of the true density, voxel by voxel.

    Attributes
    ----------
    mean, sd : float32 array of the grid's shape
        Expectation and standard deviation.
    exceedance : mapping of float to float32 array
        For each level, the probability that the density is at least as high.
    grid : Grid
    """

    mean: NDArray[np.float32]
    sd: NDArray[np.float32]
    exceedance: Mapping[float, NDArray[np.float32]]
    grid: Grid

    def laid(self, field: Field) -> DensityMaps:
        """The same on the whole grid of a field whose box is theirs; 0 outside the box.

        Parameters
        ----------
        field : Field

        Returns
        -------
        DensityMaps
        """
        return DensityMaps(
            field.laid(self.mean),
            field.laid(self.sd),
            {level: field.laid(values) for level, values in self.exceedance.items()},
            field.whole,
        )


def expect_density(
    agreement: Agreement,
    growth: TumorDensity,
    growth_sd: NDArray[np.float32],
    levels: Sequence[float],
) -> DensityMaps:
    """Say how far an agreed density may be from the truth.

    Parameters
    ----------
    agreement : Agreement
    growth : TumorDensity
        The growth that agreed, on the same grid.
    growth_sd : float32 array of the grid's shape
        Standard deviation of its ensemble's densities.
    levels : sequence of float
        Densities whose exceedance is wanted, between 0 and 1.

    Returns
    -------
    DensityMaps
        On the same grid: mean, standard deviation and exceedance.
    """
    some = agreement.logits > LEAST_LOGIT
    z, u, growth_sd = agreement.logits[some], growth.u[some], growth_sd[some]
    told = np.empty((2 + len(levels), len(z)), np.float32)
    for start in range(0, len(z), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        told[:, part] = _told_of(z[part], u[part], growth_sd[part], levels)

    def filled(values: NDArray[np.float32]) -> NDArray[np.float32]:
        out = np.zeros(some.shape, np.float32)
        out[some] = values
        return out

    mean, sd, *exceedance = map(filled, told)
    return DensityMaps(mean, sd, dict(zip(levels, exceedance, strict=True)), growth.grid)


def _told_of(
    z: NDArray[np.float32],
    u: NDArray[np.float32],
    growth_sd: NDArray[np.float32],
    levels: Sequence[float],
) -> NDArray[np.float64]:
    """Mean, standard deviation and each exceedance (2 + n levels, n) of voxels."""
    z, u = z.astype(np.float64), u.astype(np.float64)
    slope = np.maximum(u * (1 - u), 1e-3)  # of the density by the logit
    of_growth = GROWTH_SHARE * rising(u) * growth_sd / slope
    beyond = np.maximum(0, -z)
    centre = z - BIAS * beyond
    spread = np.hypot(NEAR + WIDENING * beyond, of_growth)
    holds_cells = 1 - LAPSE - LAPSE_BEYOND * np.minimum(1, beyond / ALL_BEYOND)
    mean, square = np.zeros(len(z)), np.zeros(len(z))
    for node, weight in zip(NODES, WEIGHTS / WEIGHTS.sum(), strict=True):
        at_node = expit(centre + node * spread)
        mean += weight * holds_cells * at_node
        square += weight * holds_cells * at_node**2
    exceedance = [holds_cells * ndtr((centre - float(logit(p))) / spread) for p in levels]
    return np.stack([mean, np.sqrt(np.maximum(square - mean**2, 0)), *exceedance])
