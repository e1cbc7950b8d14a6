"""Intervals of the quantities of a fit, from the members of its ensemble.

A quantity's interval is m +- f sqrt(v + b^2) with the members' weighted mean m and variance v. For
a further refined parameter, m is the refined growth's value and v the mean square deviation from
it: draws stop at the ends of the parameter's range, which shifts their mean near an end. With the
factor f, 90 % of the intervals hold the truth (split conformal calibration: Lei et al. 2018). b is
the least uncertainty that the database's spacing leaves. Intervals of lambda and rho T are in
logarithms.

f belongs to one database and is calibrated on simulated tumours whose outlines are disturbed like
segmentations (`virtual.calibration`, `interval_factors`); without a calibration there are no
intervals. f covers no error of the model, the anatomy or the registration. For a real patient the
intervals say how well the outlines determine the model; they claim nothing about the truth.

References
----------
J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani, L. Wasserman, "Distribution-free predictive
inference for regression", Journal of the American Statistical Association 113:1094-1111, 2018.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...solver import GrowthParameters
from ..fit.coordinates import N_COMMON, Coordinates, Free
from .interval_factors import QUANTITIES, Calibrated, Source, kind_of
from .members import Member

TEMPERATURE = 0.1
"""Difference of the score by which a weight falls to 1 / e."""

LOGARITHMIC = ("lambda_mm", "rho_t")

LEAST_SPREAD: Mapping[Calibrated, Mapping[str, float]] = {
    "matches": {
        "origin_x_mm": 6.0,
        "origin_y_mm": 6.0,
        "origin_z_mm": 6.0,
        "lambda_mm": 0.4,
        "rho_t": 0.2,
    },
    "refinement": {
        "origin_x_mm": 0.2,
        "origin_y_mm": 0.2,
        "origin_z_mm": 0.2,
        "lambda_mm": 0.02,
        "rho_t": 0.02,
    },
}
"""b, in mm or in natural logarithms."""

LEAST_SHARE: Mapping[Calibrated, float] = {"matches": 0.1, "refinement": 0.01}
"""b of a further fitted parameter, as a share of its range."""

UNDETERMINED_SHARE = 0.8
"""Share of a parameter's range from which on an interval says no more than the range."""

DETERMINED_SHARE = 0.7
"""Standard deviation of a valley, relative to the one before the fit, up to which the outlines
determine a parameter."""

NORMAL_FACTOR = 1.645
"""Standard deviations that hold 90 % of a normal distribution to either side."""


@dataclass(frozen=True)
class Interval:
    """Where a quantity lies with a probability of 90 % under the stated model.

    Attributes
    ----------
    low, high : float
    """

    low: float
    high: float


@dataclass(frozen=True)
class Fitted:
    """What the outlines say about a fitted parameter of the model.

    Attributes
    ----------
    low, high : float
        Range in which it was fitted, which was known before.
    is_determined : bool
        Whether the outlines tell more than that.
    choices : tuple of float
        Values that were tried, if the parameter has choices.
    """

    low: float
    high: float
    is_determined: bool
    choices: tuple[float, ...] = ()


def weigh(scores: Sequence[float]) -> NDArray[np.float64]:
    """Weights of members, which sum to 1."""
    values = np.asarray(scores, np.float64)
    weights = np.exp((values - values.max()) / TEMPERATURE)
    return weights / weights.sum()


def quantities_of(parameters: GrowthParameters, coordinates: Coordinates) -> NDArray[np.float64]:
    """The values of `QUANTITIES`, and of all that else moves; logarithms where they are used."""
    more = (one.along(coordinates.value(parameters, one)) for one in coordinates.more)
    return np.array(
        [*parameters.origin_mm, math.log(parameters.lambda_mm), math.log(parameters.rho_t), *more]
    )


def spread(
    members: Sequence[Member], source: Source, coordinates: Coordinates
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre m and spread sqrt(v + b^2) of the quantities of `quantities_of`.

    The first member of a refinement is the refined growth.
    """
    weights = weigh([member.score for member in members])
    values = np.array([quantities_of(member.parameters, coordinates) for member in members])
    kind = kind_of(source)
    centre = weights @ values
    if kind == "refinement":
        centre[len(QUANTITIES) :] = values[0, len(QUANTITIES) :]
    variance = weights @ (values - centre) ** 2
    least = [LEAST_SPREAD[kind][name] for name in QUANTITIES]
    least += [LEAST_SHARE[kind] * one.width for one in coordinates.more]
    return centre, np.sqrt(variance + np.square(least))


def find_intervals(
    members: Sequence[Member],
    source: Source,
    factors: Mapping[str, float],
    coordinates: Coordinates,
) -> dict[str, Interval]:
    """The interval of each of `QUANTITIES` and of each further parameter, in its own unit.

    The interval of a fitted parameter lies inside its range, or reaches from there to a growth that
    lies beyond. If it covers most of the range, it is the whole range.

    Parameters
    ----------
    members : sequence of Member
    source : Source
    factors : mapping of str to float
        f of each quantity.
    coordinates : Coordinates
        Coordinates of the growths.
    """
    more = {one.name: one for one in coordinates.more}
    names = (*QUANTITIES, *more)
    found = {}
    for name, m, s in zip(names, *spread(members, source, coordinates), strict=True):
        reach = factors[name] * s
        low, high = float(m - reach), float(m + reach)
        if name in more:
            found[name] = _inside(more[name], float(m), reach)
        elif name in LOGARITHMIC:
            found[name] = Interval(math.exp(low), math.exp(high))
        else:
            found[name] = Interval(low, high)
    return found


def _inside(one: Free, centre: float, reach: float) -> Interval:
    """An interval along a parameter, cut to its range, or the whole range.

    A centre beyond the range, where a growth that began there has stayed, ends the interval.
    """
    low = max(centre - reach, min(one.along(one.low), centre))
    high = min(centre + reach, max(one.along(one.high), centre))
    if high - low > UNDETERMINED_SHARE * one.width:
        return Interval(one.low, one.high)
    return Interval(math.exp(low), math.exp(high)) if one.is_log else Interval(low, high)


def tell_fitted(
    members: Sequence[Member],
    source: Source,
    factors: Mapping[str, float] | None,
    coordinates: Coordinates,
    covariance: NDArray[np.float64] | None = None,
) -> dict[str, Fitted]:
    """What the outlines say about each fitted parameter that is not in `QUANTITIES`.

    The few members of a refinement say little about a single direction, so the covariance of its
    valley decides whether the outlines determine it. Scores distinguish choices.

    Parameters
    ----------
    members : sequence of Member
    source : Source
    factors : mapping of str to float, optional
        As in `find_intervals`; without them the spread counts as that of a normal distribution.
    coordinates : Coordinates
    covariance : (n, n) float64 array, optional
        Covariance of a refinement.
    """
    told = {}
    names = (*QUANTITIES, *(one.name for one in coordinates.more))
    used = dict.fromkeys(names, NORMAL_FACTOR) if factors is None else factors
    intervals = find_intervals(members, source, used, coordinates)
    shares = np.zeros(len(coordinates))
    if covariance is not None:
        shares = np.sqrt(np.diag(covariance)) / coordinates.reach
    for one, share in zip(coordinates.more, shares[N_COMMON:], strict=True):
        is_all = intervals[one.name] == Interval(one.low, one.high)
        is_told = bool(share <= DETERMINED_SHARE) and not is_all
        told[one.name] = Fitted(one.low, one.high, is_told)
    for one in coordinates.tried:
        best: dict[float, float] = {}
        for member in members:
            value = coordinates.value(member.parameters, one)
            best[value] = max(member.score, best.get(value, 0.0))
        first, *others = sorted((best.get(value, 0.0) for value in one.choices), reverse=True)
        is_told = not others or first - others[0] > TEMPERATURE
        told[one.name] = Fitted(one.low, one.high, is_told, one.choices)
    return told
