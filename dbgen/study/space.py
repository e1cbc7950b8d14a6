"""Which tumours a database is to hold: values of the parameters, limits of the visible size."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import InputError
from ...solver.declarations import RATES, Parameter, unknown_parameter
from ...solver.formulas import Formula
from .samplers import find_sampler
from .table import RunTable
from .values import Choices, Range, Values, default_values, number, range_from, values_from

Point = tuple[float, float, float]
"""A position in RAS world, mm."""

DW, RHO, DAYS = (default_values(declared) or Range(1, 1) for declared in RATES)
"""What is drawn by default of the parameters of every model."""

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
        Tumours taken from each run of the solver, at different volumes; 1 for every sampler but
        `trajectory` and `identifiable`.
    sampler : str
        How tumours are drawn, one of `samplers.SAMPLERS`: `trajectory` follows each growth through
        the sizes and keeps several snapshots of it; `identifiable` does so from the least
        acceptable size of each growth on, drawn by lambda; `uniform` draws every tumour by itself;
        `sobol` does so evenly, by a scrambled Sobol sequence; `latin-hypercube` by a design in
        which each parameter has one value in each of `points` equal parts of its range; `grid`
        takes every combination of the listed values once and keeps its tumour, whatever size it
        has; `table` does so with the rows of a table.
    origin_mm : tuple of points, optional
        Where tumours may begin, RAS world, mm; by default anywhere in the tissue, uniformly.
    lambda_mm : Range, optional
        Front widths sqrt(dw / rho), mm, for `identifiable` alone; by default what dw and rho allow
        of 1 to 8 mm, log-uniform.
    own : mapping of str to Range or Choices
        What is drawn of the parameters that the growth model declares itself; the others have the
        model's value.
    where : tuple of str
        Conditions between parameters, such as `dw / rho < 50` (see `Formula`), of the names of
        parameters, `lambda_mm` and `rho_t`. A draw that breaks one is drawn again; a sweep that has
        such a point is refused.
    points : int, optional
        Points of the design of `latin-hypercube`.
    table : RunTable, optional
        The runs of the sampler `table`; they also decide the ranges of dw, rho, days and own.

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
    own: Mapping[str, Values] = field(default_factory=dict, hash=False)
    where: tuple[str, ...] = ()
    points: int | None = None
    table: RunTable | None = None

    def __post_init__(self) -> None:
        self._take_table()
        for name in ("dw", "rho", "days", "whole_ml", "lambda_mm"):
            values = getattr(self, name)
            if values is not None and values.low <= 0:
                raise InputError(
                    f"{name}: growth parameters are positive, and so are volumes, got {values}"
                )
        for formula in self.formulas:
            if not formula.is_condition:
                raise InputError(
                    f"where: a condition is expected, as in 'dw / rho < 50', got {formula.text!r}"
                )
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

    def _take_table(self) -> None:
        """See that there is a table where one is to be, and take the ranges that it has."""
        if (self.table is not None) != (self.sampler == "table"):
            raise InputError(
                "the sampler 'table' takes the rows of a table of runs, and no other does: give "
                f"both or none, got the sampler {self.sampler!r}"
            )
        if self.table is not None:
            for declared in RATES:
                object.__setattr__(self, declared.name, self.table.range_of(declared.name))
            own = {name: self.table.range_of(name) for name in self.table.own_names}
            object.__setattr__(self, "own", own)

    def _check_sampler(self) -> None:
        """Refuse values with which the sampler cannot do anything."""
        name, sampler = self.sampler, find_sampler(self.sampler)
        parameters = self.values()
        if (self.points is not None) != sampler.has_points:
            raise InputError(
                "points: the number of points of its design is given for the sampler "
                f"'latin-hypercube', and for it alone, got {self.points!r} for {name!r}"
            )
        points: object = self.points
        if points is not None and (
            not isinstance(points, int) or isinstance(points, bool) or not 1 <= points <= 10**6
        ):
            raise InputError(f"points is a whole number from 1 to a million, got {points!r}")
        if sampler.sweeps and self.table is None:
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
        for declared in RATES:
            values = parameters[declared.name]
            if isinstance(values, Choices):
                raise InputError(
                    f"{declared.name}: the sampler {name!r} takes a range, got {values}"
                )
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
        """Tumours in all of a sweep or a design; None for a sampler that draws without end."""
        if self.table is not None:
            return len(self.table)
        if not find_sampler(self.sampler).sweeps:
            return self.points
        return math.prod(self.sweep_shape)

    @property
    def sweep_shape(self) -> tuple[int, ...]:
        """Numbers of origins, and of values of dw, rho, days and the model's own parameters."""
        return len(self.origin_mm or ()), *(
            len(values.values) if isinstance(values, Choices) else 1
            for values in self.values().values()
        )

    @property
    def formulas(self) -> tuple[Formula, ...]:
        """The conditions of `where`."""
        return tuple(map(Formula, self.where))

    def values(self) -> dict[str, Values]:
        """What each parameter but the origin is drawn from, by name.

        Returns
        -------
        dict
        """
        return {p.name: getattr(self, p.name) for p in RATES} | dict(self.own)

    def to_dict(self) -> dict[str, Any]:
        """The space in plain values, from which `from_dict` makes it again.

        Optional values appear only if they were given; own parameters stand among the others.

        Returns
        -------
        dict
        """
        plain: dict[str, Any] = {}
        for at in dataclasses.fields(self):
            value = getattr(self, at.name)
            if at.name == "own":
                plain |= {name: _plain(values) for name, values in value.items()}
            elif value is not None and value != ():
                plain[at.name] = _plain(value)
        return plain

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], declared: Sequence[Parameter] = ()
    ) -> ParameterSpace:
        """A space from plain values, as in TOML or JSON; what is not named keeps its default.

        A parameter is a table of `low`, `high` and `scale`, one value, or a list of values. The
        default of `snapshots_per_run` is 1 for a sampler that draws every tumour by itself.

        Parameters
        ----------
        values : mapping
        declared : sequence of Parameter
            What the growth model declares itself.

        Returns
        -------
        ParameterSpace

        Raises
        ------
        InputError
            If a key is unknown or a value out of its range; the message names it.
        """
        fields = [at.name for at in dataclasses.fields(cls) if at.name != "own"]
        own = {p.name: p for p in declared}
        parameters = {p.name: p for p in RATES} | own
        arguments: dict[str, Any] = {"own": {}}
        for name, value in values.items():
            if name not in fields and name not in own:
                raise unknown_parameter(name, [*fields, *own])
            try:
                if name in own:
                    arguments["own"][name] = values_from(value, own[name])
                elif name in parameters:
                    arguments[name] = values_from(value, parameters[name])
                elif name == "table":
                    arguments[name] = RunTable(value)
                elif name == "where":
                    arguments[name] = (value,) if isinstance(value, str) else tuple(value)
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


def check_common(values: Mapping[str, Any]) -> None:
    """Refuse what no growth model accepts, before its class is loaded, which takes seconds.

    Parameters
    ----------
    values : mapping
        As `ParameterSpace.from_dict` takes them; the sampler and the rates are checked.

    Raises
    ------
    InputError
        As `ParameterSpace.from_dict`.
    """
    if "sampler" in values:
        find_sampler(values["sampler"])
    for declared in RATES:
        if declared.name in values:
            try:
                values_from(values[declared.name], declared)
            except (TypeError, InputError) as error:
                raise InputError(f"{declared.name}: {error}") from None


def _plain(value: Any) -> Any:
    """A value of the space as TOML and JSON know it."""
    if isinstance(value, Choices):
        return list(value.values)
    if isinstance(value, Range):
        return dataclasses.asdict(value)
    if isinstance(value, RunTable):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value


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
