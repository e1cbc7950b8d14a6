"""What a growth model says about its parameters: the one place where each is declared.

All code that draws, stores, fits or shows parameters uses these declarations. `COMMON` holds the
parameters of every model, which the methods of `GrowthModel` take. A model declares its own as
fields of its dataclass, made by `parameter`. A parameter has a value for each run, and a study may
draw it. A field without a declaration is a setting, which is the same for all runs.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import InputError
from .formulas import Formula

if TYPE_CHECKING:
    from .models.base import GrowthModel

Model = TypeVar("Model")

NOT_NEGATIVE, POSITIVE = (0.0, math.inf), (math.ulp(0.0), math.inf)
"""Bounds of a number >= 0, and of one > 0."""


@dataclass(frozen=True)
class Parameter:
    """A number that a growth depends on.

    Attributes
    ----------
    name : str
        Name in Python, in studies, tables and databases.
    unit : str
        Unit, such as `mm^2/day`, `1/day` or `days`; empty for a ratio.
    meaning : str
        Meaning in one phrase.
    symbol : str
        Symbol for pages and pictures.
    bounds : tuple of two float
        Least and greatest value that the model takes.
    usual : tuple of two float, optional
        Least and greatest value that is drawn or fitted by default.
    drawn : bool
        Whether a study draws it without naming it; otherwise it keeps its value.
    scale : {'uniform', 'log-uniform', 'choices'}
        How it is drawn; all `choices` are equally likely.
    choices : tuple of float
        The only values that it takes, with the scale 'choices'.
    source : str
        Reference for its values.
    default : float, optional
        Value by default; None for those of `COMMON`.
    """

    name: str
    unit: str = ""
    meaning: str = ""
    symbol: str = ""
    bounds: tuple[float, float] = (-math.inf, math.inf)
    usual: tuple[float, float] | None = None
    drawn: bool = False
    scale: str = "uniform"
    choices: tuple[float, ...] = ()
    source: str = ""
    default: float | None = None

    def __post_init__(self) -> None:
        if self.scale not in ("uniform", "log-uniform", "choices"):
            raise InputError(
                f"{self.name}: scale is 'uniform', 'log-uniform' or 'choices', got {self.scale!r}"
            )
        if (self.scale == "choices") != bool(self.choices):
            raise InputError(f"{self.name}: choices are listed for the scale 'choices' alone")
        if self.drawn and not (self.choices or self.usual):
            raise InputError(f"{self.name}: what a study draws needs choices or usual values")

    @property
    def limits(self) -> str:
        """The accepted values, in words."""
        low, high = self.bounds
        if self.choices:
            text = "is one of " + ", ".join(f"{value:g}" for value in self.choices)
        elif math.isfinite(low) and math.isfinite(high):
            text = f"lies in [{low:g}, {high:g}]"
        else:
            text = "is a finite number"
            if low == POSITIVE[0]:
                text += " > 0"
            elif math.isfinite(low):
                text += f" >= {low:g}"
            elif math.isfinite(high):
                text += f" <= {high:g}"
        return f"{text} in {self.unit}" if self.unit else text

    def require(self, value: Any) -> float:
        """Check a value and return it as a float.

        Parameters
        ----------
        value : object

        Returns
        -------
        float

        Raises
        ------
        InputError
            If the parameter cannot take this value.
        """
        if not isinstance(value, bool | str):
            try:
                number = float(value)
            except (TypeError, ValueError):
                number = math.nan
            if self.choices:
                is_fit = number in self.choices
            else:
                is_fit = self.bounds[0] <= number <= self.bounds[1] and math.isfinite(number)
            if is_fit:
                return number
        what = f" ({self.meaning})" if self.meaning else ""
        raise InputError(f"{self.name} {self.limits}, got {value!r}{what}")


@dataclass(frozen=True)
class Combination:
    """A quantity that follows from parameters; one scan may determine it, but not each of them.

    Attributes
    ----------
    name, unit, meaning, symbol : str
        See `Parameter`.
    formula : str
        Formula in the names of parameters; see `Formula`.
    """

    name: str
    unit: str
    meaning: str
    symbol: str
    formula: str

    @property
    def names(self) -> frozenset[str]:
        """The parameters that it follows from."""
        return Formula(self.formula).names

    def of(self, values: Mapping[str, Any]) -> Any:
        """Its value, from the values of the parameters.

        Parameters
        ----------
        values : mapping
            Numbers or arrays by name.

        Returns
        -------
        float or array
        """
        return Formula(self.formula)(values)


RANGES = "I. Ezhov et al., Learn-Morph-Infer, Medical Image Analysis 83:102672, 2023"

ORIGIN = tuple(
    Parameter(f"origin_{axis}_mm", "mm", f"origin, RAS world {axis}", f"{axis}0") for axis in "xyz"
)
PROLIFERATION = Parameter(
    "rho", "1/day", "proliferation rate", "ρ", NOT_NEGATIVE, (0.002, 0.2), True, source=RANGES
)
RATES = (
    Parameter(
        "dw", "mm^2/day", "diffusivity of tumour cells in white matter", "Dw", NOT_NEGATIVE,
        (0.02, 1.5), True, source=RANGES,
    ),
    PROLIFERATION,
    Parameter(
        "days", "days", "time from seed to scan, T", "T", POSITIVE, (50, 1500), True, source=RANGES
    ),
)  # fmt: skip
COMMON = (*ORIGIN, *RATES)
"""Parameters of every model; a study draws the origin in the tissue."""

COMBINATIONS = (
    Combination("lambda_mm", "mm", "width of the infiltrating front", "λ", "sqrt(dw / rho)"),
    Combination("rho_t", "", "e-foldings of proliferation", "ρT", "rho * days"),
)
"""Combinations of every model."""

TIME_SCALING: Mapping[str, int] = {"dw": 1, "rho": 1, "days": -1}
"""`symmetry` of a model that depends on (dw, rho, days) through dw days and rho days alone: all its
other rates are ratios to rho, all its other diffusivities ratios to dw."""


def parameter(
    default: float,
    meaning: str,
    *,
    unit: str = "",
    symbol: str = "",
    bounds: tuple[float, float] = (-math.inf, math.inf),
    usual: tuple[float, float] | None = None,
    drawn: bool = False,
    scale: str = "uniform",
    choices: Sequence[float] = (),
    source: str = "",
) -> Any:
    """Declare a field of a model's dataclass as a parameter; see `Parameter`.

    Parameters
    ----------
    default : float
        Value by default.
    meaning, unit, symbol, bounds, usual, drawn, scale, choices, source : see `Parameter`

    Returns
    -------
    dataclasses.Field

    Raises
    ------
    ValueError
        As `Parameter`.
    """
    declared = Parameter(
        "", unit, meaning, symbol, bounds, usual, drawn, scale, tuple(choices), source, default
    )
    return dataclasses.field(default=default, metadata={"parameter": declared})


def own_parameters(model: GrowthModel | type) -> tuple[Parameter, ...]:
    """The parameters that a model, or its class, declares beside `COMMON`, in their order."""
    return _own_parameters(model if isinstance(model, type) else type(model))


@functools.cache
def _own_parameters(model_class: type) -> tuple[Parameter, ...]:
    return tuple(
        dataclasses.replace(
            field.metadata["parameter"],
            name=field.name,
            symbol=field.metadata["parameter"].symbol or field.name,
        )
        for field in dataclasses.fields(model_class)
        if "parameter" in field.metadata
    )


def own_values(model: GrowthModel) -> dict[str, float]:
    """The values of a model's own parameters, by name."""
    return {declared.name: getattr(model, declared.name) for declared in own_parameters(model)}


def combinations_of(model: GrowthModel | type) -> tuple[Combination, ...]:
    """`COMBINATIONS`, and those that a model adds."""
    return (*COMBINATIONS, *getattr(model, "combinations", ()))


def symmetry_of(model: GrowthModel | type) -> Mapping[str, int]:
    """By parameter, the power of a factor: scaled so, all together leave the density as it is.

    Empty for a model that states none.
    """
    found: Mapping[str, int] = getattr(model, "symmetry", {})
    return found


@dataclass(frozen=True)
class Declared:
    """What a model declares of its own; a database records it and can be read without the model.

    Attributes
    ----------
    parameters : tuple of Parameter
    combinations : tuple of Combination
    symmetry : mapping of str to int
    """

    parameters: tuple[Parameter, ...] = ()
    combinations: tuple[Combination, ...] = ()
    symmetry: Mapping[str, int] = dataclasses.field(default_factory=dict, hash=False)

    @classmethod
    def by(cls, model: GrowthModel) -> Declared:
        """What a model declares."""
        return cls(
            own_parameters(model), tuple(getattr(model, "combinations", ())), symmetry_of(model)
        )

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> Declared:
        """What `describe` wrote."""
        return cls(
            tuple(Parameter(**one) for one in description["own"]),
            tuple(Combination(**one) for one in description["combinations"]),
            description["symmetry"],
        )

    def describe(self) -> dict[str, Any]:
        """Plain values: names, units and meanings; a plan says what is drawn."""
        return {
            "own": [
                {key: getattr(one, key) for key in ("name", "unit", "meaning", "symbol")}
                for one in self.parameters
            ],
            "combinations": [dataclasses.asdict(one) for one in self.combinations],
            "symmetry": dict(self.symmetry),
        }

    @property
    def all_combinations(self) -> tuple[Combination, ...]:
        """`COMBINATIONS`, and the model's own."""
        return (*COMBINATIONS, *self.combinations)


NOTHING_DECLARED = Declared(symmetry=TIME_SCALING)
"""The declaration of a model with the common parameters alone and with `TIME_SCALING`."""


def require_in_bounds(model: GrowthModel) -> None:
    """See that a model's own parameters have accepted values.

    Raises
    ------
    InputError
        If one does not; the message names it.
    """
    for declared in own_parameters(model):
        declared.require(getattr(model, declared.name))


def with_values(model: Model, values: Mapping[str, Any]) -> Model:
    """A model with other values of its own parameters, unchecked: JAX may trace them."""
    changed = copy.copy(model)
    for name, value in values.items():
        object.__setattr__(changed, name, value)
    return changed


def model_of(model: GrowthModel, own: Mapping[str, float]) -> GrowthModel:
    """The model of one growth, with the growth's values of the model's own parameters.

    Raises
    ------
    InputError
        If the model has no such parameter, or the parameter cannot take the value.
    """
    if not own:
        return model
    declared = {one.name: one for one in own_parameters(model)}
    for name, value in own.items():
        if name not in declared:
            raise unknown_parameter(name, [*(p.name for p in COMMON), *declared])
        declared[name].require(value)
    return with_values(model, own)


def unknown_parameter(name: str, known: Sequence[str]) -> InputError:
    """The error for a name that no parameter has."""
    return InputError(f"unknown parameter {name!r}: choose one of {', '.join(known)}")
