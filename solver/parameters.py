"""The parameters of a growth, checked once, in the field's units."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import InputError


@dataclass(frozen=True)
class GrowthParameters:
    """Where a tumour began, how its cells spread and divide, and for how long.

    The solution of the Fisher-Kolmogorov equation depends on (dw, rho, days) only through
    dw * days and rho * days: from one scan, `lambda_mm` and `rho_t` are identifiable, the raw three
    are not.

    Attributes
    ----------
    origin_mm : tuple of three float
        Seed point in RAS world coordinates, mm.
    dw : float
        Diffusivity of tumour cells in white matter, mm^2/day, >= 0.
    rho : float
        Proliferation rate, 1/day, >= 0.
    days : float
        Time from seed to scan, T > 0.

    Raises
    ------
    InputError
        If a number is not finite or out of these ranges.
    """

    origin_mm: tuple[float, float, float]
    dw: float
    rho: float
    days: float

    def __post_init__(self) -> None:
        origin = tuple(float(c) for c in self.origin_mm)
        if len(origin) != 3 or not all(map(math.isfinite, origin)):
            raise InputError(f"origin_mm is three finite coordinates in mm, got {self.origin_mm}")
        object.__setattr__(self, "origin_mm", origin)
        for name, unit, positive in (
            ("dw", "mm^2/day", False),
            ("rho", "1/day", False),
            ("days", "days", True),
        ):
            value = float(getattr(self, name))
            if not math.isfinite(value) or value < 0 or (positive and value == 0):
                bound = "> 0" if positive else ">= 0"
                raise InputError(f"{name} is a finite number {bound} in {unit}, got {value}")
            object.__setattr__(self, name, value)

    @property
    def lambda_mm(self) -> float:
        """Width of the infiltrating front, sqrt(dw / rho), in mm (infinite where rho is 0)."""
        return math.sqrt(self.dw / self.rho) if self.rho > 0 else math.inf

    @property
    def rho_t(self) -> float:
        """Number of e-foldings of proliferation, rho * days."""
        return self.rho * self.days

    def scaled(self, factor: float) -> GrowthParameters:
        """The growth `factor` times as fast: (c dw, c rho, days / c), of the same final density.

        For a power of two the numbers, and so the computed density, are exactly the same.
        """
        return GrowthParameters(
            self.origin_mm, self.dw * factor, self.rho * factor, self.days / factor
        )
