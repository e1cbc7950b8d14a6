"""Tensor fields for tests: one tensor everywhere, and one that winds."""

import math

import numpy as np

from glioquery.atlas import Grid
from glioquery.solver import Tissue
from glioquery.solver.models import TensorField

UPPER = (..., [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2])
"""Index of the six components of a tensor, in the order of a field."""


def box(shape, affine=None):
    """White matter everywhere, on voxels of 2 mm or those of an affine."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else affine
    ones = np.ones(shape)
    return Tissue.from_probabilities(ones, 0 * ones, 0 * ones, Grid(shape, affine))


def rotation(axis, degrees):
    axis = np.array(axis) / np.linalg.norm(axis)
    cross = np.cross(np.eye(3), axis)
    a = math.radians(degrees)
    return np.cos(a) * np.eye(3) - np.sin(a) * cross + (1 - np.cos(a)) * np.outer(axis, axis)


def constant_field(tensor, tissue):
    values = np.broadcast_to(np.asarray(tensor)[UPPER], (*tissue.grid.shape, 6))
    return TensorField(values, tissue.grid)


def winding_field(shape=(20, 22, 18), spacing=2.0, seed=0):
    rng = np.random.default_rng(seed)
    x, y, z = np.indices(shape) / 6.0
    v = np.stack([np.sin(y + z), np.cos(x - z), np.sin(x + 2 * y) + rng.uniform()], axis=-1)
    v /= np.linalg.norm(v, axis=-1, keepdims=True)
    tensor = 0.05 * np.eye(3) + 0.95 * v[..., :, None] * v[..., None, :]
    return TensorField(tensor[UPPER], Grid(shape, np.diag([spacing] * 3 + [1.0])))
