"""How tumours are drawn from a parameter space: one function for each sampler.

A draw depends on the seed, the run and the attempt alone. A run whose tumours are not acceptable is
drawn again with the next attempt. Only a sweep keeps all its runs, which are the points of a grid.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...errors import InputError
from ...solver import GrowthParameters, Tissue
from ...solver.declarations import ORIGIN
from .space import ParameterSpace
from .values import Choices

ORIGIN_SHARES = 3
"""Coordinates of the origin in a point of a design; those of dw, rho, days and own follow."""


@dataclass(frozen=True)
class Draw:
    """One run of the solver, and the snapshots of it to keep.

    If it has neither volumes nor shares, the run yields one tumour: its end.

    Attributes
    ----------
    parameters : GrowthParameters
        `days` is the time at which the run ends at the latest.
    volumes_ml : tuple of float
        Whole-tumour volumes, rising, at which a snapshot is kept.
    size_shares : tuple of float
        Where the volumes depend on the growth: shares in [0, 1), rising, of the cube roots from the
        growth's least acceptable volume to the largest of the space.
    """

    parameters: GrowthParameters
    volumes_ml: tuple[float, ...] = ()
    size_shares: tuple[float, ...] = ()


def draw_run(tissue: Tissue, space: ParameterSpace, seed: int, run: int, attempt: int) -> Draw:
    """Draw a run with the space's sampler."""
    return DRAW_FUNCTIONS[space.sampler](tissue, space, seed, run, attempt)


def draw_trajectory(
    tissue: Tissue, space: ParameterSpace, seed: int, run: int, attempt: int
) -> Draw:
    """A growth that is followed through the sizes of the space, whatever time that takes.

    Origin, dw and rho are drawn independently; one volume is drawn in each of
    `space.snapshots_per_run` equal parts of the range of cube roots of `space.whole_ml`.
    """
    rng = np.random.default_rng([seed, run, attempt])
    origin = _draw_origin(tissue, space, rng)
    dw, rho = space.dw.draw(rng), space.rho.draw(rng)
    low, high = np.cbrt(space.whole_ml.low), np.cbrt(space.whole_ml.high)
    volumes = (low + (high - low) * _draw_strata(space, rng) / space.snapshots_per_run) ** 3
    growth = GrowthParameters(origin, dw, rho, _longest(space, dw, rho), _draw_own(space, rng))
    return Draw(growth, volumes_ml=tuple(volumes.tolist()))


def draw_identifiable(
    tissue: Tissue, space: ParameterSpace, seed: int, run: int, attempt: int
) -> Draw:
    """A growth that is followed from its own least acceptable size on to the largest.

    Origin and lambda = sqrt(dw / rho) are drawn independently, and one volume in each of
    `space.snapshots_per_run` equal parts of the range of cube roots; rho T follows from them. Of
    the pairs (dw, rho) with this lambda one is drawn, log-uniformly: it decides no density.
    """
    if space.lambda_mm is None:
        raise InputError("the sampler 'identifiable' draws from a range lambda_mm, got none")
    rng = np.random.default_rng([seed, run, attempt])
    origin = _draw_origin(tissue, space, rng)
    front = space.lambda_mm.draw(rng)
    least = max(space.rho.low, space.dw.low / front**2)
    greatest = min(space.rho.high, space.dw.high / front**2)
    rho = least * (greatest / least) ** rng.uniform()
    # Rounding may have moved an end of the pairs out of its range.
    rho = min(max(rho, space.rho.low), space.rho.high)
    dw = min(max(front**2 * rho, space.dw.low), space.dw.high)
    shares = _draw_strata(space, rng) / space.snapshots_per_run
    growth = GrowthParameters(origin, dw, rho, _longest(space, dw, rho), _draw_own(space, rng))
    return Draw(growth, size_shares=tuple(shares.tolist()))


def draw_uniform(tissue: Tissue, space: ParameterSpace, seed: int, run: int, attempt: int) -> Draw:
    """One tumour: origin, dw, rho, days and own drawn independently from their ranges."""
    rng = np.random.default_rng([seed, run, attempt])
    origin = _draw_origin(tissue, space, rng)
    dw, rho, days = space.dw.draw(rng), space.rho.draw(rng), space.days.draw(rng)
    return Draw(GrowthParameters(origin, dw, rho, days, _draw_own(space, rng)))


def draw_sobol(tissue: Tissue, space: ParameterSpace, seed: int, run: int, attempt: int) -> Draw:
    """One tumour: point `run` of a Sobol sequence in origin, dw, rho, days and own.

    Each attempt has a sequence of its own, scrambled by (seed, attempt): attempt a of all runs
    together covers the space evenly, and every run depends on itself alone.
    """
    from scipy.stats import qmc  # here: 25 MB that the other samplers' workers can spare

    dimensions = ORIGIN_SHARES + len(space.values())
    sequence = qmc.Sobol(dimensions, seed=np.random.default_rng([seed, attempt]))
    if run > 0:  # scipy 1.15 fails to go forward by none
        sequence.fast_forward(run)
    return Draw(_growth_at(tissue, space, sequence.random(1)[0]))


def draw_latin_hypercube(
    tissue: Tissue, space: ParameterSpace, seed: int, run: int, attempt: int
) -> Draw:
    """One tumour: point `run` of a Latin hypercube of `space.points` in the same coordinates.

    Each attempt has a design of its own, drawn by (seed, attempt).
    """
    design = _latin_hypercube(ORIGIN_SHARES + len(space.values()), space.points or 1, seed, attempt)
    return Draw(_growth_at(tissue, space, design[run]))


@functools.lru_cache(maxsize=4)
def _latin_hypercube(
    dimensions: int, n_points: int, seed: int, attempt: int
) -> NDArray[np.float64]:
    from scipy.stats import qmc  # here: as above

    rng = np.random.default_rng([seed, attempt])
    return np.asarray(qmc.LatinHypercube(dimensions, seed=rng).random(n_points))


def draw_grid(tissue: Tissue, space: ParameterSpace, seed: int, run: int, attempt: int) -> Draw:
    """Point `run` of the sweep of all origins, dw, rho, days and own; the last changes fastest."""
    return Draw(point_of_sweep(space, run))


def draw_table(tissue: Tissue, space: ParameterSpace, seed: int, run: int, attempt: int) -> Draw:
    """Row `run` of the table of runs."""
    return Draw(point_of_sweep(space, run))


def point_of_sweep(space: ParameterSpace, run: int) -> GrowthParameters:
    """The growth of a point of a sweep, for which nothing is drawn."""
    if space.table is not None:
        return space.table.growth(run)
    at = np.unravel_index(run, space.sweep_shape)
    if space.origin_mm is None:
        raise InputError("the sampler 'grid' sweeps the points of origin_mm, got none")
    drawn = {
        name: values.values[index] if isinstance(values, Choices) else values.low
        for (name, values), index in zip(space.values().items(), at[1:], strict=True)
    }
    return _growth(space.origin_mm[at[0]], drawn)


DRAW_FUNCTIONS: Mapping[str, Callable[[Tissue, ParameterSpace, int, int, int], Draw]] = {
    "trajectory": draw_trajectory,
    "uniform": draw_uniform,
    "sobol": draw_sobol,
    "latin-hypercube": draw_latin_hypercube,
    "identifiable": draw_identifiable,
    "grid": draw_grid,
    "table": draw_table,
}
"""By the sampler's name."""


def origin_at(tissue: Tissue, shares: ArrayLike) -> tuple[float, float, float]:
    """The point of the tissue at shares of its volume: evenly spread shares, evenly spread points.

    The first share is that of the tissue with a lower x, the second that of the sagittal slice at
    x with a lower y, the third that of the line at (x, y) with a lower z.

    Parameters
    ----------
    tissue : Tissue
    shares : (3,) array
        In [0, 1).

    Returns
    -------
    tuple of three float
        RAS world, mm, in a voxel of the tissue.
    """
    part = tissue.domain
    position = []
    for share in np.asarray(shares, dtype=np.float64):
        counts = part.reshape(len(part), -1).sum(axis=1)
        ends = np.cumsum(counts)
        reached = share * ends[-1]
        index = int(np.searchsorted(ends, reached, side="right"))
        within = (reached - (ends[index] - counts[index])) / counts[index]
        # Off the faces of the voxel, where rounding might put the point into its neighbour.
        position.append(index + min(max(within, 1e-6), 1 - 1e-6) - 0.5)
        part = part[index]
    x, y, z = tissue.grid.to_world(np.array(position)).tolist()
    return x, y, z


def _draw_origin(
    tissue: Tissue, space: ParameterSpace, rng: np.random.Generator
) -> tuple[float, float, float]:
    """One of the space's points or, if it names none, a point uniform in the tissue."""
    if space.origin_mm is not None:
        return space.origin_mm[rng.integers(len(space.origin_mm))]
    voxel = tissue.voxels[rng.integers(len(tissue.voxels))]
    x, y, z = tissue.grid.to_world(voxel + rng.uniform(-0.5, 0.5, 3)).tolist()
    return x, y, z


def _draw_own(space: ParameterSpace, rng: np.random.Generator) -> dict[str, float]:
    """The model's own parameters, after everything else: without any, the rest is as it was."""
    return {name: values.draw(rng) for name, values in space.own.items()}


def _growth_at(
    tissue: Tissue, space: ParameterSpace, shares: NDArray[np.float64]
) -> GrowthParameters:
    """The growth at a point of the unit cube: shares of the tissue, then of each range."""
    drawn = {
        name: values.at(float(share))
        for (name, values), share in zip(
            space.values().items(), shares[ORIGIN_SHARES:], strict=True
        )
    }
    if space.origin_mm is None:
        origin = origin_at(tissue, shares[:ORIGIN_SHARES])
    else:
        origin = space.origin_mm[math.floor(shares[0] * len(space.origin_mm))]
    return _growth(origin, drawn)


def _growth(origin_mm: tuple[float, float, float], values: Mapping[str, float]) -> GrowthParameters:
    """A growth from its origin and the values of all other parameters."""
    names = [p.name for p in ORIGIN]
    return GrowthParameters.of(dict(zip(names, origin_mm, strict=True)) | dict(values))


def _draw_strata(space: ParameterSpace, rng: np.random.Generator) -> NDArray[np.float64]:
    """A number in each of [0, 1), [1, 2), ... [m - 1, m), m being the snapshots of a run."""
    m = space.snapshots_per_run
    return np.arange(m) + rng.uniform(size=m)


def _longest(space: ParameterSpace, dw: float, rho: float) -> float:
    """Days that a run may last: as long as one scaled by a power of two may.

    The density depends on dw T and rho T alone.
    """
    fastest = min(space.dw.high / dw, space.rho.high / rho)
    return space.days.high * 2.0 ** math.floor(math.log2(fastest))
