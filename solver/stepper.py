"""One time step on the device, and the state it advances."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from .density import Thresholds
from .laplacian import Laplacian
from .models import GrowthModel
from .parameters import GrowthParameters
from .schedule import Pace
from .seed import seed_density
from .supertime import coefficients, diffuse, stages_for
from .tissue import Tissue
from .window import EDGE_DENSITY, DiffusionOperator, windows_around

CORE_CODE = 2048
"""Weight of the core when both outlines are counted in one sum over a row of voxels: more than a
row has. XLA's sums are a fifth of a step's time on the tissue box when each takes a pass, and rows
first are faster than all at once."""


@dataclass(frozen=True, eq=False)
class State:
    """A tumour between two steps.

    Attributes
    ----------
    fields : tuple of flat guarded arrays
        On the window.
    window : int
        Which of the stepper's windows.
    core_voxels, whole_voxels : int
        Voxels at or above the two thresholds.
    edge : float
        Largest density at the window's open walls.
    clipped : float
        Share of the mass that keeping the last step within [0, 1] changed; NaN if the step failed.
    """

    fields: tuple[Array, ...]
    window: int
    core_voxels: int
    whole_voxels: int
    edge: float
    clipped: float


@functools.partial(jax.jit, static_argnames="model")
def strang_step(
    model: GrowthModel,
    laplacian: Laplacian,
    fields: tuple[Array, ...],
    rates: Array,
    table: Array,
    n_stages: Array,
    thresholds: Array,
    open_walls: Array,
) -> tuple[tuple[Array, ...], Array, Array]:
    """Half a reaction, a whole diffusion, half a reaction (Strang 1968).

    Parameters
    ----------
    rates : (3,) array
        dw (mm^2/day), rho (1/day) and the step's length (days).
    table, n_stages
        Of `supertime.diffuse`.
    thresholds : (2,) array
        Of core and whole outline.
    open_walls : (6,) array
        Of `Window.open_walls`.

    Returns
    -------
    fields : tuple of arrays
    voxels : (2,) int32 array
        At or above the thresholds.
    edge_and_clipped : (2,) array
        As in `State`.
    """
    dw, rho, days = rates
    fields = model.react(fields, rho, days / 2)
    diffused = []
    changed = jnp.zeros((), fields[0].dtype)
    for flat, diffusivity in zip(fields, model.diffusivities(dw), strict=True):
        if diffusivity is None:
            diffused.append(flat)
            continue
        increment = diffuse(flat, laplacian, diffusivity * days, table, n_stages)
        raw = laplacian.interior(flat) + increment
        # RKL2 is not positive in three dimensions: what little it undershoots is cut and counted.
        kept = jnp.clip(raw, 0, 1)
        changed += _row_sums(jnp.abs(kept - raw), laplacian).sum()
        diffused.append(laplacian.with_interior(flat, kept))
    fields = model.react(tuple(diffused), rho, days / 2)
    u = laplacian.interior(model.density(fields))
    above_core, above_whole = u >= thresholds[0], u >= thresholds[1]
    coded = jnp.where(above_core, CORE_CODE + 1.0, jnp.where(above_whole, 1.0, 0.0))
    counts = _row_sums(coded, laplacian).astype(jnp.int32)
    voxels = jnp.stack([(counts // CORE_CODE).sum(), (counts % CORE_CODE).sum()])
    box = u.reshape(laplacian.shape)
    walls = jnp.stack([w.max() for w in (box[0], box[-1], box[:, 0], box[:, -1],
                                         box[..., 0], box[..., -1])])  # fmt: skip
    edge = (walls * open_walls).max()
    return fields, voxels, jnp.stack([edge, changed / _row_sums(u, laplacian).sum()])


def _row_sums(values: Array, laplacian: Laplacian) -> Array:
    return values.reshape(-1, laplacian.shape[2]).sum(axis=1)


def pace_of(
    tissue: Tissue, operator: DiffusionOperator, model: GrowthModel, parameters: GrowthParameters
) -> Pace:
    """What decides the steps of a run."""
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
    )


class Stepper:
    """Advances the tumour of one set of parameters.

    Attributes
    ----------
    pace : Pace
        What decides the steps.
    n_stages : int
        Diffusion stages taken so far.
    """

    def __init__(
        self,
        tissue: Tissue,
        operator: DiffusionOperator,
        model: GrowthModel,
        parameters: GrowthParameters,
        thresholds: Thresholds,
    ) -> None:
        self._tissue, self._operator, self._model = tissue, operator, model
        self._parameters = parameters
        voxel = tissue.nearest_voxel(parameters.origin_mm)
        in_box = tuple(v - s.start for v, s in zip(voxel, tissue.box, strict=True))
        self._windows = windows_around((in_box[0], in_box[1], in_box[2]), operator.box_shape)
        self._thresholds = jnp.array([thresholds.core, thresholds.whole], jnp.float32)
        self.pace = pace_of(tissue, operator, model, parameters)
        self.n_stages = 0
        self._enter(0)

    def start(self) -> State:
        """The state at time zero."""
        seed = seed_density(self._tissue, self._parameters.origin_mm)
        flat = self._laplacian.flatten(seed[self._windows[0].slices])
        return State(self._model.initial(flat), 0, 0, 0, 0.0, 0.0)

    def step(self, state: State, days: float) -> State:
        """Advance a state by a time."""
        n_stages = stages_for(days, self.pace.explicit_limit_days)
        fields, voxels, measures = strang_step(
            self._model,
            self._laplacian,
            state.fields,
            np.array([self._parameters.dw, self._parameters.rho, days], np.float32),
            coefficients(n_stages),
            n_stages,
            self._thresholds,
            self._open_walls,
        )
        self.n_stages += n_stages
        core, whole = np.asarray(voxels).tolist()
        edge, clipped = np.asarray(measures).tolist()
        return State(fields, state.window, core, whole, edge, clipped)

    def widened(self, state: State) -> State:
        """The state in a window that is large enough for another step.

        It depends on the state alone, not on the step to come, so that runs of different length
        share their windows.
        """
        if state.edge <= EDGE_DENSITY or state.window + 1 == len(self._windows):
            return state
        boxes = [self._on_box(field) for field in state.fields]
        self._enter(state.window + 1)
        window = self._windows[state.window + 1]
        fields = tuple(self._laplacian.flatten(box[window.slices]) for box in boxes)
        return State(
            fields, state.window + 1, state.core_voxels, state.whole_voxels, 0.0, state.clipped
        )

    def density(self, state: State) -> NDArray[np.float32]:
        """The density on the tissue's box."""
        return self._on_box(self._model.density(state.fields))

    def _enter(self, index: int) -> None:
        window = self._windows[index]
        self._laplacian = self._operator.on(window)
        self._window = window
        self._open_walls = jnp.asarray(window.open_walls(self._operator.box_shape))

    def _on_box(self, flat: Array) -> NDArray[np.float32]:
        values = np.asarray(self._laplacian.interior(flat)).reshape(self._window.shape)
        if self._window.shape == self._operator.box_shape:
            return values
        box = np.zeros(self._operator.box_shape, values.dtype)
        box[self._window.slices] = values
        return box
