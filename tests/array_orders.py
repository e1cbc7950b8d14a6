"""One image in every order and direction of its array's axes."""

import itertools

import numpy as np

from glioquery.atlas import Grid

ORDERS = [
    (axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product((1, -1), repeat=3)
]
"""All 48: axes of the array, and whether each is read forwards or backwards."""

SAGITTAL = ((1, 2, 0), (1, -1, -1))
"""From axes left, posterior, superior: to the back and down in each plane, planes to the right."""


def reordered(values, grid, order):
    """The same image with its array's axes in another order and direction."""
    axes, flips = order
    turned = np.transpose(values, axes)[tuple(slice(None, None, flip) for flip in flips)]
    affine = np.eye(4)
    affine[:3, :3] = grid.affine[:3, :3][:, axes] * flips
    first = np.zeros(3)
    for axis, flip in zip(axes, flips, strict=True):
        first[axis] = 0 if flip > 0 else grid.shape[axis] - 1
    affine[:3, 3] = grid.to_world(first)
    return turned, Grid(turned.shape, affine)
