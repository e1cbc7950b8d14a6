"""How far an agreed density may be from the truth, voxel by voxel.

The true logit z' is taken as normally distributed around the agreed one z, lower and wider the
farther the voxel lies beyond what the scan shows:

    z' ~ N(z - BIAS d, s^2 + (SHARE s_g)^2),    s = NEAR + WIDENING d,    d = max(0, -z - VISIBLE)

s_g is the spread of the ensemble's logits there, which enters with the growth's share in z. With
probability `LAPSE` a voxel holds no cells at all: it is fluid, or lies beyond a barrier. The five
constants are the means of two fits, each by maximum likelihood of {u' >= p}, p from 0.01 to 0.6, on
a dozen virtual patients of three kinds (cells only; oedema without cells; mass effect): a dozen
does not fix them better than that. For a patient of one kind the probabilities are a mixture's.
docs/trial.md has their reliability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr

from ...atlas import Grid
from ...solver import TumorDensity
from .agreement import GROWTH_SHARE, Agreement, rising
from .front import logit

NEAR = 0.45
"""Standard deviation of the logit where the scan shows tumour."""

WIDENING = 0.235
"""Its growth per logit beyond."""

BIAS = 0.30
"""Excess fall of the truth per logit beyond: the outlines' errors flatten the front."""

VISIBLE = 0.55
"""Logit below 0 at which the beyond begins: a density of 0.37."""

LAPSE = 0.018
"""Probability that there are no cells where the map has some."""

LEAST_LOGIT = -16.0
"""Logit (a density of 1e-7) below which expectation and probability count as 0."""

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


def doubt(
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
    z = agreement.logits[some].astype(np.float64)
    u = growth.u[some].astype(np.float64)
    slope = np.maximum(u * (1 - u), 1e-3)  # of the density by the logit
    of_growth = GROWTH_SHARE * rising(growth.u[some]) * growth_sd[some] / slope
    beyond = np.maximum(0, -z - VISIBLE)
    centre = z - BIAS * beyond
    spread = np.hypot(NEAR + WIDENING * beyond, of_growth)

    def filled(values: NDArray[np.float64]) -> NDArray[np.float32]:
        out = np.zeros(some.shape, np.float32)
        out[some] = values
        return out

    weights = WEIGHTS / WEIGHTS.sum() * (1 - LAPSE)
    mean, square = np.zeros(len(z)), np.zeros(len(z))
    for node, weight in zip(NODES, weights, strict=True):
        at_node = expit(centre + node * spread)
        mean += weight * at_node
        square += weight * at_node**2
    exceedance = {
        level: filled((1 - LAPSE) * ndtr((centre - float(logit(level))) / spread))
        for level in levels
    }
    sd = np.sqrt(np.maximum(square - mean**2, 0))
    return DensityMaps(filled(mean), filled(sd), exceedance, growth.grid)
