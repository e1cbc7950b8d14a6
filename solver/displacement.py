"""How a tumour pushes tissue aside: the displacement as a function of the density.

Tissue full of cells takes more room. A piece of it that holds the density u swells to 1 + k u times
its volume (k is the swelling), the rest of the tissue keeps its volume, and fluid yields. The skull
stands still. Pressed tissue flows down the pressure p until all have the room that they need:

    dx/ds = -grad p,    -lap p + c p = ln(1 + k u),    n . grad p = 0 at the skull,    0 <= s <= 1

u and c stay with the tissue as it moves, so that at s = 1 a piece has J = (1 + k u) exp(-c P) times
its volume, where P is the pressure that it felt along its way: never zero, so nothing folds, and
the displacement is that of the density alone, whatever the growth before. c is 1 / `YIELD_MM`^2 in
fluid and a ten-thousandth of it in tissue, which gives way only where there is no fluid at all.

Linear elasticity gives the same displacement in a homogeneous medium. There the tumour's force
g grad u makes (l + 2 m) lap d = g grad u for the displacement d with Lame's constants l and m: d is
a gradient, and div d = g u / (l + 2 m). So k is g / (l + 2 m), and a ball of u = 1 and radius R
moves a point at r by k r / 3 inside and by k R^3 / (3 r^2) outside, to first order. To all orders a
point at a goes to r with r^3 = a^3 + k min(a, R)^3. Beyond the homogeneous medium the flow stands
for tissue that is incompressible (Poisson's ratio 1/2) and slides along the skull.

The growth itself is computed in the tissue as it was: a cell is carried by its tissue, room for
cells (u = 1) swells with it, and diffusion is as fast in shares of the tissue's own length. Cells
are then neither lost nor made by the motion.

References
----------
C. Hogea, G. Biros, F. Abraham, C. Davatzikos, "A robust framework for soft tissue simulations with
application to modeling brain tumor mass effect in 3D MR images", Phys. Med. Biol. 52:6893, 2007.
C. Hogea, C. Davatzikos, G. Biros, "An image-driven parameter estimation problem for a
reaction-diffusion glioma growth model with mass effects", J. Math. Biol. 56:793-825, 2008.
S. Subramanian, A. Gholami, G. Biros, "Simulation of glioblastoma growth using a 3D multispecies
tumor model with mass effect", J. Math. Biol. 79:941-967, 2019.
D. A. Hormuth, S. L. Eldridge, J. A. Weis, M. I. Miga, T. E. Yankeelov, "Mechanically coupled
reaction-diffusion model to predict glioma growth: methodological details", Methods Mol. Biol.
1711:225-241, 2018.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.ndimage import map_coordinates
from jax.scipy.sparse.linalg import cg
from numpy.typing import NDArray
from scipy import ndimage

from ..atlas import Grid
from ..atlas.regions import Box, bounding_box, embed, shape_of
from .laplacian import Laplacian, face_weights
from .own_settings import own_jax
from .tissue import Tissue

YIELD_MM = 10.0
"""Depth to which fluid takes part in yielding: half the width of a ventricle."""
TISSUE_YIELDS = 1e-4
"""How much tissue yields against fluid."""
SWELLING_A_STEP = 0.25
"""Largest ln(1 + k) in one step of the flow: two steps up to k = 0.6, three for 1."""
TOLERANCE, MAX_ITERATIONS, SMOOTHING = 1e-2, 300, 8
"""Relative residual of the pressure on voxels twice as large, and most iterations there; iterations
on the tissue's own voxels, where the remaining error is rough and local."""
LEAST_DENSITY, FAR_DENSITY = 1e-6, 1e-12
"""Least density that a carried density keeps, and the density where none is carried."""
FOLDED = 0.1
"""Jacobian below which tissue counts as folded."""


@dataclass(frozen=True, eq=False)
class Displacement:
    """Where the tissue at each voxel came from.

    Attributes
    ----------
    backward : (3, nx, ny, nz) float32 array
        For each voxel of the box, in voxels: its tissue came from the voxel's index plus this.
    box : tuple of three slice
        The part of the grid inside the skull.
    grid : Grid
    least_jacobian : float
        Least volume of a voxel's tissue now over what it was.
    """

    backward: NDArray[np.float32]
    box: Box
    grid: Grid
    least_jacobian: float

    @property
    def max_mm(self) -> float:
        """Longest way that tissue was moved."""
        spacing = np.array(self.grid.spacing_mm)[:, None, None, None]
        return float(np.sqrt(((self.backward * spacing) ** 2).sum(axis=0).max()))

    @property
    def folds(self) -> bool:
        """Whether tissue is pressed to less than `FOLDED` of its volume, or turned inside out."""
        return not self.least_jacobian > FOLDED

    @own_jax()
    def carry(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Values that move with the tissue, where it lies now; interpolated linearly.

        Parameters
        ----------
        values : array of the grid's shape
            Values where the tissue was; zero where there is nothing.
        """
        moved = np.array(values, np.float32)
        moved[self.box] = _sample(jnp.asarray(moved[self.box]), jnp.asarray(self.backward))
        return moved

    def carry_density(self, tissue: Tissue, u: NDArray[np.float32]) -> NDArray[np.float32]:
        """A density in the tissue before its displacement, where the tissue lies now.

        Interpolated cubically in ln(u / (1 - u)), which is close to a straight line across a front
        and keeps u in [0, 1]; zero where there is no tissue now. A density below `LEAST_DENSITY`
        becomes zero, and the part outside the tissue's box is cut off.
        """
        whole = embed(u, tissue.box, self.grid.shape)
        # Beyond the tissue as at its nearest point, for no cell crosses its boundary.
        u = whole[self.box][tuple(_mechanics(tissue).nearest)]
        whole[:] = 0
        held = u >= LEAST_DENSITY
        if not held.any():
            return whole[tissue.box]
        margin = int(np.ceil(np.abs(self.backward).max())) + 2
        part = bounding_box(held, margin)
        logit = np.log(np.clip(u[part], FAR_DENSITY, 1 - 1e-7))
        logit -= np.log1p(-np.clip(u[part], FAR_DENSITY, 1 - 1e-7))
        is_tissue = self.carry(tissue.domain)[self.box][part] > 0.5
        at = np.argwhere(is_tissue).T + self.backward[:, *part][:, is_tissue]
        moved = ndimage.map_coordinates(logit, at, np.float32, order=3, mode="nearest")
        now = 1 / (1 + np.exp(-moved))
        whole[self.box][part][is_tissue] = np.where(now >= LEAST_DENSITY, now, 0)
        return whole[tissue.box]

    def tissue(self, tissue: Tissue) -> Tissue:
        """The tissue, where it lies now."""
        wm, gm, fluid = (self.carry(part) for part in (tissue.wm, tissue.gm, tissue.fluid))
        return Tissue.from_probabilities(wm, gm, fluid, tissue.grid)


@own_jax()
def displace(tissue: Tissue, u: NDArray[np.float32], *, swelling: float) -> Displacement:
    """Push tissue aside to make room for its tumour.

    Parameters
    ----------
    tissue : Tissue
        The tissue before its displacement. Without `fluid` that yields, all tissue is pressed
        alike.
    u : (nx, ny, nz) float32 array
        Density on the tissue's box, in the tissue as it was.
    swelling : float
        Share by which tissue full of cells swells, >= 0.

    Returns
    -------
    Displacement
    """
    mechanics = _mechanics(tissue)
    whole = embed(u, tissue.box, tissue.grid.shape)
    n_steps = max(1, math.ceil(math.log1p(swelling) / SWELLING_A_STEP))
    backward, least = _flow(
        mechanics.fine,
        mechanics.coarse,
        jnp.log1p(swelling * mechanics.cut(whole)),
        mechanics.yielding,
        np.int32(n_steps),
    )
    inside = tuple(map(slice, shape_of(mechanics.box)))
    return Displacement(np.asarray(backward)[:, *inside], mechanics.box, tissue.grid, float(least))


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["laplacian", "open", "degree"], meta_fields=[]
)
@dataclass(frozen=True, eq=False)
class _Level:
    """The inside of a skull on voxels of one size.

    Attributes
    ----------
    laplacian : Laplacian
        Operator of the pressure; its links are the open faces.
    open : tuple of three (nx, ny, nz) arrays
        Weight of the face to the next voxel along each axis, 1/mm^2; 0 at the skull.
    degree : (nx, ny, nz) array
        Sum of the weights of a voxel's faces; 0 outside.
    """

    laplacian: Laplacian
    open: tuple[Array, ...]
    degree: Array

    @classmethod
    def of(cls, weights: list[NDArray[np.float64]]) -> _Level:
        shape = weights[0].shape
        offsets = (shape[1] * shape[2], shape[2], 1)
        flat = [np.pad(w.ravel(), max(offsets)).astype(np.float32) for w in weights]
        degree = sum(w + np.roll(w, 1, axis) for axis, w in enumerate(weights))
        return cls(
            Laplacian(tuple(map(jnp.asarray, flat)), offsets, shape),
            tuple(jnp.asarray(w, jnp.float32) for w in weights),
            jnp.asarray(degree, jnp.float32),
        )

    def solve(self, source: Array, yielding: Array, start: Array, iterations: int) -> Array:
        """Approach -lap p + c p = source by conjugate gradients, from a start."""
        diagonal = jnp.where(self.degree > 0, self.degree + yielding, 1)
        return cg(
            lambda p: self.apply(p, yielding),
            jnp.where(self.degree > 0, source, 0),
            x0=start,
            tol=TOLERANCE,
            maxiter=iterations,
            M=lambda residual: residual / diagonal,
        )[0]

    def apply(self, p: Array, yielding: Array) -> Array:
        """-lap p + c p inside, p outside."""
        flow = self.laplacian(self.laplacian.flatten(p)).reshape(p.shape)
        return jnp.where(self.degree > 0, yielding * p - flow, p)


class _Mechanics:
    """The inside of a skull, on the tissue's voxels and on those twice as large."""

    def __init__(self, tissue: Tissue) -> None:
        inside = tissue.domain | tissue.fluid
        self.box = bounding_box(inside)
        self._domain = tissue.domain[self.box]
        self._padding = [(0, n % 2) for n in shape_of(self.box)]
        inside = np.pad(inside[self.box], self._padding)
        spacing = tissue.grid.spacing_mm
        weights = face_weights(inside.astype(np.float64), inside, spacing)
        self.fine = _Level.of(weights)
        self.coarse = _Level.of([_coarse_faces(w, axis) for axis, w in enumerate(weights)])
        fluid = self.cut(tissue.fluid)
        self.yielding = jnp.where(inside, fluid + TISSUE_YIELDS * (1 - fluid), 0) / YIELD_MM**2

    @cached_property
    def nearest(self) -> NDArray[np.intp]:
        """For each voxel of the box the index (3, nx, ny, nz) in it of the tissue nearest to it."""
        found: NDArray[np.intp] = ndimage.distance_transform_edt(
            ~self._domain, return_distances=False, return_indices=True
        )
        return found

    def cut(self, values: NDArray[Any]) -> Array:
        """Values of the grid on the box, of even length along each axis."""
        return jnp.asarray(np.pad(values[self.box], self._padding), jnp.float32)


@functools.lru_cache(maxsize=2)
def _mechanics(tissue: Tissue) -> _Mechanics:
    return _Mechanics(tissue)


def _coarse_faces(weights: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Weights of the faces of blocks of 2 x 2 x 2 voxels: the mean of the four in each, over 4."""
    outer: list[slice] = [slice(None)] * 3
    outer[axis] = slice(1, None, 2)  # the faces between a block's second layer and the next block
    faces = weights[tuple(outer)]
    for other in {0, 1, 2} - {axis}:
        even, odd = [slice(None)] * 3, [slice(None)] * 3
        even[other], odd[other] = slice(0, None, 2), slice(1, None, 2)
        faces = (faces[tuple(even)] + faces[tuple(odd)]) / 2
    return faces / 4


@jax.jit
def _flow(
    fine: _Level, coarse: _Level, swelling: Array, yielding: Array, n_steps: Array
) -> tuple[Array, Array]:
    """The backward displacement at the end of the flow, in voxels, and its least Jacobian.

    The displacement e obeys de/ds + v . grad e = -v (what is at a voxel came from e beyond it).
    Differences are taken across open faces, by the midpoint rule in s.
    """
    pressed = (coarse.degree > 0).astype(jnp.float32)
    share_inside = jnp.maximum(_doubled(pressed), 1e-6)

    def pressure_of(source: Array, soft: Array, before: Array) -> Array:
        """Correct the pressure before on large voxels, then on the tissue's own."""
        left = _halved(source - fine.apply(before, soft))
        smooth = coarse.solve(left, _halved(soft), jnp.zeros_like(left), MAX_ITERATIONS)
        # Interpolated from what lies inside the skull alone.
        start = jnp.where(fine.degree > 0, before + _doubled(smooth) / share_inside, 0)
        return fine.solve(source, soft, start, SMOOTHING)

    def half(i: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        """Move from e by the slope at `middle`: half a step to the next middle, then all of it."""
        e, middle, pressure = state
        source, soft = _sample(swelling, middle), _sample(yielding, middle)
        pressure = pressure_of(source, soft, pressure)
        v = [(pressure - _next(pressure, a)) * w for a, w in enumerate(fine.open)]
        length = jnp.where(i % 2 == 0, 0.5, 1.0) / n_steps
        moved = []
        for axis in range(3):
            slope = -_mean_of_faces(v[axis], axis)
            for a in range(3):
                slope -= _mean_of_faces(v[a] * (_next(middle[axis], a) - middle[axis]), a)
            moved.append(e[axis] + length * slope)
        end = jnp.stack(moved)
        return jnp.where(i % 2 == 0, e, end), end, pressure

    e = jnp.zeros((3, *swelling.shape), jnp.float32)
    e, _, _ = jax.lax.fori_loop(0, 2 * n_steps, half, (e, e, jnp.zeros_like(swelling)))
    return e, _least_jacobian(fine, e)


def _least_jacobian(level: _Level, e: Array) -> Array:
    """Least 1 / det(1 + grad e) inside, by differences across open faces."""
    rows = []
    for axis in range(3):
        row = []
        for a, w in enumerate(level.open):
            faces = (w > 0).astype(e.dtype)
            n_faces = jnp.maximum(2 * _mean_of_faces(faces, a), 1)
            slope = 2 * _mean_of_faces(faces * (_next(e[axis], a) - e[axis]), a) / n_faces
            row.append(slope + (1.0 if a == axis else 0.0))
        rows.append(row)
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rows
    room = xx * (yy * zz - yz * zy) - xy * (yx * zz - yz * zx) + xz * (yx * zy - yy * zx)
    return jnp.where(level.degree > 0, 1 / room, 1).min()  # tissue inside out has less than none


def _sample(values: Array, e: Array) -> Array:
    """Values at the voxels' indices plus e, interpolated linearly; 0 outside the box."""
    at = jnp.indices(values.shape, dtype=e.dtype) + e
    return map_coordinates(values, list(at), order=1)


def _next(values: Array, axis: int) -> Array:
    """Value of the next voxel along an axis; 0 beyond the last."""
    padding = [(0, int(a == axis)) for a in range(3)]
    return jnp.pad(jax.lax.slice_in_dim(values, 1, None, axis=axis), padding)


def _mean_of_faces(faces: Array, axis: int) -> Array:
    """Mean of a voxel's two faces along an axis, from the values of those to the next voxel."""
    padding = [(int(a == axis), 0) for a in range(3)]
    return (faces + jnp.pad(jax.lax.slice_in_dim(faces, 0, -1, axis=axis), padding)) / 2


def _halved(values: Array) -> Array:
    """Means of blocks of 2 x 2 x 2 voxels."""
    nx, ny, nz = values.shape
    return values.reshape(nx // 2, 2, ny // 2, 2, nz // 2, 2).mean(axis=(1, 3, 5))


def _doubled(values: Array) -> Array:
    """Interpolated to voxels half as large."""
    return jax.image.resize(values, [2 * n for n in values.shape], "linear")
