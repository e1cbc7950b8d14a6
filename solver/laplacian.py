"""The diffusion operator as a weighted graph over the voxels of a box.

    (L u)_i = sum over offsets o of  w_o(i) (u_{i+o} - u_i) - w_o(i-o) (u_i - u_{i-o})

is a sum of fluxes through links between voxels. Each link appears once with each sign, so the sum
of L u over the box is zero whatever the weights (mass is conserved); non-negative weights make it
monotone. Voxels are addressed in one flat array with a guard of zeros at either end: neighbours are
then plain contiguous slices, which XLA turns into vector loops.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from ..errors import InputError


@partial(
    jax.tree_util.register_dataclass, data_fields=["weights"], meta_fields=["offsets", "shape"]
)
@dataclass(frozen=True, eq=False)
class Laplacian:
    """A diffusion operator on a box of voxels, for unit diffusivity.

    Attributes
    ----------
    weights : tuple of (guard + n + guard,) float arrays
        For each offset the weight w_o(i) >= 0 of the link from voxel i to voxel i + o, in 1/mm^2;
        zero where the link would leave the domain or the box.
    offsets : tuple of int
        Distances in the flat array, > 0.
    shape : tuple of three int
        Shape of the box; n is its product.
    """

    weights: tuple[Array, ...]
    offsets: tuple[int, ...]
    shape: tuple[int, int, int]

    @property
    def size(self) -> int:
        """Number of voxels n in the box."""
        return int(np.prod(self.shape))

    @property
    def guard(self) -> int:
        """Length of the zeros kept before and after a flat field."""
        return max(self.offsets)

    def flatten(self, box: NDArray[Any] | Array) -> Array:
        """A field on the box (array of `shape`) as a guarded flat array."""
        return jnp.pad(jnp.ravel(box), self.guard)

    def interior(self, flat: Array) -> Array:
        """The n values of a guarded flat array."""
        return jax.lax.slice(flat, (self.guard,), (self.guard + self.size,))

    def with_interior(self, flat: Array, values: Array) -> Array:
        """A guarded flat array with its n values replaced."""
        return jax.lax.dynamic_update_slice(flat, values, (self.guard,))

    def __call__(self, flat: Array) -> Array:
        """Apply the operator to a guarded flat array; the result has n values, no guard."""
        first, last = self.guard, self.guard + self.size
        u = flat[first:last]
        total = jnp.zeros_like(u)
        for weight, offset in zip(self.weights, self.offsets, strict=True):
            total += weight[first:last] * (flat[first + offset : last + offset] - u)
            total -= weight[first - offset : last - offset] * (
                u - flat[first - offset : last - offset]
            )
        return total


def face_weights(
    diffusivity: NDArray[np.floating],
    domain: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    *,
    mean: str = "harmonic",
) -> list[NDArray[np.float64]]:
    """Weights of the links through voxel faces, for an isotropic diffusivity.

    Parameters
    ----------
    diffusivity : (nx, ny, nz) array
        Diffusivity at the voxel centres relative to that of white matter, >= 0.
    domain : (nx, ny, nz) bool array
        Links to voxels outside the domain get no weight: no flux crosses its boundary.
    spacing_mm : tuple of three float
    mean : {'harmonic', 'arithmetic'}
        How the diffusivity of a face follows from its two voxels. The harmonic mean is exact for
        the flux through two layers in series.

    Returns
    -------
    list of three (nx, ny, nz) float64 arrays
        For each axis the weight, in 1/mm^2, of the link from each voxel to its next neighbour.

    Raises
    ------
    InputError
        If `mean` is neither of the two.
    """
    if mean not in ("harmonic", "arithmetic"):
        raise InputError(f"the face mean is 'harmonic' or 'arithmetic', got {mean!r}")
    d = np.asarray(diffusivity, dtype=np.float64)
    weights = []
    for axis, h in enumerate(spacing_mm):
        here = [slice(None)] * 3
        there = [slice(None)] * 3
        here[axis], there[axis] = slice(None, -1), slice(1, None)
        a, b = d[tuple(here)], d[tuple(there)]
        if mean == "harmonic":
            face = 2 * a * b / np.where(a + b > 0, a + b, 1)
        else:
            face = (a + b) / 2
        weight = np.zeros_like(d)
        weight[tuple(here)] = np.where(domain[tuple(here)] & domain[tuple(there)], face / h**2, 0)
        weights.append(weight)
    return weights


def shifted_slices(
    offset: tuple[int, int, int], shape: tuple[int, ...]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Slices of the voxels i + offset and of the voxels i, where both lie in a box of a shape."""
    pairs = list(zip(offset, shape, strict=True))
    there = tuple(slice(max(0, o), max(0, n + min(0, o))) for o, n in pairs)
    here = tuple(slice(max(0, -o), max(0, n - max(0, o))) for o, n in pairs)
    return there, here
