"""Growth models by name: the built-in ones, those of installed packages, and any class at all.

`find_model` imports a class that a person names. A class that only a file names, such as a
database, is never imported: `recall_model` knows those of installed packages and those that were
registered.
"""

from __future__ import annotations

import dataclasses
import importlib
import tomllib
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ...errors import InputError
from ..declarations import (
    COMBINATIONS,
    COMMON,
    own_parameters,
    require_in_bounds,
    symmetry_of,
    unknown_parameter,
)
from ..importing import import_named, script_name
from ..own_settings import require_jax

if TYPE_CHECKING:
    from .base import GrowthModel

ENTRY_POINTS = "glioquery.models"
"""Group under which an installed package offers its models."""
PARTS = ("name", "equation", "links", "initial", "diffusivities", "react", "density")
BUILT_IN = {
    "fisher-kolmogorov": "fisher_kolmogorov:FisherKolmogorov",
    "fisher-kolmogorov-mass-effect": "fisher_kolmogorov_mass_effect:FisherKolmogorovMassEffect",
    "fisher-kolmogorov-tensor": "fisher_kolmogorov_tensor:FisherKolmogorovTensor",
    "fisher-kolmogorov-two-foci": "fisher_kolmogorov_two_foci:FisherKolmogorovTwoFoci",
    "proliferative-necrotic": "proliferative_necrotic:ProliferativeNecrotic",
}
"""Module and class of each name: looking up a name does not import JAX."""
DEFAULT = "fisher-kolmogorov"

_registered: dict[str, type] = {}
"""Classes by their own names, as `register_model` took them."""

Class = TypeVar("Class", bound=type)


def model_names() -> list[str]:
    """Names that `find_model` knows, sorted.

    Returns
    -------
    list of str
    """
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINTS))})


def find_model(name: str, /, **settings: Any) -> GrowthModel:
    """Make a growth model from its name and its settings.

    Parameters
    ----------
    name : str
        A built-in model's, one offered by an installed package through the entry-point group
        `glioquery.models`, or `module:Class` for any class that can be imported.
    **settings
        Attributes of the model that are not to have their default values.

    Returns
    -------
    GrowthModel

    Raises
    ------
    InputError
        If there is no such model (the message lists those that there are), the class lacks a part
        of the protocol, or a setting is unknown or out of its range.

    Examples
    --------
    >>> find_model("fisher-kolmogorov", ratio=5.0)
    FisherKolmogorov(ratio=5.0, face_mean='harmonic')
    """
    return _make(find_class(name), name, settings)


def register_model(model_class: Class) -> Class:
    """Make a class of your own known in this process, for databases that were made with it.

    Parameters
    ----------
    model_class : type
        A frozen dataclass with the parts of `GrowthModel`.

    Returns
    -------
    type
        The class, so that this decorates it too.

    Raises
    ------
    InputError
        If it is no growth model.
    """
    _require_model(model_class, model_class.__qualname__)
    _registered[model_class.__qualname__] = model_class
    return model_class


def recall_model(described: Mapping[str, Any]) -> GrowthModel:
    """Make the model that `describe_model` described, wherever the description comes from.

    A file does not decide what code runs: the class that it names is not imported. It is taken from
    those that were registered, by its own name; its module may have moved.

    Parameters
    ----------
    described : mapping
        As `describe_model` returns it.

    Returns
    -------
    GrowthModel

    Raises
    ------
    InputError
        If no installed package offers the model and no such class was registered (the message says
        how to), or that class has another name or equation.
    """
    name = described["name"]
    if "class" not in described:
        return _make(_offered(name), name, described["settings"])
    given = str(described["class"])
    model_class: Any = _registered.get(given.partition(":")[2])
    if model_class is None:
        raise InputError(
            f"the growth model {name!r} is the class {given}, which is not imported because a file "
            f"names it: if you trust it, name it yourself with --model {given}, or in Python with "
            "glioquery.solver.models.register_model"
        )
    for part in ("name", "equation"):
        if getattr(model_class, part) != described[part]:
            raise InputError(
                f"the growth model {name!r} is the class {given} with the {part} "
                f"{described[part]!r}, the class registered under this name has "
                f"{getattr(model_class, part)!r}"
            )
    return _make(model_class, given, described["settings"])


def _require_model(model_class: Any, name: str) -> None:
    """Refuse a class that is no growth model."""
    missing = [part for part in PARTS if not hasattr(model_class, part)]
    if missing:
        raise InputError(f"{name} is not a growth model: it lacks {', '.join(missing)}")
    is_value = dataclasses.is_dataclass(model_class) and getattr(model_class, "__hash__", None)
    if not is_value:
        raise InputError(f"{name} is not a growth model: make it a frozen dataclass")
    taken = [*(one.name for one in COMMON), *(one.name for one in COMBINATIONS)]
    require_free_names(model_class, taken, name)
    known = [one.name for one in (*COMMON, *own_parameters(model_class))]
    for one in getattr(model_class, "combinations", ()):
        for used in sorted(one.names - set(known)):
            raise InputError(
                f"{name} is not a growth model: its combination {one.name}, {one.formula!r}: "
                f"{unknown_parameter(used, known)}"
            )
    for scaled in symmetry_of(model_class):
        if scaled not in known:
            raise InputError(
                f"{name} is not a growth model: its symmetry: {unknown_parameter(scaled, known)}"
            )


def require_free_names(model: GrowthModel | type, taken: Collection[str], name: str) -> None:
    """Refuse a model that gives a parameter or a combination of its own a name that is taken.

    Parameters
    ----------
    model : GrowthModel or type
        The model, or its class.
    taken : collection of str
    name : str
        What messages call the model.

    Raises
    ------
    InputError
        If a name is taken.
    """
    own = [one.name for one in (*own_parameters(model), *getattr(model, "combinations", ()))]
    for one in own:
        if one in taken or own.count(one) > 1:
            raise InputError(
                f"the growth model {name} declares {one!r}, a name that is taken already: give "
                "its parameter or combination another"
            )


def _make(model_class: Any, name: str, settings: Mapping[str, Any]) -> GrowthModel:
    """A model of a class, which messages call by a name."""
    _require_model(model_class, name)
    known = [f.name for f in dataclasses.fields(model_class) if f.init]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise InputError(
            f"{name} has no setting {', '.join(unknown)}; "
            + (f"its settings are {', '.join(known)}" if known else "it has none")
        )
    try:
        model: GrowthModel = model_class(**settings)
        require_in_bounds(model)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} does not accept {settings}: {error}") from error
    return model


def find_class(name: str) -> Any:
    """The class behind a name that a person gives; see `find_model`.

    Parameters
    ----------
    name : str
        One of `model_names`, or module:Class.

    Returns
    -------
    type

    Raises
    ------
    InputError
        As in `find_model`.
    """
    if ":" not in name:
        return _offered(name)
    found = import_named(name, "growth model")
    if not isinstance(found, type):
        raise InputError(f"{name} is not a growth model: expected a class")
    return found


def _offered(name: str) -> Any:
    """The class of a built-in model, or of one that an installed package offers."""
    if name in BUILT_IN:
        require_jax()
        module, _, model_class = BUILT_IN[name].partition(":")
        return getattr(importlib.import_module(f".{module}", __package__), model_class)
    for point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            return point.load()
        except Exception as error:  # the package's own module may raise anything
            raise InputError(f"growth model {name!r} ({point.value}) fails: {error}") from error
    raise InputError(
        f"unknown growth model {name!r}: choose one of {', '.join(model_names())}, or name a "
        "class as module:Class"
    )


def describe_model(model: GrowthModel) -> dict[str, Any]:
    """A model in plain values, from which `recall_model` makes it again.

    Parameters
    ----------
    model : GrowthModel

    Returns
    -------
    dict
        `name`, `equation` and `settings`; also `class`, as module:Class, if the name does not lead
        to the class.
    """
    settings = {}
    for field in dataclasses.fields(model):  # type: ignore[arg-type]
        value = getattr(model, field.name)
        if isinstance(value, np.generic):
            value = value.item()
        settings[field.name] = value.describe() if hasattr(value, "describe") else value
    described = {"name": model.name, "equation": model.equation, "settings": settings}
    model_class = type(model)
    try:
        by_name = _offered(model.name)
    except InputError:
        by_name = None
    if by_name is not model_class:
        module = model_class.__module__
        if module == "__main__":
            module = script_name() or module
        described["class"] = f"{module}:{model_class.__qualname__}"
    return described


def parse_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Settings from lines KEY=VALUE, as typed; a value is TOML's, or else a plain string.

    Parameters
    ----------
    texts : iterable of str
        Such as "ratio=10".

    Returns
    -------
    dict
        Values by key.

    Raises
    ------
    InputError
        If a text is not of this form.
    """
    settings = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip().isidentifier():
            raise InputError(f"a model's setting is given as KEY=VALUE, got {text!r}")
        try:
            settings[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            settings[key.strip()] = value.strip()
    return settings
