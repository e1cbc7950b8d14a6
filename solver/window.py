"""The part of the tissue's box that is computed: it follows the tumour.

A front is pulled by its far tail: cutting the density at 1e-4 would slow it by 6 %, at 1e-12 by
less than the time step's error. A window therefore grows while what it cuts off is still below
`EDGE_DENSITY`, so small that no single step of the default accuracy brings it to 1e-12.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ..atlas.regions import Box
from .laplacian import Laplacian, shifted_slices
from .models import GrowthModel
from .tissue import Tissue

SIZES = (24, 40, 56)
"""Edges, in voxels, of the windows before the whole box: few, since each compiles a program."""

SEED_ROOM_MM = 2.0
"""Least distance, mm, from a seed's rim to a wall of the first window beyond which there is tissue.
Voxels of 0.75 mm and more leave as much in the smallest window. A seed with this room loses up to
8e-5 of a whole run's density in the first step, in relative L2; one whose rim lies at the wall
2e-3."""

EDGE_DENSITY = 1e-15
"""Density at a window's walls beyond which the next step is taken in a larger one."""


@dataclass(frozen=True)
class Window:
    """A box of voxels inside the tissue's box.

    Attributes
    ----------
    start, shape : tuple of three int
        In voxels of the tissue's box.
    """

    start: tuple[int, int, int]
    shape: tuple[int, int, int]

    @property
    def slices(self) -> Box:
        """Index of the window in an array on the box."""
        x, y, z = (slice(a, a + n) for a, n in zip(self.start, self.shape, strict=True))
        return x, y, z

    def holds(self, box: Box) -> bool:
        """Whether a box of voxels of the tissue's box lies in it."""
        return all(
            mine.start <= side.start and side.stop <= mine.stop
            for mine, side in zip(self.slices, box, strict=True)
        )

    def open_walls(self, box_shape: tuple[int, int, int]) -> NDArray[np.float32]:
        """1 for each wall (low x, high x, low y, ...) beyond which there is tissue, else 0."""
        walls = []
        for start, n, whole in zip(self.start, self.shape, box_shape, strict=True):
            walls += [start > 0, start + n < whole]
        return np.array(walls, dtype=np.float32)


def windows_around(voxel: tuple[int, int, int], box_shape: tuple[int, int, int]) -> list[Window]:
    """Windows of rising size around a voxel of the box, the last of them the whole box."""
    windows: list[Window] = []
    for size in (*SIZES, max(box_shape)):
        shape = [min(size, n) for n in box_shape]
        start = [
            min(max(v - n // 2, 0), whole - n)
            for v, n, whole in zip(voxel, shape, box_shape, strict=True)
        ]
        window = Window(
            (start[0], start[1], start[2]),
            (shape[0], shape[1], shape[2]),
        )
        if not windows or window != windows[-1]:
            windows.append(window)
    return windows


class DiffusionOperator:
    """A model's diffusion on a tissue, cut to any window.

    Attributes
    ----------
    box_shape : tuple of three int
    largest_eigenvalue : float
        Upper bound (Gershgorin) of the operator's eigenvalues in magnitude, 1/mm^2.
    whole : Laplacian
        The operator on the whole box.
    """

    def __init__(self, tissue: Tissue, model: GrowthModel, dtype: type = np.float32) -> None:
        self.box_shape = tissue.box_shape
        self._links: dict[tuple[int, int, int], NDArray[np.floating]] = {
            offset: np.ascontiguousarray(weights, dtype)  # windows are cut from it row by row
            for offset, weights in model.links(tissue).items()
        }
        degree = np.zeros(self.box_shape)
        for offset, weights in self._links.items():
            degree += weights
            there, here = shifted_slices(offset, self.box_shape)
            degree[there] += weights[here]
        self.largest_eigenvalue = float(2 * degree.max())
        self.whole = self._cut(Window((0, 0, 0), self.box_shape))

    def on(self, window: Window) -> Laplacian:
        """The operator inside a window; no flux crosses its walls."""
        return self.whole if window.shape == self.box_shape else self._cut(window)

    def without(self, cavity: NDArray[np.bool_]) -> DiffusionOperator:
        """The operator with no flux into or out of some voxels of the box."""
        cut = copy.copy(self)
        cut._links = {}
        for offset, weights in self._links.items():
            there, here = shifted_slices(offset, self.box_shape)
            closed = cavity.copy()
            closed[here] |= cavity[there]
            cut._links[offset] = np.where(closed, 0, weights)
        cut.whole = cut._cut(Window((0, 0, 0), self.box_shape))
        return cut

    def _cut(self, window: Window) -> Laplacian:
        _, ny, nz = window.shape
        offsets = tuple(x * ny * nz + y * nz + z for x, y, z in self._links)
        guard = max(offsets)
        weights = []
        for offset, whole in self._links.items():
            flat = np.zeros(math.prod(window.shape) + 2 * guard, whole.dtype)
            inside = flat[guard : len(flat) - guard].reshape(window.shape)
            _, here = shifted_slices(offset, window.shape)
            inside[here] = whole[window.slices][here]
            weights.append(jnp.asarray(flat))
        return Laplacian(tuple(weights), offsets, window.shape)
