"""Small anatomies for tests, and how far two densities are apart."""

import numpy as np

from glioquery.atlas import Grid
from glioquery.solver import Tissue


def blocky_tissue(shape=(20, 22, 18), spacing=(2.0, 2.0, 2.0), seed=0):
    """A small brain: white and grey matter in smooth patches, with CSF holes."""
    rng = np.random.default_rng(seed)
    x, y, z = np.indices(shape) / np.array(shape)[:, None, None, None]
    wave = np.sin(9 * x + rng.uniform(0, 6)) + np.sin(8 * y + 3 * z) + np.cos(7 * z - 2 * x)
    wm = np.clip(0.5 + 0.3 * wave, 0, 1)
    csf = (np.cos(11 * y - 4 * x) * np.cos(9 * z) > 0.75).astype(float)
    wm, gm = wm * (1 - csf), (1 - wm) * (1 - csf)
    return Tissue.from_probabilities(wm, gm, csf, Grid(shape, np.diag([*spacing, 1.0])))


def uniform_tissue(shape, spacing=(2.0, 2.0, 2.0)):
    ones, zeros = np.ones(shape), np.zeros(shape)
    return Tissue.from_probabilities(ones, zeros, zeros, Grid(shape, np.diag([*spacing, 1.0])))


def relative_l2(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def middle(tissue):
    voxel = tissue.voxels[len(tissue.voxels) // 2]
    return tuple(tissue.grid.to_world(voxel + 0.3))
