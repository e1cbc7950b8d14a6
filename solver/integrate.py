"""One growth, from its seed to its densities: the entry point of the solver."""

from __future__ import annotations

import enum
import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from .density import Thresholds, TumorDensity
from .laplacian import Laplacian, largest_eigenvalue
from .models import FisherKolmogorov, GrowthModel
from .parameters import GrowthParameters
from .schedule import Accuracy
from .seed import seed_density
from .supertime import coefficients, diffuse, longest_step, stages_for
from .tissue import Tissue

VOLUME_TOLERANCE = 0.02
MAX_SIDE_STEPS = 6
"""How well, and in how many trials, the time of a volume snapshot is found."""


class Status(enum.Enum):
    """How a simulation ended; the value says it to a person."""

    DONE = "reached the time asked for"
    STOPPED_AT_VOLUME = "reached the volume at which it was told to stop"
    TISSUE_FULL = "filled the tissue before the time asked for: nothing more can grow"
    NOT_FINITE = (
        "the density stopped being a number: check the model's react() at the parameters and the "
        "time given, or shorten the steps with Accuracy"
    )


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The tumour at one moment.

    Attributes
    ----------
    days : float
        Time since the seed.
    u : (nx, ny, nz) float32 array
        Density on the tissue's box.
    core_voxels, whole_voxels : int
        Sizes of the two outlines, counted on the unrounded density.
    """

    days: float
    u: NDArray[np.float32]
    core_voxels: int
    whole_voxels: int


@dataclass(frozen=True, eq=False)
class Simulation:
    """What `simulate` found.

    Attributes
    ----------
    parameters : GrowthParameters
        As asked for, with `days` replaced by the time reached.
    status : Status
    snapshots : tuple of Snapshot
        Those asked for that were reached, in the order of time.
    final : Snapshot
        The tumour at the end.
    tissue : Tissue
    n_steps, n_stages : int
        Time steps taken and diffusion stages in them.
    clipped : float
        Sum over the steps of the mass that keeping u within [0, 1] changed, over the mass then.
    """

    parameters: GrowthParameters
    status: Status
    snapshots: tuple[Snapshot, ...]
    final: Snapshot
    tissue: Tissue
    n_steps: int
    n_stages: int
    clipped: float

    @property
    def density(self) -> TumorDensity:
        """The final density on the whole grid of the tissue."""
        return on_grid(self.tissue, self.final.u)


def on_grid(tissue: Tissue, box: NDArray[np.float32]) -> TumorDensity:
    """A density on the tissue's box as one on its whole grid, zero elsewhere."""
    u = np.zeros(tissue.grid.shape, dtype=np.float32)
    u[tissue.box] = box
    return TumorDensity(u, tissue.grid)


def build_laplacian(tissue: Tissue, model: GrowthModel, dtype: type = np.float32) -> Laplacian:
    """The model's diffusion operator on the tissue's box, ready for the device."""
    _, ny, nz = shape = tissue.box_shape
    links = model.links(tissue)
    offsets = tuple(x * ny * nz + y * nz + z for x, y, z in links)
    guard = max(offsets)
    weights = tuple(
        jnp.asarray(np.pad(np.ravel(weight).astype(dtype), guard)) for weight in links.values()
    )
    return Laplacian(weights, offsets, shape)


@functools.lru_cache(maxsize=4)
def _operator(tissue: Tissue, model: GrowthModel) -> tuple[Laplacian, float]:
    laplacian = build_laplacian(tissue, model)
    return laplacian, largest_eigenvalue(laplacian)


@functools.partial(jax.jit, static_argnames="model")
def strang_step(
    model: GrowthModel,
    laplacian: Laplacian,
    fields: tuple[Array, ...],
    dw: Array,
    rho: Array,
    days: Array,
    table: Array,
    n_stages: Array,
    thresholds: Array,
) -> tuple[tuple[Array, ...], Array, Array]:
    """Half a reaction, a whole diffusion, half a reaction (Strang 1968).

    Returns the fields, the numbers of voxels above the two thresholds, and the share of the mass
    that clipping to [0, 1] changed (RKL2 is not positive in three dimensions).
    """
    fields = model.react(fields, rho, days / 2)
    diffused = []
    changed = jnp.zeros((), fields[0].dtype)
    for flat, diffusivity in zip(fields, model.diffusivities(dw), strict=True):
        if diffusivity is None:
            diffused.append(flat)
            continue
        raw = laplacian.interior(flat) + diffuse(
            flat, laplacian, diffusivity * days, table, n_stages
        )
        kept = jnp.clip(raw, 0, 1)
        changed += jnp.abs(kept - raw).sum()
        diffused.append(laplacian.with_interior(flat, kept))
    fields = model.react(tuple(diffused), rho, days / 2)
    u = model.density(fields)
    voxels = jnp.sum(u[None] >= thresholds[:, None], axis=1, dtype=jnp.int32)
    return fields, voxels, changed / u.sum()


def simulate(
    tissue: Tissue,
    parameters: GrowthParameters,
    *,
    model: GrowthModel = FisherKolmogorov(),
    thresholds: Thresholds = Thresholds(),
    snapshot_days: Sequence[float] = (),
    snapshot_ml: Sequence[float] = (),
    stop_ml: float = math.inf,
    accuracy: Accuracy = Accuracy(),
) -> Simulation:
    """Grow one tumour.

    Parameters
    ----------
    tissue : Tissue
        Anatomy, on any grid.
    parameters : GrowthParameters
        Origin, diffusivity, proliferation rate and duration.
    model : GrowthModel
    thresholds : Thresholds
        Densities of the two visible outlines.
    snapshot_days : sequence of float
        Times, rising, at which to keep the density; up to `parameters.days`. A snapshot equals, bit
        for bit, a simulation that ends at its time.
    snapshot_ml : sequence of float
        Whole-tumour volumes, rising: the density is kept at a time when the volume is this, to 2 %
        where the voxels allow it, found by shorter steps aside.
    stop_ml : float
        Whole-tumour volume at which to stop, at the end of a step.
    accuracy : Accuracy
        Bounds of the time step.

    Returns
    -------
    Simulation

    Raises
    ------
    ValueError
        If the origin lies outside the tissue, snapshot times or volumes do not rise, or a time lies
        outside (0, days].
    """
    times, volumes = _checked(parameters, snapshot_days, snapshot_ml)
    laplacian, eigenvalue = _operator(tissue, model)
    fields = model.initial(laplacian.flatten(seed_density(tissue, parameters.origin_mm)))
    levels = jnp.array([thresholds.core, thresholds.whole], jnp.float32)
    dw, rho = jnp.float32(parameters.dw), jnp.float32(parameters.rho)
    fastest = max((float(d) for d in model.diffusivities(dw) if d is not None), default=0.0)
    limit = 2 / (fastest * eigenvalue) if fastest > 0 else math.inf
    n_domain = int(tissue.domain.sum())
    ml = tissue.grid.voxel_ml

    def take(
        fields: tuple[Array, ...], days: float
    ) -> tuple[tuple[Array, ...], tuple[int, int], float]:
        n_stages = stages_for(days, limit)
        fields, voxels, changed = strang_step(
            model, laplacian, fields, dw, rho, jnp.float32(days),
            jnp.asarray(coefficients(n_stages), jnp.float32), n_stages, levels,
        )  # fmt: skip
        core, whole = np.asarray(voxels).tolist()
        return fields, (core, whole), float(changed)

    def keep(fields: tuple[Array, ...], voxels: tuple[int, int], days: float) -> Snapshot:
        u = np.asarray(laplacian.interior(model.density(fields))).reshape(laplacian.shape)
        return Snapshot(days, u, *voxels)

    def at_volume(
        target: float,
        fields: tuple[Array, ...],
        voxels: tuple[int, int],
        start: float,
        end: float,
        voxels_end: tuple[int, int],
    ) -> Snapshot:
        low, high = (start, math.cbrt(voxels[1])), (end, math.cbrt(voxels_end[1]))
        for _ in range(MAX_SIDE_STEPS):
            share = (math.cbrt(target) - low[1]) / (high[1] - low[1])
            days = low[0] + min(max(share, 0.1), 0.9) * (high[0] - low[0])
            beside, voxels, _ = take(fields, days - start)
            if abs(voxels[1] / target - 1) <= VOLUME_TOLERANCE:
                break
            if voxels[1] < target:
                low = days, math.cbrt(voxels[1])
            else:
                high = days, math.cbrt(voxels[1])
        return keep(beside, voxels, days)

    snapshots: list[Snapshot] = []
    status = Status.DONE
    days, clipped, n_steps, total_stages = 0.0, 0.0, 0, 0
    voxels = (0, 0)
    while days < parameters.days:
        step = accuracy.step_days(days, fastest, parameters.rho, longest_step(limit))
        end = days + step
        # A time between two steps is reached by a shorter step aside: the run itself goes on as if
        # nothing had been asked.
        while times and times[0] < min(end, parameters.days):
            snapshots.append(keep(*take(fields, times[0] - days)[:2], times.pop(0)))
        if end > parameters.days:
            step, end = parameters.days - days, parameters.days
        before = fields, voxels
        fields, voxels, changed = take(fields, step)
        start, days, clipped = days, end, clipped + changed
        n_steps, total_stages = n_steps + 1, total_stages + stages_for(step, limit)
        if not math.isfinite(changed):
            status = Status.NOT_FINITE
            break
        if times and times[0] == days:
            snapshots.append(keep(fields, voxels, times.pop(0)))
        while volumes and voxels[1] * ml >= volumes[0]:
            snapshots.append(at_volume(volumes.pop(0) / ml, *before, start, end, voxels))
        if voxels[1] * ml >= stop_ml:
            status = Status.STOPPED_AT_VOLUME
            break
        if voxels[0] == n_domain and days < parameters.days:
            status = Status.TISSUE_FULL
            break
    return Simulation(
        parameters=replace(parameters, days=days),
        status=status,
        snapshots=tuple(sorted(snapshots, key=lambda s: s.days)),
        final=keep(fields, voxels, days),
        tissue=tissue,
        n_steps=n_steps,
        n_stages=total_stages,
        clipped=clipped,
    )


def _checked(
    parameters: GrowthParameters, days: Sequence[float], volumes: Sequence[float]
) -> tuple[list[float], list[float]]:
    for name, values in (("times", days), ("volumes", volumes)):
        if any(b <= a for a, b in itertools.pairwise(values)):
            raise ValueError(f"snapshot {name} rise from one to the next, got {list(values)}")
    if days and not (days[0] > 0 and days[-1] <= parameters.days):
        raise ValueError(f"snapshot times lie in (0, {parameters.days:g}] days, got {list(days)}")
    return list(days), list(volumes)
