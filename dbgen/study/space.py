"""Which tumours a database is to hold: values of the parameters, limits of the visible size."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from .samplers import find_sampler
from .values import Choices, Range, Values, number, range_from, values_from

Point = tuple[float, float, float]
"""A position in RAS world, mm."""

DW, RHO, DAYS = Range(0.02, 1.5), Range(0.002, 0.2), Range(50, 1500)
"""Parameters drawn by default: the ranges of Learn-Morph-Infer (Ezhov et al. 2023), in mm."""

WHOLE_ML = Range(5, 300)
"""Sizes kept by default, like those of BraTS cases."""

LAMBDA_MM = Range(1.0, 8.0, "log-uniform")
"""Fronts that `identifiable` draws by default. Wider ones reach 300 ml without a core of 0.5 ml;
narrower ones are far below what the grid of 2 mm resolves."""


@dataclass(frozen=True)
class ParameterSpace:
    """What is drawn for a run, and which tumours are kept.

    Attributes
    ----------
    dw : Range or Choices
        Diffusivity in white matter, mm^2/day.
    rho : Range or Choices
        Proliferation rate, 1/day.
    days : Range or Choices
        Time from seed to scan, days. A range for `trajectory` and `identifiable`, which stop at a
        volume, whatever time that takes.
    whole_ml : Range
        Volume of the whole outline. Snapshots of a trajectory are spread over it uniformly in the
        cube root: a front of constant speed spends its time so.
    core_min_ml : float
        Least volume of the core outline.
    snapshots_per_run : int
        Tumours taken from each run of the solver, at different volumes; 1 for `uniform`, `sobol`
        and `grid`.
    sampler : {'trajectory', 'identifiable', 'uniform', 'sobol', 'grid'}
        How tumours are drawn: `trajectory` follows each growth through the sizes and keeps several
        snapshots of it; `identifiable` does so from the least acceptable size of each growth on,
        drawn by lambda; `uniform` draws every tumour by itself; `sobol` does so evenly, by a
        scrambled Sobol sequence; `grid` takes every combination of the listed values once and
        keeps its tumour, whatever size it has.
    origin_mm : tuple of points, optional
        Where tumours may begin, RAS world, mm; by default anywhere in the tissue, uniformly.
    lambda_mm : Range, optional
        Front widths sqrt(dw / rho), mm, for `identifiable` alone; by default what dw and rho allow
        of 1 to 8 mm, log-uniform.

    Raises
    ------
    InputError
        If a value is out of range, or does not go with the sampler; the message names it.
    """

    dw: Values = DW
    rho: Values = RHO
    days: Values = DAYS
    whole_ml: Range = WHOLE_ML
    core_min_ml: float = 0.5
    snapshots_per_run: int = 4
    sampler: str = "trajectory"
    origin_mm: tuple[Point, ...] | None = None
    lambda_mm: Range | None = None

    def __post_init__(self) -> None:
        if self.whole_ml.is_fixed:
            raise InputError(
                f"whole_ml: sizes lie in a range with low < high, got {self.whole_ml} alone"
            )
        core: object = self.core_min_ml
        if not isinstance(core, int | float) or not 0 <= core < self.whole_ml.high:
            raise InputError(
                "core_min_ml is a volume >= 0 and below the largest whole_ml, "
                f"{self.whole_ml.high:g}, got {core!r}"
            )
        m: object = self.snapshots_per_run
        if not isinstance(m, int) or isinstance(m, bool) or not 1 <= m <= 100:
            raise InputError(f"snapshots_per_run is a number from 1 to 100, got {m!r}")
        if find_sampler(self.sampler).independent and m != 1:
            raise InputError(
                f"the sampler {self.sampler!r} draws every tumour by itself: snapshots_per_run "
                f"is 1, got {m}"
            )
        if self.origin_mm is not None:
            object.__setattr__(self, "origin_mm", _points(self.origin_mm))
        if self.sampler == "identifiable" and self.lambda_mm is None:
            low, high = self._fronts_mm()
            if low <= LAMBDA_MM.high and high >= LAMBDA_MM.low:
                low, high = max(low, LAMBDA_MM.low), min(high, LAMBDA_MM.high)
            object.__setattr__(self, "lambda_mm", Range(low, high, LAMBDA_MM.scale))
        self._check_sampler()

    def _check_sampler(self) -> None:
        """Refuse values with which the sampler cannot do anything."""
        name, sampler = self.sampler, find_sampler(self.sampler)
        parameters = {"dw": self.dw, "rho": self.rho, "days": self.days}
        if sampler.sweeps:
            for key, values in parameters.items():
                if isinstance(values, Range) and not values.is_fixed:
                    raise InputError(
                        f"{key}: the sampler {name!r} takes one value or a list of values, got "
                        f"the range {values}"
                    )
            if self.origin_mm is None:
                raise InputError(
                    f"origin_mm: the sampler {name!r} takes a point or a list of points, got none"
                )
        if not sampler.independent and (isinstance(self.days, Choices) or self.days.is_fixed):
            raise InputError(
                f"days: the sampler {name!r} stops at volumes, whatever time that takes, and takes "
                f"a range, got {self.days}"
            )
        if self.lambda_mm is None:
            return
        if name != "identifiable":
            raise InputError(
                f"lambda_mm is drawn by the sampler 'identifiable' alone, not by {name!r}"
            )
        for key, values in parameters.items():
            if isinstance(values, Choices):
                raise InputError(f"{key}: the sampler {name!r} takes a range, got {values}")
        least, greatest = self._fronts_mm()
        if not least <= self.lambda_mm.low <= self.lambda_mm.high <= greatest:
            raise InputError(
                f"lambda_mm: dw of {self.dw} and rho of {self.rho} give lambda = sqrt(dw / rho) "
                f"from {least:.3g} to {greatest:.3g} mm, got {self.lambda_mm}"
            )

    def _fronts_mm(self) -> tuple[float, float]:
        """Least and greatest lambda of the ranges of dw and rho."""
        return math.sqrt(self.dw.low / self.rho.high), math.sqrt(self.dw.high / self.rho.low)

    @property
    def n_points(self) -> int | None:
        """Tumours in all of a sweep; None for a sampler that draws without end."""
        if not find_sampler(self.sampler).sweeps:
            return None
        return math.prod(self.sweep_shape)

    @property
    def sweep_shape(self) -> tuple[int, int, int, int]:
        """Numbers of origins, and of values of dw, rho and days."""
        n_dw, n_rho, n_days = (
            len(values.values) if isinstance(values, Choices) else 1
            for values in (self.dw, self.rho, self.days)
        )
        return len(self.origin_mm or ()), n_dw, n_rho, n_days

    def to_dict(self) -> dict[str, Any]:
        """The space in plain values, from which `from_dict` makes it again.

        Origins and lambda appear where they were given.
        """
        plain: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Choices):
                plain[field.name] = list(value.values)
            elif isinstance(value, Range):
                plain[field.name] = dataclasses.asdict(value)
            elif field.name == "origin_mm" and value is not None:
                plain[field.name] = [list(point) for point in value]
            elif value is not None:
                plain[field.name] = value
        return plain

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ParameterSpace:
        """A space from plain values, as in TOML or JSON; what is not named keeps its default.

        A parameter is a table of `low`, `high` and `scale`, one value, or a list of values. The
        default of `snapshots_per_run` is 1 for a sampler that draws every tumour by itself.

        Raises
        ------
        InputError
            If a key is unknown or a value out of its range; the message names it.
        """
        fields = [field.name for field in dataclasses.fields(cls)]
        defaults = {"dw": DW, "rho": RHO, "days": DAYS}
        arguments: dict[str, Any] = {}
        for name, value in values.items():
            if name not in fields:
                raise InputError(
                    f"unknown parameter {name!r} in the space: there are {', '.join(fields)}"
                )
            try:
                if name in defaults:
                    arguments[name] = values_from(value, defaults[name])
                elif name == "whole_ml":
                    arguments[name] = range_from(value, WHOLE_ML)
                elif name == "lambda_mm":
                    arguments[name] = range_from(value, LAMBDA_MM)
                else:
                    arguments[name] = value
            except (TypeError, InputError) as error:
                raise InputError(f"{name}: {error}") from None
        if "sampler" in arguments and find_sampler(arguments["sampler"]).independent:
            arguments.setdefault("snapshots_per_run", 1)
        return cls(**arguments)


def _points(given: Any) -> tuple[Point, ...]:
    """One point, or a list of them, in mm."""
    if not isinstance(given, list | tuple) or not given:
        raise InputError(f"origin_mm is a point [x, y, z] in mm or a list of such, got {given!r}")
    points = given if isinstance(given[0], list | tuple) else [given]
    checked = []
    for point in points:
        if not isinstance(point, list | tuple) or len(point) != 3:
            raise InputError(f"origin_mm holds points [x, y, z] in mm, got {point!r}")
        try:
            x, y, z = map(number, point)
        except InputError as error:
            raise InputError(f"origin_mm: {error}") from None
        if not all(map(math.isfinite, (x, y, z))):
            raise InputError(f"origin_mm has finite coordinates, got {point!r}")
        checked.append((x, y, z))
    if len(set(checked)) < len(checked):
        raise InputError(f"origin_mm has each point once, got {given!r}")
    return tuple(checked)
