"""Values that a parameter may take, and how one of them is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import InputError
from ...solver.declarations import Parameter


@dataclass(frozen=True)
class Range:
    """An interval and how values are drawn from it.

    Attributes
    ----------
    low, high : float
        Ends, low <= high; equal for a fixed value.
    scale : {'uniform', 'log-uniform'}
    """

    low: float
    high: float
    scale: str = "uniform"

    def __post_init__(self) -> None:
        low, high = number(self.low), number(self.high)
        object.__setattr__(self, "low", low)  # whatever number it came as
        object.__setattr__(self, "high", high)
        if self.scale not in ("uniform", "log-uniform"):
            raise InputError(f"scale is 'uniform' or 'log-uniform', got {self.scale!r}")
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise InputError(f"a range has finite ends with low <= high, got {low:g} to {high:g}")
        if low <= 0 and self.scale == "log-uniform":
            raise InputError(f"a log-uniform range is positive, got one from {low:g}")

    @property
    def is_fixed(self) -> bool:
        """Whether it holds one value alone."""
        return self.low == self.high

    def draw(self, rng: np.random.Generator) -> float:
        """One value.

        Parameters
        ----------
        rng : numpy.random.Generator

        Returns
        -------
        float
        """
        if self.scale == "uniform":
            return float(rng.uniform(self.low, self.high))
        value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(value, self.low), self.high)  # exp(log(x)) may be off by a rounding

    def at(self, share: float) -> float:
        """The value at a share in [0, 1] of the range, in its scale.

        Parameters
        ----------
        share : float
            From 0 to 1.

        Returns
        -------
        float
        """
        if self.scale == "uniform":
            value = self.low + share * (self.high - self.low)
        else:
            value = self.low * (self.high / self.low) ** share
        return min(max(value, self.low), self.high)

    def holds(self, value: float) -> bool:
        """Whether a value lies in the range.

        Parameters
        ----------
        value : float

        Returns
        -------
        bool
        """
        return self.low <= value <= self.high

    def __str__(self) -> str:
        if self.is_fixed:
            return f"{self.low:g}"
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Choices:
    """Some values, any of which may be drawn, each as likely as the others.

    Attributes
    ----------
    values : tuple of float
        Each once, in the order in which `grid` sweeps them.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        values = tuple(map(number, self.values))
        if not values:
            raise InputError("a list of values has at least one, got an empty list")
        if not all(map(math.isfinite, values)):
            raise InputError(f"a list of values has finite ones, got {list(values)}")
        if len(set(values)) < len(values):
            raise InputError(f"a list of values has each of them once, got {list(values)}")
        object.__setattr__(self, "values", values)

    @property
    def low(self) -> float:
        """The least."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The greatest."""
        return max(self.values)

    def draw(self, rng: np.random.Generator) -> float:
        """One value.

        Parameters
        ----------
        rng : numpy.random.Generator

        Returns
        -------
        float
        """
        return self.values[rng.integers(len(self.values))]

    def at(self, share: float) -> float:
        """The value at a share in [0, 1) of the list.

        Parameters
        ----------
        share : float
            From 0 on, below 1.

        Returns
        -------
        float
        """
        return self.values[math.floor(share * len(self.values))]

    def holds(self, value: float) -> bool:
        """Whether it is one of the values.

        Parameters
        ----------
        value : float

        Returns
        -------
        bool
        """
        return value in self.values

    def __str__(self) -> str:
        return ", ".join(f"{value:g}" for value in self.values)


Values = Range | Choices


def default_values(declared: Parameter) -> Values | None:
    """What a study draws of a parameter of which it says nothing; None if it stays as it is."""
    if not declared.drawn:
        return None
    if declared.choices:
        return Choices(declared.choices)
    low, high = declared.usual or declared.bounds
    return Range(low, high, declared.scale)


def values_from(given: Any, declared: Parameter) -> Values:
    """Values from plain ones, as in TOML or JSON: a number, a list of numbers, or a table.

    Parameters
    ----------
    given : number, list of numbers, or dict of `low`, `high`, `scale`
        Where a table has no entry, the declaration holds.
    declared : Parameter

    Raises
    ------
    InputError
        If it is none of these, or a value is out of its range.
    """
    if isinstance(given, list | tuple):
        return Choices(tuple(given))
    if isinstance(given, dict):
        if declared.choices:
            raise InputError(f"it {declared.limits}: give one or a list, got {given!r}")
        if declared.usual is None and not {"low", "high"} <= set(given):
            raise InputError(f"it has no usual values: give low and high, got {given!r}")
        low, high = declared.usual or (1, 1)
        return range_from(given, Range(low, high, declared.scale))
    return Range(number(given), number(given))


def range_from(given: Any, default: Range) -> Range:
    """The range that a table gives; `default` fills in what the table leaves out.

    Raises
    ------
    InputError
        If it is no such table, or an end is out of its range.
    """
    names = ("low", "high", "scale")
    if not isinstance(given, dict) or not given or not set(given) <= set(names):
        raise InputError(
            f"a range is given as {{low = ..., high = ..., scale = ...}}, got {given!r}"
        )
    return Range(**({name: getattr(default, name) for name in names} | given))


def whole_number(value: Any, name: str) -> int:
    """A whole number as an int, be it NumPy's or a float such as 1e4.

    Raises
    ------
    InputError
        If it is something else, such as text, true or 1.5.
    """
    given = number(value)
    if not given.is_integer():
        raise InputError(f"{name} is a whole number, got {value!r}")
    return int(value)


def number(value: Any) -> float:
    """A number as a float.

    Raises
    ------
    InputError
        If it is something else, such as text or true.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise InputError(f"expected a number, got {value!r}")
    return float(value)
