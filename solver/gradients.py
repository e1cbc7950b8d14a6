"""Derivatives of a growth with respect to all of its parameters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from ..errors import InputError
from .declarations import model_of, own_parameters, own_values, with_values
from .laplacian import Laplacian
from .models import FisherKolmogorov, GrowthModel, pushes
from .own_settings import own_jax
from .parameters import GrowthParameters
from .schedule import Accuracy
from .seed import SEED_MASS_MM3, SEED_SD_MM, seed_density
from .stepper import kind_of, pace_of, strang_step
from .supertime import coefficients, stages_for
from .tissue import Tissue
from .window import DiffusionOperator

LINK_DIFFERENCE = 1e-3
"""Share of a parameter's value over which the change of the links is measured."""


@dataclass(frozen=True)
class Sensitivity:
    """A scalar of the final density and its derivatives.

    Attributes
    ----------
    value : float
    origin_mm : tuple of three float
        Per mm along world x, y, z.
    dw : float
        Per mm^2/day.
    rho : float
        Per 1/day.
    days : float
        Per day.
    own : mapping of str to float
        Per unit of each parameter that the model declares itself.
    """

    value: float
    origin_mm: tuple[float, float, float]
    dw: float
    rho: float
    days: float
    own: Mapping[str, float] = field(default_factory=dict)


def sensitivity(
    tissue: Tissue,
    parameters: GrowthParameters,
    scalar: Callable[[Array], Array],
    *,
    model: GrowthModel = FisherKolmogorov(),
    accuracy: Accuracy = Accuracy(),
    dtype: type[np.floating] = np.float32,
) -> Sensitivity:
    """Differentiate a scalar of the final density, in forward mode.

    The numbers of steps and stages, and the voxels of the seed, are held fixed at those of the
    given parameters; each step keeps its share of the duration. The whole tissue box is computed.
    Finite differences give the change of the links between voxels with a parameter of the model.

    Parameters
    ----------
    tissue : Tissue
        Anatomy, on any grid.
    parameters : GrowthParameters
        Where the derivatives are taken.
    scalar : callable
        From the density on the tissue's box, an (nx, ny, nz) array, to a number; written with
        `jax.numpy`, and hashable, as functions are. A later call with the same one, and as many
        steps and voxels, compiles nothing.
    model : GrowthModel
        Growth model; Fisher-Kolmogorov by default.
    accuracy : Accuracy
        Bounds of the time step.
    dtype : float32 or float64
        Precision of the computation, whatever `jax_enable_x64` says.

    Returns
    -------
    Sensitivity

    Raises
    ------
    OriginError
        If the origin lies outside the tissue, or the tissue there is too small to hold a seed.
    InputError
        If the run would take more than about `schedule.MAX_STEPS` steps, or the model pushes the
        tissue or has more than one origin.
    """
    if pushes(model):
        raise InputError(
            f"derivatives are those of growth in tissue that stands still, and {model.name} pushes "
            "it"
        )
    if hasattr(model, "more_origins"):
        raise InputError(f"derivatives are those of a growth from one origin, not of {model.name}")
    with own_jax(x64=dtype is np.float64):
        return _differentiate(tissue, parameters, scalar, model, accuracy, dtype)


def _differentiate(
    tissue: Tissue,
    parameters: GrowthParameters,
    scalar: Callable[[Array], Array],
    model: GrowthModel,
    accuracy: Accuracy,
    dtype: type[np.floating],
) -> Sensitivity:
    model = model_of(model, parameters.own)
    own = own_values(model)
    operator = DiffusionOperator(tissue, model, dtype)
    laplacian = operator.whole
    pace = pace_of(tissue, operator, model, parameters)
    lengths = np.array(accuracy.steps(pace, parameters.days))
    stages = np.array([stages_for(step, pace.explicit_limit_days) for step in lengths], np.int32)
    support = seed_density(tissue, parameters.origin_mm) > 0
    places = tissue.grid.to_world(np.argwhere(support) + _corner(tissue))
    common = (*parameters.origin_mm, parameters.dw, parameters.rho, parameters.days)
    value, tangents = _value_and_derivatives(
        kind_of(model),
        scalar,
        jnp.array([*common, *own.values()], dtype),
        _Fixed(
            laplacian=laplacian,
            slopes=_link_slopes(tissue, model, dtype),
            own=jnp.array(list(own.values()), dtype),
            voxels=jnp.asarray(np.flatnonzero(support)),
            places=jnp.asarray(places, dtype),
            voxel_mm3=jnp.asarray(tissue.grid.voxel_ml * 1000, dtype),
            shares=jnp.asarray(lengths / parameters.days, dtype),
            tables=jnp.asarray(np.stack([coefficients(s) for s in stages]), dtype),
            stages=jnp.asarray(stages),
        ),
    )
    x, y, z, dw, rho, days, *more = (float(t) for t in tangents)
    return Sensitivity(float(value), (x, y, z), dw, rho, days, dict(zip(own, more, strict=True)))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class _Fixed:
    """What a growth's derivatives are taken at, besides its parameters.

    Attributes
    ----------
    laplacian : Laplacian
        Holds for the values in `own`.
    slopes : dict of str to list of arrays
        Result of `_link_slopes`.
    own : (n,) array
        Values of the model's own parameters.
    voxels, places : (k,) and (k, 3) arrays
        Indices of the seed's voxels in the flat box, and their places in mm.
    voxel_mm3 : float
    shares, tables, stages : arrays
        Each step's share of the duration, and its stages as `supertime.diffuse` takes them.
    """

    laplacian: Laplacian
    slopes: dict[str, list[Array]]
    own: Array
    voxels: Array
    places: Array
    voxel_mm3: Array
    shares: Array
    tables: Array
    stages: Array


@functools.partial(jax.jit, static_argnames=("kind", "scalar"))
def _value_and_derivatives(
    kind: GrowthModel, scalar: Callable[[Array], Array], theta: Array, fixed: _Fixed
) -> tuple[Array, Array]:
    def along(tangent: Array) -> tuple[Array, Array]:
        return jax.jvp(lambda at: scalar(_final_density(kind, at, fixed)), (theta,), (tangent,))

    values, tangents = jax.vmap(along)(jnp.eye(theta.size, dtype=theta.dtype))
    return values[0], tangents


def _final_density(kind: GrowthModel, theta: Array, fixed: _Fixed) -> Array:
    origin, dw, rho, days = theta[:3], theta[3], theta[4], theta[5]
    laplacian, dtype = fixed.laplacian, theta.dtype
    own = dict(zip(own_values(kind), theta[6:], strict=True))
    model = with_values(kind, own)
    linked = laplacian
    for (name, value), at in zip(own.items(), fixed.own, strict=True):
        if name in fixed.slopes:
            moved = zip(linked.weights, fixed.slopes[name], strict=True)
            linked = replace(linked, weights=tuple(w + (value - at) * s for w, s in moved))
    weights = jnp.exp(-((fixed.places - origin) ** 2).sum(axis=1) / (2 * SEED_SD_MM**2))
    mass = weights * SEED_MASS_MM3 / fixed.voxel_mm3 / weights.sum()
    seed = jnp.zeros(laplacian.size, dtype).at[fixed.voxels].set(mass)

    def step(
        fields: tuple[Array, ...], plan: tuple[Array, Array, Array]
    ) -> tuple[tuple[Array, ...], None]:
        share, table, n_stages = plan
        rates = jnp.stack([dw, rho, share * days])
        levels, walls = jnp.ones(2, dtype), jnp.zeros(6, dtype)
        return strang_step(model, linked, fields, rates, table, n_stages, levels, walls)[0], None

    fields = model.initial(laplacian.flatten(seed))
    fields, _ = jax.lax.scan(step, fields, (fixed.shares, fixed.tables, fixed.stages))
    return laplacian.interior(model.density(fields)).reshape(laplacian.shape)


def _link_slopes(
    tissue: Tissue, model: GrowthModel, dtype: type[np.floating]
) -> dict[str, list[Array]]:
    """How each link's weight changes with the model's own parameters; without those it ignores.

    Raises
    ------
    InputError
        If a parameter changes which voxels are linked.
    """
    slopes = {}
    for declared in own_parameters(model):
        value = getattr(model, declared.name)
        reach = LINK_DIFFERENCE * max(abs(value), 1.0)
        ends = max(value - reach, declared.bounds[0]), min(value + reach, declared.bounds[1])
        low, high = (
            DiffusionOperator(tissue, with_values(model, {declared.name: end}), np.float64).whole
            for end in ends
        )
        if low.offsets != high.offsets:
            raise InputError(
                f"no derivative with respect to {declared.name}: it changes which voxels are linked"
            )
        found = [
            (b - a) / (ends[1] - ends[0]) for a, b in zip(low.weights, high.weights, strict=True)
        ]
        if any(bool(jnp.any(slope != 0)) for slope in found):
            slopes[declared.name] = [slope.astype(dtype) for slope in found]
    return slopes


def _corner(tissue: Tissue) -> NDArray[np.intp]:
    return np.array([s.start for s in tissue.box])
