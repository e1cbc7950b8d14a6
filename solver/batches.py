"""Many growths in one compiled program: for a GPU, or for one process with several cores."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from ..errors import InputError
from .declarations import model_of, own_values, with_values
from .density import Thresholds
from .displacement import displace
from .laplacian import Laplacian
from .models import FisherKolmogorov, GrowthModel, swelling_of
from .own_settings import own_jax
from .parameters import GrowthParameters
from .schedule import Accuracy
from .seed import seeds_of
from .stepper import kind_of, pace_of, strang_step
from .supertime import coefficients, stages_for
from .tissue import Tissue
from .window import DiffusionOperator

STEPS_MULTIPLE = 16
"""Batches are padded to a multiple of this many steps, so that few programs are compiled."""


@dataclass(frozen=True, eq=False)
class BatchResult:
    """Final densities of a batch, in the order of its parameters.

    Attributes
    ----------
    u : (n, nx, ny, nz) float32 array
        On the tissue's box.
    core_voxels, whole_voxels : (n,) int32 array
        Sizes of the two outlines.
    clipped : (n,) float32 array
        As in `Simulation`; NaN where a density stopped being a number.
    """

    u: NDArray[np.float32]
    core_voxels: NDArray[np.int32]
    whole_voxels: NDArray[np.int32]
    clipped: NDArray[np.float32]


@own_jax()
def simulate_batch(
    tissue: Tissue,
    parameters: Sequence[GrowthParameters],
    *,
    model: GrowthModel = FisherKolmogorov(),
    thresholds: Thresholds = Thresholds(),
    accuracy: Accuracy = Accuracy(),
    batch_size: int = 64,
) -> BatchResult:
    """Grow many tumours to their ends, `batch_size` at a time in one compiled program.

    Runs with like numbers of steps share a batch. Each keeps its own steps, those of `simulate`;
    the diffusion stages of a step are as many as its most demanding member needs. The densities
    agree with those of `simulate` to the accuracy of the time step, not to the last digit.

    Parameters
    ----------
    tissue : Tissue
        Anatomy, on any grid.
    parameters : sequence of GrowthParameters
        One set for each tumour.
    model, thresholds, accuracy
        As in `simulate`.
    batch_size : int
        Number of simulations at a time. Each takes the memory of about eight float arrays on the
        tissue's box.

    Returns
    -------
    BatchResult

    Raises
    ------
    OriginError
        If an origin lies outside the tissue, or the tissue there is too small to hold a seed.
    InputError
        If there are no parameters, `batch_size` is below 1, or a run would take more than about
        `schedule.MAX_STEPS` steps.
    """
    if not parameters:
        raise InputError("a batch holds at least one set of parameters")
    if batch_size < 1:
        raise InputError(f"batch_size is a number from 1 up, got {batch_size}")
    n = len(parameters)
    result = BatchResult(
        np.empty((n, *tissue.box_shape), np.float32),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
        np.empty(n, np.float32),
    )
    # Growths of one model, with the values of its own parameters, share its diffusion.
    alike: dict[GrowthModel, list[int]] = {}
    for i, p in enumerate(parameters):
        alike.setdefault(model_of(model, p.own), []).append(i)
    for one, rows in alike.items():
        found = _run_alike(
            tissue, [parameters[i] for i in rows], one, thresholds, accuracy, batch_size
        )
        for array in dataclasses.fields(BatchResult):
            getattr(result, array.name)[rows] = getattr(found, array.name)
    return result


def _run_alike(
    tissue: Tissue,
    parameters: Sequence[GrowthParameters],
    model: GrowthModel,
    thresholds: Thresholds,
    accuracy: Accuracy,
    batch_size: int,
) -> BatchResult:
    """Grow tumours of one model to their ends."""
    operator = DiffusionOperator(tissue, model)
    laplacian = operator.whole
    levels = jnp.array(thresholds.levels, jnp.float32)
    kind, own = kind_of(model), own_values(model)
    plans = []
    for p in parameters:
        pace = pace_of(tissue, operator, model, p)
        lengths = accuracy.steps(pace, p.days)
        plans.append((lengths, [stages_for(d, pace.explicit_limit_days) for d in lengths]))
    n = len(parameters)
    u = np.empty((n, *tissue.box_shape), np.float32)
    voxels = np.empty((n, 2), np.int32)
    clipped = np.empty(n, np.float32)
    order = sorted(range(n), key=lambda i: len(plans[i][0]))
    for first in range(0, n, batch_size):
        members = order[first : first + batch_size]
        steps = -(-len(plans[members[-1]][0]) // STEPS_MULTIPLE) * STEPS_MULTIPLE
        # A member that has ended, or a place without one, takes steps of length zero.
        days = np.zeros((steps, batch_size), np.float32)
        stages = np.full(steps, stages_for(0.0, 1.0), np.int32)
        rates = np.zeros((batch_size, 2), np.float32)
        seeds: tuple[NDArray[np.float32], ...] = ()
        for place, i in enumerate(members):
            lengths, needed = plans[i]
            days[: len(lengths), place] = lengths
            stages[: len(needed)] = np.maximum(stages[: len(needed)], needed)
            rates[place] = parameters[i].dw, parameters[i].rho
            for n_seed, seed in enumerate(seeds_of(model, tissue, parameters[i].origin_mm)):
                if n_seed == len(seeds):
                    seeds += (np.zeros((batch_size, *tissue.box_shape), np.float32),)
                seeds[n_seed][place] = seed
        tables = np.stack([coefficients(int(s)) for s in stages]).astype(np.float32)
        ends = _run_batch(kind, own, laplacian, seeds, rates, days, tables, stages, levels)
        used = len(members)
        u[members], voxels[members], clipped[members] = (np.asarray(e)[:used] for e in ends)
    if swelling_of(model) > 0:
        for i, grown in enumerate(u):
            moved = displace(tissue, grown, swelling=swelling_of(model))
            u[i] = moved.carry_density(tissue, grown)
        voxels = (u[:, None] >= np.asarray(levels)[None, :, None, None, None]).sum(
            axis=(2, 3, 4), dtype=np.int32
        )
    return BatchResult(u, voxels[:, 0], voxels[:, 1], clipped)


@functools.partial(jax.jit, static_argnames="kind")
def _run_batch(
    kind: GrowthModel,
    own: dict[str, Array],
    laplacian: Laplacian,
    seeds: tuple[Array, ...],
    rates: Array,
    days: Array,
    tables: Array,
    stages: Array,
    levels: Array,
) -> tuple[Array, Array, Array]:
    model = with_values(kind, own)
    walls = jnp.zeros(6, jnp.float32)

    def step(
        carry: tuple[tuple[Array, ...], Array], plan: tuple[Array, Array, Array]
    ) -> tuple[tuple[tuple[Array, ...], Array], None]:
        fields, clipped = carry
        lengths, table, n_stages = plan

        def one(fields: tuple[Array, ...], rates: Array) -> tuple[tuple[Array, ...], Array, Array]:
            return strang_step(model, laplacian, fields, rates, table, n_stages, levels, walls)

        fields, _, measures = jax.vmap(one)(
            fields, jnp.concatenate([rates, lengths[:, None]], axis=1)
        )
        return (fields, clipped + measures[:, 1]), None

    fields = jax.vmap(lambda *s: model.initial(*map(laplacian.flatten, s)))(*seeds)
    none = jnp.zeros(len(rates), jnp.float32)
    (fields, clipped), _ = jax.lax.scan(step, (fields, none), (days, tables, stages))
    u = jax.vmap(lambda f: laplacian.interior(model.density(f)))(fields)
    voxels = jnp.sum(u[:, None] >= levels[None, :, None], axis=2, dtype=jnp.int32)
    return u.reshape(seeds[0].shape), voxels, clipped
