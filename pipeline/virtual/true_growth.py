"""The true growth of a virtual patient's tumour, which differs from every fitted model's.

    du/dt = div(D grad u) + u (1 - u),    time in units of 1 / rho,
    D = lambda^2 (p_w + p_g / ratio) exp(a noise)

The noise is smooth and reaches +-1, so that D departs from that of the growth model by up to a
factor exp(a) = 2.2 either way; the ratio of white and grey matter is drawn for each patient.
Sometimes each axis has a noise of its own, which makes D a diagonal tensor, and sometimes the
tumour has a second focus.

The time integration shares nothing with `glioquery.solver`: explicit Euler, arithmetic means of D
on the faces between voxels, no flux out of the tissue. Its purpose is that a map cannot agree with
the truth merely because both have the same errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import ArrayLike, NDArray

from ...atlas.regions import Box
from ...solver import Thresholds, Tissue, TumorDensity
from ...solver.own_settings import own_jax
from .smooth_noise import smooth_noise

LAMBDA_MM = (1.8, 5.0)
"""Range of the front's width in white matter, log-uniform; narrower ones are below a voxel."""

RATIO = (5.0, 20.0)
"""Range of the diffusivity in white matter over that in grey, log-uniform. Swanson et al. 2000 find
five times or more, the growth model takes 10."""

WHOLE_ML = (25.0, 160.0)
"""Range of the whole outline's volume, log-uniform, like most of BraTS's tumours."""

SHARE_OF_TWO_FOCI = 0.25
SHARE_OF_TENSORS = 0.25

DEPARTURE = 2.2
"""Largest factor between D and that of the model."""

DEPARTURE_SD_MM = 16.0
"""Smoothness of the departure: standard deviation of the Gaussian that filters its noise."""

LEAST_WHITE = 0.85
"""Fraction of white matter where a tumour may begin."""

SECOND_AT = 0.3
"""Share of the final volume that the first focus has when the second one begins."""

SECOND_PEAK = 0.9
"""Density at the centre of the second focus when it begins."""

SECOND_MM = (15.0, 35.0)
"""Distance between the two foci."""

LONGEST = 120.0
"""Time in which a tumour has to reach its volume."""

LONGEST_STEP = 0.05
"""Longest step in time: a growth by a twentieth."""

STABLE_SHARE = 0.8
"""Share of the longest step at which explicit Euler keeps 0 <= u."""

ROUND_SHAPE = 8
"""The sides of the computed box are multiples of it, so that few compiled programs serve all
heads."""


@dataclass(frozen=True)
class TrueGrowth:
    """How a virtual patient's tumour grows.

    Attributes
    ----------
    lambda_mm : float
        Width of the front in white matter, sqrt(D / rho).
    ratio : float
        Diffusivity in white over that in grey matter.
    whole_ml : float
        Volume of {u >= 0.2} at which it is imaged.
    has_two_foci, is_tensor : bool
    """

    lambda_mm: float
    ratio: float
    whole_ml: float
    has_two_foci: bool = False
    is_tensor: bool = False


@dataclass(frozen=True, eq=False)
class GrownTumor:
    """A tumour that has grown.

    Attributes
    ----------
    density : TumorDensity
        On the tissue's grid.
    origins_mm : tuple of (x, y, z)
        Origins of its foci, in the world.
    rho_t : float
        Its age in e-foldings of proliferation.
    """

    density: TumorDensity
    origins_mm: tuple[tuple[float, float, float], ...]
    rho_t: float


def draw_growth(rng: np.random.Generator) -> TrueGrowth:
    """A growth of the trial's distribution."""

    def log_uniform(low: float, high: float) -> float:
        return math.exp(rng.uniform(math.log(low), math.log(high)))

    return TrueGrowth(
        lambda_mm=log_uniform(*LAMBDA_MM),
        ratio=log_uniform(*RATIO),
        whole_ml=log_uniform(*WHOLE_ML),
        has_two_foci=bool(rng.random() < SHARE_OF_TWO_FOCI),
        is_tensor=bool(rng.random() < SHARE_OF_TENSORS),
    )


@own_jax()
def grow(tissue: Tissue, growth: TrueGrowth, rng: np.random.Generator) -> GrownTumor | None:
    """Grow a tumour to its volume, from a place in white matter that is drawn.

    Parameters
    ----------
    tissue : Tissue
    growth : TrueGrowth
    rng : numpy.random.Generator
        Random numbers for the places and the departures.

    Returns
    -------
    GrownTumor or None
        None where it does not reach its volume in time.
    """
    box, padding = _round_box(tissue)
    spacing = tissue.grid.spacing_mm
    domain = np.pad(tissue.domain[box], padding)
    model = np.pad((tissue.wm + tissue.gm / growth.ratio)[box], padding)
    model *= growth.lambda_mm**2
    departures = [_departure(tissue, rng)[box] for _ in range(3 if growth.is_tensor else 1)]
    diffusivities = [model * np.pad(departure, padding) for departure in departures]
    if not growth.is_tensor:
        diffusivities *= 3
    step = min(LONGEST_STEP, STABLE_SHARE * _longest_stable(growth.lambda_mm, spacing))
    weights = face_weights(diffusivities, domain, spacing, step)

    white = np.argwhere((tissue.wm[box] > LEAST_WHITE) & tissue.domain[box])
    if not len(white):
        return None
    foci = [white[rng.integers(len(white))]]
    if growth.has_two_foci:
        apart = np.linalg.norm((white - foci[0]) * spacing, axis=1)
        near = white[(apart > SECOND_MM[0]) & (apart < SECOND_MM[1])]
        if not len(near):
            return None
        foci.append(near[rng.integers(len(near))])
    n_visible = growth.whole_ml / tissue.grid.voxel_ml
    first = seed(foci[0], domain)
    most = round(LONGEST / step)
    u, n_steps = jnp.asarray(first / first.sum()), most
    if growth.has_two_foci:
        u, done = _advance(u, weights, step, SECOND_AT * n_visible, n_steps)
        u, n_steps = jnp.maximum(u, SECOND_PEAK * seed(foci[1], domain)), n_steps - int(done)
    u, done = _advance(u, weights, step, n_visible, n_steps)
    n_steps -= int(done)
    if n_steps <= 0:
        return None
    found = np.zeros(tissue.grid.shape, np.float32)
    found[box] = np.asarray(u)[tuple(slice(0, s.stop - s.start) for s in box)]
    corner = [side.start for side in box]
    places = [tuple(tissue.grid.to_world(voxel + corner).tolist()) for voxel in foci]
    age = (most - n_steps) * step
    return GrownTumor(TumorDensity(found, tissue.grid), tuple(places), age)


def face_weights(
    diffusivities: list[NDArray[np.float32]],
    domain: NDArray[np.bool_],
    spacing_mm: ArrayLike,
    step: float,
) -> tuple[Array, Array, Array]:
    """Share of a difference that flows through each face between two voxels in a step.

    D on a face is the arithmetic mean of both sides; nothing flows out of the domain.

    Parameters
    ----------
    diffusivities : list of three (nx, ny, nz) float32 arrays
        Along each axis, in mm^2 per unit of time.
    domain : (nx, ny, nz) bool array
    spacing_mm : (3,) array
    step : float
        Length of the step.

    Returns
    -------
    three float32 arrays
        One entry shorter along their axis.
    """
    weights = []
    for axis, h in enumerate(np.asarray(spacing_mm)):
        d, inside = np.moveaxis(diffusivities[axis], axis, 0), np.moveaxis(domain, axis, 0)
        mean = np.where(inside[1:] & inside[:-1], (d[1:] + d[:-1]) / 2, 0) * (step / h**2)
        weights.append(jnp.asarray(np.moveaxis(mean, 0, axis), jnp.float32))
    x, y, z = weights
    return x, y, z


def seed(voxel: NDArray[np.intp], domain: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A Gaussian of a voxel's width around a voxel, 1 at its centre, in the domain."""
    away = np.indices(domain.shape) - np.reshape(voxel, (3, 1, 1, 1))
    return (np.exp(-(away**2).sum(axis=0) / 2) * domain).astype(np.float32)


def euler_step(u: Array, weights: tuple[Array, Array, Array], step: Array | float) -> Array:
    """Advance by diffusion through the faces and logistic growth, both from the state before."""
    change = step * u * (1 - u)
    for axis, weight in enumerate(weights):
        flux = weight * jnp.diff(u, axis=axis)
        ends = [[(0, 0)] * 3 for _ in range(2)]
        ends[0][axis], ends[1][axis] = (0, 1), (1, 0)
        change += jnp.pad(flux, ends[0]) - jnp.pad(flux, ends[1])
    return jnp.clip(u + change, 0, 1)


@jax.jit
def _advance(
    u: Array, weights: tuple[Array, Array, Array], step: float, n_visible: float, n_steps: int
) -> tuple[Array, Array]:
    """Grow until so many voxels are visible, or for so many steps; return the steps, too."""
    visible = Thresholds().whole

    def is_small(state: tuple[Array, Array]) -> Array:
        u, done = state
        return ((u >= visible).sum() < n_visible) & (done < n_steps)

    def advanced(state: tuple[Array, Array]) -> tuple[Array, Array]:
        u, done = state
        return euler_step(u, weights, step), done + 1

    return lax.while_loop(is_small, advanced, (u, jnp.int32(0)))


def _departure(tissue: Tissue, rng: np.random.Generator) -> NDArray[np.float32]:
    sd = DEPARTURE_SD_MM / float(np.mean(tissue.grid.spacing_mm))
    return np.exp(math.log(DEPARTURE) * smooth_noise(tissue.grid.shape, sd, rng))


def _longest_stable(lambda_mm: float, spacing_mm: ArrayLike) -> float:
    """Longest step in which no voxel loses more than it has, where D is largest."""
    return float(1 / (2 * DEPARTURE * lambda_mm**2 * (1 / np.asarray(spacing_mm) ** 2).sum()))


def _round_box(tissue: Tissue) -> tuple[Box, list[tuple[int, int]]]:
    """The tissue's box, and the padding that makes its sides round numbers."""
    return tissue.box, [(0, -n % ROUND_SHAPE) for n in tissue.box_shape]
