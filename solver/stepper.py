"""One time step on the device, and the states between steps."""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike
from numpy.typing import NDArray

from ..atlas.regions import bounding_box
from .declarations import own_parameters, own_values, with_values
from .density import Thresholds
from .displacement import Displacement, displace
from .laplacian import Laplacian
from .models import GrowthModel, late_days, pushes, swelling_of
from .own_settings import own_jax
from .parameters import GrowthParameters
from .schedule import Accuracy, Pace
from .seed import seeds_of
from .supertime import coefficients, diffuse, stages_for
from .tissue import Tissue
from .window import EDGE_DENSITY, SEED_ROOM_MM, DiffusionOperator, windows_around

CORE_CODE = 2048
"""Weight of the core when both outlines are counted in one sum over a row of voxels: more than a
row has. XLA's sums are a fifth of a step's time on the tissue box when each takes a pass, and rows
first are faster than all at once."""


@dataclass(frozen=True, eq=False)
class State:
    """A tumour between two steps of its growth.

    Attributes
    ----------
    days : float
        Time since the seed.
    step_days : float
        Length of the run's next step.
    core_voxels, whole_voxels : int
        Voxels at or above the two thresholds; 0 at the seed, where they are not counted. Where the
        tumour pushes, they are reckoned from how far each swells, to about a hundredth.
    clipped : float
        Share of the mass that keeping the last step within [0, 1] changed; NaN if the step failed.
    n_stages : int
        Diffusion stages of the last step.
    """

    days: float
    step_days: float
    core_voxels: int
    whole_voxels: int
    clipped: float
    n_stages: int
    _stepper: Stepper
    _fields: tuple[Array, ...]
    _window: int
    _edge: float

    @property
    def next_days(self) -> float:
        """Time at which the run's next step ends."""
        return self.days + self.step_days

    @property
    def before_events(self) -> State:
        """The state before the events of its moment: itself where none happens."""
        return self

    @property
    def is_finite(self) -> bool:
        """Whether the density is a number everywhere."""
        return math.isfinite(self.clipped)

    @cached_property
    def u(self) -> NDArray[np.float32]:
        """Density (nx, ny, nz) on the tissue's box, where the tissue lies now."""
        return self._stepper.density(self)

    @cached_property
    def displacement(self) -> Displacement | None:
        """Where the tissue came from; None if the model pushes nothing."""
        return self._stepper.displacement(self)

    @cached_property
    def ventricles(self) -> NDArray[np.bool_] | None:
        """Ventricles on the tissue's box, where they lie now; None if the model pushes nothing."""
        return self._stepper.ventricles(self)

    def next(self) -> State:
        """The state at the end of the run's next step.

        Returns
        -------
        State
        """
        return self._stepper.step(self, self.step_days, self.next_days)

    def at(self, days: float) -> State:
        """The state at a later time, by one step aside that alters nothing of the run.

        Parameters
        ----------
        days : float
            Time since the seed, up to `next_days`: a longer step would err more than the run's.

        Returns
        -------
        State
        """
        return self._stepper.step(self, days - self.days, days)


def strang_step(
    model: GrowthModel,
    laplacian: Laplacian,
    fields: tuple[Array, ...],
    rates: ArrayLike,
    table: ArrayLike,
    n_stages: ArrayLike,
    thresholds: Array,
    open_walls: Array,
) -> tuple[tuple[Array, ...], Array, Array]:
    """Half a reaction, a whole diffusion, half a reaction (Strang 1968).

    Parameters
    ----------
    rates : (3,) array
        dw (mm^2/day), rho (1/day) and the step's length (days).
    table, n_stages
        As in `supertime.diffuse`.
    thresholds : (2,) array
        Thresholds of core and whole outline.
    open_walls : (6,) array
        Result of `Window.open_walls`.

    Returns
    -------
    fields : tuple of arrays
    voxels : (2,) int32 array
        At or above the thresholds.
    edge_and_clipped : (2,) array
        Largest density at the window's open walls; `State.clipped`.
    """
    found: tuple[tuple[Array, ...], Array, Array] = compiled_step(
        kind_of(model),
        own_values(model),
        laplacian,
        fields,
        rates,
        table,
        n_stages,
        thresholds,
        open_walls,
    )
    return found


def kind_of(model: GrowthModel) -> GrowthModel:
    """A model with its own parameters at their defaults: what a compiled program is kept for."""
    return with_values(model, {p.name: p.default for p in own_parameters(model)})


@functools.partial(jax.jit, static_argnames="kind")
def compiled_step(
    kind: GrowthModel,
    own: dict[str, Array],
    laplacian: Laplacian,
    fields: tuple[Array, ...],
    rates: Array,
    table: Array,
    n_stages: Array,
    thresholds: Array,
    open_walls: Array,
) -> tuple[tuple[Array, ...], Array, Array]:
    """`strang_step`, compiled: for a `kind_of` a model, and the values of its own parameters."""
    model = with_values(kind, own)
    dw, rho, days = rates
    fields = model.react(fields, rho, days / 2)
    diffused = []
    changed = jnp.zeros((), fields[0].dtype)
    for flat, diffusivity in zip(fields, model.diffusivities(dw), strict=True):
        if diffusivity is None:
            diffused.append(flat)
            continue
        increment, spare = diffuse(flat, laplacian, diffusivity * days, table, n_stages)
        raw = laplacian.interior(flat) + increment
        # RKL2 is not positive in three dimensions: what little it undershoots is cut and counted.
        outside = jnp.where(raw > 1, raw - 1, jnp.where(raw < 0, -raw, 0))
        changed += _row_sums(outside, laplacian).sum()
        diffused.append(laplacian.with_interior(spare, jnp.clip(raw, 0, 1)))
    fields = model.react(tuple(diffused), rho, days / 2)
    density = model.density(fields)
    u = laplacian.interior(density)
    above_core, above_whole = u >= thresholds[0], u >= thresholds[1]
    coded = jnp.where(above_core, CORE_CODE + 1.0, jnp.where(above_whole, 1.0, 0.0))
    counts = _row_sums(coded, laplacian).astype(jnp.int32)
    voxels = jnp.stack([(counts // CORE_CODE).sum(), (counts % CORE_CODE).sum()])
    box = u.reshape(laplacian.shape)
    walls = jnp.stack([w.max() for w in (box[0], box[-1], box[:, 0], box[:, -1],
                                         box[..., 0], box[..., -1])])  # fmt: skip
    edge = (walls * open_walls).max()
    # Where no cell is left, nothing is changed: a share of no mass would be 0/0. A mass that is not
    # a number leaves its share so.
    mass = density.sum()
    return fields, voxels, jnp.stack([edge, changed / jnp.where(mass == 0, 1, mass)])


@jax.jit
def _swollen_voxels(u: Array, thresholds: Array, swelling: Array) -> Array:
    """The (2,) voxels of core and whole outline once each has swollen by what it holds."""
    sizes = jnp.where(u >= thresholds[:, None], 1 + swelling * u, 0).sum(axis=1)
    return jnp.round(sizes).astype(jnp.int32)


def _row_sums(values: Array, laplacian: Laplacian) -> Array:
    return values.reshape(-1, laplacian.shape[2]).sum(axis=1)


def pace_of(
    tissue: Tissue, operator: DiffusionOperator, model: GrowthModel, parameters: GrowthParameters
) -> Pace:
    """What decides the steps of a run."""
    with np.errstate(over="ignore"):  # infinite beyond float32: such a run has no end
        diffusivities = model.diffusivities(jnp.float32(parameters.dw))
    fastest = max((float(d) for d in diffusivities if d is not None), default=0.0)
    slope = fastest * operator.largest_eigenvalue
    limit = 2 / slope if slope > 0 else math.inf
    return Pace(
        dw=parameters.dw,
        rho=parameters.rho,
        diffusivity=fastest,
        explicit_limit_days=limit,
        spacing_mm=max(tissue.grid.spacing_mm),
        late_days=late_days(model, parameters.rho),
    )


class Stepper:
    """Advances the tumour of one set of parameters, for `march`."""

    def __init__(
        self,
        tissue: Tissue,
        operator: DiffusionOperator,
        model: GrowthModel,
        parameters: GrowthParameters,
        thresholds: Thresholds,
        accuracy: Accuracy,
    ) -> None:
        self._tissue, self._operator, self._model = tissue, operator, model
        self._kind, self._own = kind_of(model), own_values(model)
        self._swelling = swelling_of(model)
        self._parameters, self.accuracy = parameters, accuracy
        voxel = tissue.nearest_voxel(parameters.origin_mm)
        in_box = tuple(v - s.start for v, s in zip(voxel, tissue.box, strict=True))
        self._windows = windows_around((in_box[0], in_box[1], in_box[2]), operator.box_shape)
        self._laplacians: dict[int, Laplacian] = {}
        self._thresholds = jnp.array(thresholds.levels, jnp.float32)
        self._pace = pace_of(tissue, operator, model, parameters)

    @own_jax()
    def start(self) -> State:
        """The state at time zero."""
        seeds = seeds_of(self._model, self._tissue, self._parameters.origin_mm)
        room = np.ceil(SEED_ROOM_MM / np.array(self._tissue.grid.spacing_mm)).astype(int)
        reaches = [bounding_box(seed > 0, room) for seed in seeds]
        index = next(
            i
            for i, window in enumerate(self._windows)
            if all(window.holds(seed) for seed in reaches)
        )
        laplacian, slices = self._laplacian(index), self._windows[index].slices
        fields = self._model.initial(*(laplacian.flatten(seed[slices]) for seed in seeds))
        return State(
            days=0.0,
            step_days=self.accuracy.step_days(self._pace, 0.0),
            core_voxels=0,
            whole_voxels=0,
            clipped=0.0,
            n_stages=0,
            _stepper=self,
            _fields=fields,
            _window=index,
            _edge=0.0,
        )

    @own_jax()
    def step(self, state: State, length: float, end: float) -> State:
        """Advance a state by a number of days, to a time."""
        index, fields = self._with_room(state)
        n_stages = stages_for(length, self._pace.explicit_limit_days)
        fields, voxels, measures = compiled_step(
            self._kind,
            self._own,
            self._laplacian(index),
            fields,
            np.array([self._parameters.dw, self._parameters.rho, length], np.float32),
            coefficients(n_stages),
            n_stages,
            self._thresholds,
            self._windows[index].open_walls(self._operator.box_shape),
        )
        if self._swelling > 0:
            voxels = self._count(index, fields)
        core, whole = np.asarray(voxels).tolist()
        edge, clipped = np.asarray(measures).tolist()
        return State(
            days=end,
            step_days=self.accuracy.step_days(self._pace, end),
            core_voxels=core,
            whole_voxels=whole,
            clipped=clipped,
            n_stages=n_stages,
            _stepper=self,
            _fields=fields,
            _window=index,
            _edge=edge,
        )

    @own_jax()
    def density(self, state: State) -> NDArray[np.float32]:
        """The density on the tissue's box, carried by the tissue that it pushes."""
        u = self._on_box(self._model.density(state._fields), state._window)
        moved = state.displacement
        return u if moved is None else moved.carry_density(self._tissue, u)

    @own_jax()
    def displacement(self, state: State) -> Displacement | None:
        """How far the tissue is pushed."""
        if self._swelling == 0:
            return None
        u = self._on_box(self._model.density(state._fields), state._window)
        return displace(self._tissue, u, swelling=self._swelling)

    def ventricles(self, state: State) -> NDArray[np.bool_] | None:
        """The ventricles on the tissue's box, where the pushed tissue leaves them."""
        if not pushes(self._model):
            return None
        moved, still = state.displacement, self._tissue.ventricles
        if moved is None:  # this growth does not swell
            return still[self._tissue.box]
        return moved.carry(still)[self._tissue.box] >= 0.5

    @own_jax()
    def kept(self, state: State, share: float | NDArray[np.floating]) -> State:
        """The state with a share of its cells, the same everywhere or one for each voxel.

        Parameters
        ----------
        share : float, or float array of the tissue's grid

        Raises
        ------
        InputError
            If the shares lie on another grid.
        """
        factor: ArrayLike = (
            np.float32(share) if np.ndim(share) == 0 else self._flat(state, np.asarray(share))
        )
        (field,) = state._fields
        fields = (field * jnp.asarray(factor),)
        core, whole = np.asarray(self._count(state._window, fields)).tolist()
        return replace(state, core_voxels=core, whole_voxels=whole, _fields=fields)

    def resected(self, state: State, cavity: NDArray[np.bool_]) -> State:
        """The state without tumour in a cavity, into which no cell moves any more."""
        left = copy.copy(self)
        left._operator = self._operator.without(cavity[self._tissue.box])
        left._laplacians = {}
        return replace(self.kept(state, (~cavity).astype(np.float32)), _stepper=left)

    def _count(self, index: int, fields: tuple[Array, ...]) -> Array:
        """The (2,) voxels of core and whole outline, as large as they are once they have swollen.

        `strang_step` counts those of a model that does not swell in passing.
        """
        u = self._laplacian(index).interior(self._model.density(fields))
        if self._swelling > 0:
            return _swollen_voxels(u, self._thresholds, self._swelling)
        return (u >= self._thresholds[:, None]).sum(axis=1)

    def _flat(self, state: State, values: NDArray[Any]) -> Array:
        """Values on the tissue's grid, on the window of a state."""
        window = self._windows[state._window].slices
        part = np.asarray(values[self._tissue.box][window], np.float32)
        return self._laplacian(state._window).flatten(part)

    def _with_room(self, state: State) -> tuple[int, tuple[Array, ...]]:
        """A window that is large enough for another step, and the fields on it.

        It depends on the state alone, not on the step to come, so that runs of different length
        share their windows.
        """
        index, fields = state._window, state._fields
        if state._edge <= EDGE_DENSITY or index + 1 == len(self._windows):
            return index, fields
        wider, slices = self._laplacian(index + 1), self._windows[index + 1].slices
        return index + 1, tuple(wider.flatten(self._on_box(f, index)[slices]) for f in fields)

    def _laplacian(self, index: int) -> Laplacian:
        if index not in self._laplacians:
            self._laplacians[index] = self._operator.on(self._windows[index])
        return self._laplacians[index]

    def _on_box(self, flat: Array, index: int) -> NDArray[np.float32]:
        window = self._windows[index]
        values = np.asarray(self._laplacian(index).interior(flat)).reshape(window.shape)
        if window.shape == self._operator.box_shape:
            return values
        box = np.zeros(self._operator.box_shape, values.dtype)
        box[window.slices] = values
        return box
