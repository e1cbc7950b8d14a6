"""The parameters of a growth, checked once, in the field's units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from .declarations import (
    COMMON,
    NOTHING_DECLARED,
    ORIGIN,
    RATES,
    TIME_SCALING,
    Combination,
    Declared,
)


@dataclass(frozen=True)
class GrowthParameters:
    """Where a tumour began, how its cells spread and divide, and for how long.

    The solution of the Fisher-Kolmogorov equation depends on (dw, rho, days) only through
    dw * days and rho * days: from one scan, `lambda_mm` and `rho_t` are identifiable, the raw three
    are not.

    Attributes
    ----------
    origin_mm : tuple of three float
        Origin, where the tumour began, in RAS world coordinates, mm.
    dw : float
        Diffusivity of tumour cells in white matter, mm^2/day, >= 0.
    rho : float
        Proliferation rate, 1/day, >= 0.
    days : float
        Time from seed to scan, T > 0.
    own : mapping of str to float
        Values of the growth model's own parameters, which replace the model's values.

    Raises
    ------
    InputError
        If a number is not finite or out of these ranges.

    Examples
    --------
    >>> growth = GrowthParameters((-90, 120, 90), dw=0.4, rho=0.1, days=100)
    >>> growth.lambda_mm, growth.rho_t
    (2.0, 10.0)
    """

    origin_mm: tuple[float, float, float]
    dw: float
    rho: float
    days: float
    own: Mapping[str, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        origin = tuple(float(c) for c in self.origin_mm)
        if len(origin) != 3 or not all(map(math.isfinite, origin)):
            raise InputError(f"origin_mm is three finite coordinates in mm, got {self.origin_mm}")
        object.__setattr__(self, "origin_mm", origin)
        for declared in RATES:
            value = declared.require(getattr(self, declared.name))
            object.__setattr__(self, declared.name, value)
        own = {name: float(value) for name, value in self.own.items()}
        for name, value in own.items():
            if not math.isfinite(value):
                raise InputError(f"{name} is a finite number, got {value}")
        object.__setattr__(self, "own", own)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> GrowthParameters:
        """The growth with given values by name; the inverse of `values`.

        Parameters
        ----------
        values : mapping of str to float
            Values by name.

        Returns
        -------
        GrowthParameters
        """
        own = {name: value for name, value in values.items() if name not in _COMMON_NAMES}
        x, y, z, dw, rho, days = (float(values[declared.name]) for declared in COMMON)
        return cls((x, y, z), dw, rho, days, own)

    def values(self) -> dict[str, float]:
        """The values of all parameters by name, those of `COMMON` first.

        Returns
        -------
        dict of str to float
        """
        common = (*self.origin_mm, self.dw, self.rho, self.days)
        return dict(zip(_COMMON_NAMES, common, strict=True)) | dict(self.own)

    def values_with(self, combinations: Iterable[Combination]) -> dict[str, float]:
        """The same, followed by those of combinations of them.

        Parameters
        ----------
        combinations : iterable of Combination

        Returns
        -------
        dict of str to float
        """
        values = self.values()
        return values | {one.name: float(one.of(values)) for one in combinations}

    @property
    def lambda_mm(self) -> float:
        """Width of the infiltrating front, sqrt(dw / rho), in mm (infinite where rho is 0)."""
        return math.sqrt(self.dw / self.rho) if self.rho > 0 else math.inf

    @property
    def rho_t(self) -> float:
        """Number of e-foldings of proliferation, rho * days."""
        return self.rho * self.days

    def row(self, declared: Declared = NOTHING_DECLARED) -> dict[str, Any]:
        """Plain values by name: the origin, combinations, and the parameters behind them.

        Parameters
        ----------
        declared : Declared
            What the growth model declares.

        Returns
        -------
        dict
        """
        values = self.values()
        combined = {
            one.name: float(one.of(values))
            for one in declared.all_combinations
            if one.names <= set(values)
        }
        plain = {name: value for name, value in values.items() if name not in _ORIGIN_NAMES}
        return {"origin_mm": self.origin_mm, **combined, **plain}

    def scaled(self, factor: float, symmetry: Mapping[str, int] = TIME_SCALING) -> GrowthParameters:
        """The growth `factor` times as fast, of the same final density: (c dw, c rho, days / c).

        For a power of two the numbers, and so the computed density, are exactly the same.

        Parameters
        ----------
        factor : float
        symmetry : mapping of str to int
            Symmetry of the model (see `declarations.symmetry_of`).

        Returns
        -------
        GrowthParameters
        """
        values = self.values()
        for name, power in symmetry.items():
            by = factor ** abs(power)
            values[name] = values[name] * by if power > 0 else values[name] / by
        return GrowthParameters.of(values)


_ORIGIN_NAMES = tuple(declared.name for declared in ORIGIN)
_COMMON_NAMES = tuple(declared.name for declared in COMMON)
