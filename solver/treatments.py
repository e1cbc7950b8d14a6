"""What a treatment does to a tumour, as events of its growth.

    resection       u -> 0 in the cavity, which is tissue no more
    radiotherapy    u -> u exp(-alpha d - beta d^2) at each fraction, of dose d
    drug            du/dt = ... - k(t) u,  k(t) = k0 2^(-(t - t0) / h) from day t0 on

A resection and a fraction of radiotherapy happen at one moment; a step of the growth ends there. A
drug kills while the tumour grows: half of a step's share before the step and half after it, which
keeps the splitting of second order. A state on the day of an event is the one after it.

References
----------
R. Rockne et al., "Predicting the efficacy of radiotherapy in individual glioblastoma patients in
vivo: a mathematical modeling approach", Physics in Medicine and Biology 55:3271-3285, 2010: the
linear-quadratic law of glioma cells, alpha / beta = 10 Gy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

ALPHA_BETA_GY = 10.0
"""alpha / beta of glioma in Gy (Rockne et al. 2010)."""

SPENT = 1e-3
"""Integral of a drug's rate that is neglected when a step's length is chosen."""

FRACTIONS_A_WEEK = 5
"""Fractions a week, one each day, as in clinics."""


@dataclass(frozen=True, eq=False)
class Resection:
    """A resection: tissue that is taken out.

    Attributes
    ----------
    day : float
        Days since the seed, > 0.
    cavity : bool array of the tissue's grid

    Raises
    ------
    InputError
        If the day is not after the seed, or the cavity is no boolean array.
    """

    day: float
    cavity: NDArray[np.bool_]

    def __post_init__(self) -> None:
        _require_day(self.day)
        kind = np.asarray(self.cavity).dtype
        if kind != np.bool_:
            raise InputError(f"a cavity is a boolean array, got {kind}: give `mask > 0`")

    @property
    def days(self) -> tuple[float, ...]:
        """Days on which a step of the growth ends."""
        return (self.day,)

    @property
    def has_map(self) -> bool:
        """Whether it acts by voxel: always."""
        return True


@dataclass(frozen=True, eq=False)
class Radiotherapy:
    """Fractions of radiotherapy.

    Attributes
    ----------
    day : float
        Day of the first fraction since the seed, > 0.
    dose_gy : float, or float array of the tissue's grid
        Dose of each fraction, the same everywhere or by voxel.
    alpha : float
        Radiosensitivity, 1/Gy, >= 0.
    alpha_beta_gy : float
        alpha / beta in Gy, > 0.
    fractions : int
        Number of fractions, at least 1: five a week, one each day.

    Raises
    ------
    InputError
        If a value is out of its range, or a dose is negative or not finite anywhere.
    """

    day: float
    dose_gy: float | NDArray[np.floating]
    alpha: float
    alpha_beta_gy: float = ALPHA_BETA_GY
    fractions: int = 1

    def __post_init__(self) -> None:
        _require_day(self.day)
        if not (self.fractions >= 1 and self.fractions % 1 == 0):
            raise InputError(
                f"radiotherapy has a whole number of fractions, 1 or more, got {self.fractions}"
            )
        object.__setattr__(self, "fractions", int(self.fractions))
        if not (math.isfinite(self.alpha) and self.alpha >= 0 and self.alpha_beta_gy > 0):
            raise InputError(
                "radiotherapy has alpha >= 0 in 1/Gy and alpha/beta > 0 in Gy, got "
                f"alpha={self.alpha}, alpha/beta={self.alpha_beta_gy}"
            )
        dose = np.asarray(self.dose_gy)
        if not (np.isfinite(dose).all() and (dose >= 0).all()):
            raise InputError("a dose is 0 Gy or more everywhere, got other values")

    @property
    def days(self) -> tuple[float, ...]:
        """Days of the fractions."""
        weeks = (divmod(i, FRACTIONS_A_WEEK) for i in range(self.fractions))
        return tuple(self.day + 7 * week + weekday for week, weekday in weeks)

    @property
    def has_map(self) -> bool:
        """Whether it acts by voxel: where its doses are a map."""
        return np.ndim(self.dose_gy) > 0

    @cached_property
    def survival(self) -> float | NDArray[np.floating]:
        """Share of the cells that survive a fraction, exp(-alpha d - beta d^2)."""
        dose = np.asarray(self.dose_gy, np.float64)
        share = np.exp(-self.alpha * dose * (1 + dose / self.alpha_beta_gy))
        return share.astype(np.float32) if share.ndim else float(share)


@dataclass(frozen=True)
class Drug:
    """A drug that kills at a rate that falls exponentially.

    Attributes
    ----------
    day : float
        Day on which it is given, since the seed, > 0.
    rate : float
        First kill rate, 1/day, >= 0.
    half_life_days : float
        Days in which the rate falls by half, > 0; infinite for a constant rate.
    """

    day: float
    rate: float
    half_life_days: float

    def __post_init__(self) -> None:
        _require_day(self.day)
        if not (math.isfinite(self.rate) and self.rate >= 0 and self.half_life_days > 0):
            raise InputError(
                "a drug has a rate >= 0 in 1/day and a half-life > 0 in days, got "
                f"{self.rate} and {self.half_life_days}"
            )

    @property
    def days(self) -> tuple[float, ...]:
        """Days on which a step of the growth ends."""
        return (self.day,)

    @property
    def has_map(self) -> bool:
        """Whether it acts by voxel: never."""
        return False

    def step_days(self, day: float, growth: float) -> float:
        """Longest step from a day on in which it kills little, at a rate that changes little.

        Parameters
        ----------
        day : float
            Days since the seed.
        growth : float
            Largest share of the cells that a step may kill, and of a half-life that it may last;
            `Accuracy.growth`, which bounds the growth of a step likewise.

        Returns
        -------
        float
            Days; infinite before the drug is given, and once it will kill no more than `SPENT`.
        """
        spent = self.killed(day, math.inf) <= SPENT if math.isfinite(self.half_life_days) else False
        if day < self.day or self.rate == 0 or spent:
            return math.inf
        rate = self.rate * 0.5 ** ((day - self.day) / self.half_life_days)
        return growth * min(1 / rate, self.half_life_days)

    def killed(self, start: float, end: float) -> float:
        """Integral of its rate from one day to another.

        Parameters
        ----------
        start, end : float
            Days since the seed.

        Returns
        -------
        float
            At least 0, without a unit.
        """
        a, b = (max(day - self.day, 0.0) for day in (start, end))
        if math.isinf(self.half_life_days):
            return self.rate * (b - a)
        fall = math.log(2) / self.half_life_days
        return self.rate * (math.exp(-fall * a) - math.exp(-fall * b)) / fall


Treatment = Resection | Radiotherapy | Drug


def _require_day(day: float) -> None:
    if not (math.isfinite(day) and day > 0):
        raise InputError(f"a treatment is on a day after the seed, above 0; got {day}")
