"""The directions in which a growth is improved.

Every growth moves in its origin, in ln lambda and in rho T; of dw, rho and T one is free, and rho
is kept. Where the model states no such symmetry, rho moves as well. Parameters that the model
declares itself move if the user names them, or if the database's study varies them; each of a
parameter's choices is tried.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...dbgen import Database
from ...dbgen.study.values import Choices
from ...errors import InputError
from ...solver import GrowthModel, GrowthParameters
from ...solver.declarations import (
    ORIGIN,
    PROLIFERATION,
    Parameter,
    own_parameters,
    symmetry_of,
)

LAMBDA_MM = (0.3, 30.0)
"""Limits of lambda in a fit: the range of the default space."""

N_COMMON = 5
"""Directions of every growth: x, y, z, ln lambda and rho T."""

COMMON_SCALES = (2.0, 2.0, 2.0, 0.2, 0.5)
"""Steps of like effect in x, y, z (mm), ln lambda and rho T."""

COMMON_REACH = (15.0, 15.0, 15.0, 0.7, 5.0)
"""Standard deviations, in x, y, z (mm), ln lambda and rho T, beyond which a valley is not taken to
reach however flat it is where the descent ended."""

SCALE_SHARE, DIFFERENCE_SHARE, LONGEST_SHARE = 0.1, 0.025, 0.25
"""Shares of a parameter's range: a step of like effect, the step of a difference, the longest
step."""


@dataclass(frozen=True)
class Free:
    """A parameter that is fitted, and its range before the fit.

    Attributes
    ----------
    parameter : Parameter
    low, high : float
        Range in which it lies, evenly in its scale.
    choices : tuple of float
        Values to try, if it has choices; it then moves in no direction.
    """

    parameter: Parameter
    low: float
    high: float
    choices: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """Name of the parameter."""
        return self.parameter.name

    @property
    def is_log(self) -> bool:
        """Whether it moves in its logarithm."""
        return self.parameter.scale == "log-uniform" and self.low > 0

    @property
    def width(self) -> float:
        """Width of its range, in the scale in which it moves."""
        return self.along(self.high) - self.along(self.low)

    def along(self, value: float) -> float:
        """A value, or its logarithm."""
        return math.log(value) if self.is_log else value

    def moved(self, value: float, step: float) -> float:
        """A value a step away, inside the range, or between there and where it was."""
        there = value * math.exp(step) if self.is_log else value + step
        return min(max(there, min(self.low, value)), max(self.high, value))


def free_parameters(database: Database, named: Iterable[str] = ()) -> tuple[Free, ...]:
    """The parameters that a refinement fits: those that a database's studies vary, and named ones.

    Parameters
    ----------
    database : Database
    named : iterable of str
        Parameters that the model declares itself.

    Raises
    ------
    InputError
        If the model has no parameter of a name, or its range is unknown.
    """
    named = list(dict.fromkeys(named))
    if not named and not any(part.space.own for part in database.parts):
        return ()
    declared = {one.name: one for one in own_parameters(database.model)}
    for name in named:
        if name not in declared:
            known = f"choose one of {', '.join(declared)}" if declared else "the model has none"
            raise InputError(f"fit: unknown parameter {name!r}: {known}")
    found = []
    for name, one in declared.items():
        asked = [part.space.own[name] for part in database.parts if name in part.space.own]
        kept = [  # the model's own value, where a part's study does not name the parameter
            float(getattr(part.plan.model, name))
            for part in database.parts
            if name not in part.space.own
        ]
        listed = sorted({*kept, *(v for a in asked if isinstance(a, Choices) for v in a.values)})
        ends = [*kept, *(end for a in asked for end in (a.low, a.high))]
        is_varied = bool(asked) and len(set(ends)) > 1
        if not (is_varied or name in named):
            continue
        if one.choices:
            tried = tuple(listed) if asked else one.choices
            found.append(Free(one, min(one.choices), max(one.choices), tried))
        elif is_varied:
            found.append(Free(one, min(ends), max(ends)))
        elif one.usual is not None:
            # The tumours' own values may lie beyond the usual ones.
            found.append(Free(one, min(one.usual[0], *ends), max(one.usual[1], *ends)))
        else:
            raise InputError(
                f"fit: the range of {name} is unknown: vary it in the study of the database"
            )
    return tuple(found)


class Coordinates:
    """The directions of a model's growths.

    Attributes
    ----------
    more : tuple of Free
        Directions beside the origin, ln lambda and rho T.
    tried : tuple of Free
        Parameters of which each choice is tried.
    scales : (n,) float64 array
        Steps of like effect in each: x, y, z (mm), ln lambda, rho T, then `more`.
    reach : (n,) float64 array
        Standard deviation before the fit; for a range, that of the uniform distribution over it.
    """

    def __init__(self, model: GrowthModel, free: Sequence[Free] = ()) -> None:
        self._model = model
        moving = [one for one in free if not one.choices]
        if not (symmetry_of(model) or any(one.name == PROLIFERATION.name for one in moving)):
            moving = [_rho(), *moving]
        self.more = tuple(moving)
        self.tried = tuple(one for one in free if one.choices)
        widths = [one.width for one in self.more]
        self.scales = np.array([*COMMON_SCALES, *(SCALE_SHARE * width for width in widths)])
        self.reach = np.array([*COMMON_REACH, *(width / math.sqrt(12) for width in widths)])

    def __len__(self) -> int:
        return len(self.scales)

    def direction(self, name: str) -> NDArray[np.float64]:
        """The direction in which a quantity changes and no other does, a unit vector (n,).

        Parameters
        ----------
        name : str
            "lambda_mm" (its logarithm), "rho_t", or the name of one of `more`.
        """
        names = [*(one.name for one in ORIGIN), "lambda_mm", "rho_t", *(m.name for m in self.more)]
        return np.eye(len(self))[names.index(name)]

    def value(self, growth: GrowthParameters, one: Free) -> float:
        """A growth's value of a parameter, or the model's."""
        values = growth.values()
        return values[one.name] if one.name in values else float(getattr(self._model, one.name))

    def changed(
        self,
        growth: GrowthParameters,
        origin_mm: NDArray[np.float64],
        lambda_mm: float,
        steps: Sequence[float] = (),
    ) -> GrowthParameters:
        """The growth from another origin with another front, its rho T kept.

        Its lambda stays within `LAMBDA_MM`, or between there and where it was.

        Parameters
        ----------
        growth : GrowthParameters
        origin_mm : (3,) array
        lambda_mm : float
        steps : sequence of float
            Step in each of `more`; none by default.
        """
        values = growth.values()
        values |= dict(zip((one.name for one in ORIGIN), origin_mm.tolist(), strict=True))
        for one, step in zip(self.more, steps or [0.0] * len(self.more), strict=True):
            values[one.name] = one.moved(self.value(growth, one), float(step))
        least, most = LAMBDA_MM
        kept = min(max(lambda_mm, min(least, growth.lambda_mm)), max(most, growth.lambda_mm))
        values["dw"] = kept**2 * values["rho"]
        values["days"] *= growth.rho / values["rho"]
        return GrowthParameters.of(values)

    def between(self, a: GrowthParameters, b: GrowthParameters) -> NDArray[np.float64]:
        """The way from one growth to another, (n,)."""
        more = (one.along(self.value(b, one)) - one.along(self.value(a, one)) for one in self.more)
        return np.array(
            [
                *np.subtract(b.origin_mm, a.origin_mm),
                math.log(b.lambda_mm / a.lambda_mm),
                b.rho_t - a.rho_t,
                *more,
            ]
        )

    def each_choice(self, starts: Iterable[GrowthParameters]) -> Iterator[GrowthParameters]:
        """Each start with each of the choices; one after the other, the first with all of its."""
        for start in starts:
            for values in itertools.product(*(one.choices for one in self.tried)):
                names = (one.name for one in self.tried)
                yield GrowthParameters.of(start.values() | dict(zip(names, values, strict=True)))

    @property
    def n_choices(self) -> int:
        """Combinations of choices that are tried from each start."""
        return math.prod(len(one.choices) for one in self.tried)

    def same_choices(self, a: GrowthParameters, b: GrowthParameters) -> bool:
        """Whether two growths have the same choices."""
        return all(self.value(a, one) == self.value(b, one) for one in self.tried)


def _rho() -> Free:
    """The proliferation rate, of a model that is not scaled with it."""
    low, high = PROLIFERATION.usual or (0.0, math.inf)
    return Free(PROLIFERATION, low, high)
