"""Tensors for tests: one everywhere, a field that winds, and files as other programs write them."""

import math

import nibabel as nib
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


def one_fibre(direction, turn=np.eye(3)):
    v = turn @ (np.array(direction) / np.linalg.norm(direction))
    return 0.2 * np.eye(3) + 0.8 * np.outer(v, v)


def write_fsl(path, tensor, affine, shape=(14, 14, 14)):
    """As dtifit does: along the array's axes, x turned round where the affine turns none."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if np.linalg.det(axes) > 0:
        axes = axes @ np.diag([-1.0, 1, 1])
    _write(path, (axes.T @ tensor @ axes)[UPPER], affine, shape)


def write_mrtrix(path, tensor, affine, shape=(14, 14, 14)):
    """As dwi2tensor does: along the scanner's axes, the diagonal first."""
    _write(path, tensor[UPPER][[0, 3, 5, 1, 2, 4]], affine, shape)


def write_dipy(path, tensor, affine, shape=(14, 14, 14)):
    """The lower triangle along the array's axes, as 5-D symmetric matrices."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    _write(path, (axes.T @ tensor @ axes)[UPPER][[0, 1, 3, 2, 4, 5]], affine, (*shape, 1))


def _write(path, components, affine, shape):
    values = np.broadcast_to(components * 1e-3, (*shape, 6)).astype(np.float32)
    nib.save(nib.Nifti1Image(values, affine), path)
