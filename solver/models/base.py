"""What a growth model is to the solver."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from numpy.typing import NDArray

from ..tissue import Tissue

if TYPE_CHECKING:
    from jax import Array

Links = Mapping[tuple[int, int, int], NDArray[Any]]
"""Diffusion stencil on the tissue box: for each voxel offset the weights, 1/mm^2, of the links to
the voxel at that offset, for unit diffusivity. Only one of an offset and its opposite appears."""


class GrowthModel(Protocol):
    """A reaction-diffusion model of one or several fields on a tissue.

    Implementations are frozen dataclasses. A field made by `declarations.parameter` is a parameter
    of a growth, beside those of all models (`declarations.COMMON`). A study may draw it, so JAX may
    trace it in all methods but `links`. Any other field is a setting, the same for all growths of a
    database: a number, a string, or a value whose `describe()` returns these. Settings are
    hashable, for each of their values has its own compiled program.

    A model may state two things of its equations. `symmetry` (`declarations.symmetry_of`) says
    which parameters may be scaled together without a change; most models are `TIME_SCALING`.
    Without it a growth is simulated as it is. `combinations` are values that follow from the
    parameters, stored and shown beside `declarations.COMBINATIONS`.

    The equations must let all fields vanish far from the tumour. A nutrient, for example, is kept
    as its deficit.

    A model with a parameter `swelling` pushes the tissue aside where that is above 0: its equations
    hold in the tissue's own coordinates, and `displacement` says where the tissue lies.

    A model may have a method `more_origins(tissue, origin_mm)` that returns further origins in mm.
    Its `initial` then takes their seeds after the first one. If a seed begins to grow later, the
    parameter `delay` says at which rho t, and the time steps begin again there.
    """

    name: ClassVar[str]
    """Name on the command line and in databases."""

    equation: ClassVar[str]
    """The equations in one line."""

    def __hash__(self) -> int:
        """Equal models have equal hashes; frozen dataclasses provide them."""
        ...

    def links(self, tissue: Tissue) -> Links:
        """Diffusion stencil for unit diffusivity; no link crosses the domain's boundary.

        Parameters
        ----------
        tissue : Tissue
            Where the tumour grows.

        Returns
        -------
        Links
            Weights of neighbouring voxels on the tissue's box, 1/mm^2.
        """
        ...

    def initial(self, seed: Array) -> tuple[Array, ...]:
        """Fields at time zero from the seed's density.

        Parameters
        ----------
        seed : array of the box's shape
            Density of the seed, from 0 to 1.

        Returns
        -------
        tuple of array
            One array for each field.
        """
        ...

    def diffusivities(self, dw: Array) -> tuple[Array | None, ...]:
        """Diffusivity of each field in white matter, mm^2/day; None for one that stays put.

        Parameters
        ----------
        dw : float
            Diffusivity of tumour cells in white matter, mm^2/day.

        Returns
        -------
        tuple of float or None
            One for each field.
        """
        ...

    def react(self, fields: tuple[Array, ...], rho: Array, days: Array) -> tuple[Array, ...]:
        """Advance the reactions alone, voxel by voxel, by a time; values stay in [0, 1].

        Parameters
        ----------
        fields : tuple of array
            Values at the beginning.
        rho : float
            Proliferation rate, 1/day.
        days : float
            Time by which the reactions advance.

        Returns
        -------
        tuple of array
            Values at the end.
        """
        ...

    def density(self, fields: tuple[Array, ...]) -> Array:
        """Tumour cell density u in [0, 1], all populations together.

        Parameters
        ----------
        fields : tuple of array
            One array for each field.

        Returns
        -------
        array of the box's shape
        """
        ...


def pushes(model: GrowthModel) -> bool:
    """Whether a model's growths may push the tissue aside, whatever swelling each of them has.

    Parameters
    ----------
    model : GrowthModel

    Returns
    -------
    bool
    """
    return hasattr(model, "swelling")


def swelling_of(model: GrowthModel) -> float:
    """Share by which tissue full of cells swells in the growth of a model.

    0 for a model that pushes nothing.

    Parameters
    ----------
    model : GrowthModel

    Returns
    -------
    float
        At least 0, without a unit.
    """
    return float(getattr(model, "swelling", 0.0))


def late_days(model: GrowthModel, rho: float) -> float:
    """Time at which the last seed in the growth of a model begins, in days.

    0 for a model without later seeds.

    Parameters
    ----------
    model : GrowthModel
    rho : float
        Proliferation rate, 1/day.

    Returns
    -------
    float
        At least 0.
    """
    delay = float(getattr(model, "delay", 0.0))
    if delay == 0:
        return 0.0
    return delay / rho if rho > 0 else math.inf


def reach_of(model: GrowthModel, tissue: Tissue) -> Tissue:
    """The tissue whose domain holds all voxels where outlines of the model's growths may lie.

    Parameters
    ----------
    model : GrowthModel
    tissue : Tissue

    Returns
    -------
    Tissue
    """
    return tissue.with_fluid if pushes(model) else tissue
