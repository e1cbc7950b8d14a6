"""Rates of a growth in real days from two scans, with intervals.

A quantity q > 0 has the interval q exp(+- f sqrt(s^2 + b^2)). s is the deviation of ln q
that follows from the covariance of the fit, f the factor with which 90 % of the intervals held the
truth on simulated pairs of scans (split conformal calibration; docs/results.md judges them on other
pairs). Treated pairs have factors of their own: half had a course of radiotherapy between their
scans, half a resection.

References
----------
J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani and L. Wasserman, "Distribution-free predictive
inference for regression", Journal of the American Statistical Association 113:1094-1111, 2018.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...solver.declarations import PROLIFERATION
from .joint_fit import JointFit
from .sensitivity_of_volumes import Volumes

DAYS_IN_A_YEAR = 365.25

QUANTITIES = (
    "rho",
    "dw",
    "lambda_mm",
    "velocity_mm_per_year",
    "age_days",
    "doubling_days",
    "volume_ml",
)
"""Quantities with an interval; the last are the forecast volumes."""

FACTORS: Mapping[str, float] = {
    "rho": 0.57,
    "dw": 0.89,
    "lambda_mm": 1.24,
    "velocity_mm_per_year": 0.28,
    "age_days": 0.31,
    "doubling_days": 0.19,
    "volume_ml": 0.24,
}
"""f of each quantity, by `tests/benchmark/two_scans.py --calibrate` on 277 pairs of two seeds."""

FACTORS_TREATED: Mapping[str, float] = {
    "rho": 0.79,
    "dw": 1.84,
    "lambda_mm": 3.67,
    "velocity_mm_per_year": 1.00,
    "age_days": 0.59,
    "volume_ml": 1.49,
}
"""f of each quantity under treatment, by the same command on 40 treated pairs (`--treated`)."""

LEAST_DEVIATION = 0.01
"""b, in natural logarithms."""

UNITS: Mapping[str, str] = {
    "rho": "1/day",
    "dw": "mm^2/day",
    "lambda_mm": "mm",
    "velocity_mm_per_year": "mm/year",
    "age_days": "days",
    "doubling_days": "days",
}

WIDEST = 4.0
"""Upper over lower end of an interval beyond which the scans do not determine a quantity: it is
known to less than a factor of two."""

LEVEL = 0.9
"""Share of the intervals that hold the truth."""

RESTS_ON = (
    "how fast the outlines of the fitted growth leave those of the scans, and are calibrated on "
    "277 simulated pairs of scans"
)
RESTS_ON_TREATED = (
    "how fast the outlines of the fitted growth leave those of the scans, and are calibrated on "
    "40 simulated pairs of scans with radiotherapy or a resection between them"
)
"""The basis of the intervals."""


@dataclass(frozen=True)
class Rate:
    """A quantity of a growth in real days.

    Attributes
    ----------
    value, low, high : float
        Value for the fitted growth, and the ends of the interval.
    unit : str
    deviation : float
        s, the standard deviation of its logarithm.
    """

    value: float
    low: float
    high: float
    unit: str
    deviation: float

    @property
    def is_determined(self) -> bool:
        """Whether the scans tell it to a factor of two or better."""
        return self.high <= WIDEST * self.low

    def scaled_to(self, value: float) -> Rate:
        """The same quantity of another value: the interval keeps its factors.

        A quantity of 0 has none: both ends are then the value.

        Parameters
        ----------
        value : float
            In the same unit.

        Returns
        -------
        Rate
        """
        low, high = value, value
        if self.value > 0:
            low, high = (value / self.value * end for end in (self.low, self.high))
        return dataclasses.replace(self, value=value, low=low, high=high)


def rates_of(fit: JointFit, volumes: Volumes) -> dict[str, Rate]:
    """Rates of a growth from the scans.

    Parameters
    ----------
    fit : JointFit
    volumes : Volumes
        Volumes on the days of all scans.

    Returns
    -------
    dict of str to Rate
        Proliferation rate, diffusivity, front's width, velocity 2 sqrt(Dw rho) of a front in white
        matter, age of the tumour at the first scan, and the days in which the whole volume doubled
        between the first scan and the last; the last is left out where it did not grow or was
        treated.
    """
    growth = fit.growth
    by_lambda, by_rho_t, by_rho = map(
        fit.joint.coordinates.direction, ("lambda_mm", "rho_t", PROLIFERATION.name)
    )
    found: dict[str, tuple[float, NDArray[np.float64]]] = {
        "rho": (growth.rho, by_rho),
        "dw": (growth.dw, 2 * by_lambda + by_rho),
        "lambda_mm": (growth.lambda_mm, by_lambda),
        "velocity_mm_per_year": (
            2 * math.sqrt(growth.dw * growth.rho) * DAYS_IN_A_YEAR,
            by_lambda + by_rho,
        ),
        "age_days": (growth.days, by_rho_t / growth.rho_t - by_rho),
    }
    last = fit.joint.after_days[-1]
    ends = [volumes.days.index(day) for day in (0.0, last)]
    first_ml, last_ml = volumes.ml[ends, 1]
    if last_ml > first_ml and not fit.joint.is_treated:
        e_foldings = math.log(last_ml / first_ml)
        by_volume = volumes.slopes[ends[1], 1] - volumes.slopes[ends[0], 1]
        found["doubling_days"] = last * math.log(2) / e_foldings, -by_volume / e_foldings
    return {name: rate_of(fit, name, value, slope) for name, (value, slope) in found.items()}


def rate_of(fit: JointFit, name: str, value: float, slope: NDArray[np.float64]) -> Rate:
    """A quantity with its interval.

    Parameters
    ----------
    fit : JointFit
    name : str
        One of `QUANTITIES`.
    value : float
    slope : (n,) float64 array
        Change of its logarithm along the coordinates of the fit.
    """
    deviation = math.sqrt(max(float(slope @ fit.covariance @ slope), 0.0))
    reach = math.exp(factors_of(fit)[name] * math.hypot(deviation, LEAST_DEVIATION))
    return Rate(value, value / reach, value * reach, UNITS.get(name, "ml"), deviation)


def factors_of(fit: JointFit) -> Mapping[str, float]:
    """Factors of the intervals of a fit, by quantity: a treatment after all scans fits nothing."""
    return FACTORS_TREATED if fit.joint.is_treated else FACTORS


def basis_of(fit: JointFit) -> str:
    """What the intervals of a fit rest on, for a person."""
    return RESTS_ON_TREATED if fit.joint.is_treated else RESTS_ON
