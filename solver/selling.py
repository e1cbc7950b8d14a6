"""Selling's decomposition: a diffusion tensor as a sum of few links with non-negative weights.

Every symmetric positive definite D of three dimensions is

    D = sum over k of  lambda_k e_k e_k^T,    lambda_k >= 0,  e_k integer vectors,  k = 1 .. 6,

so that div(D grad u) becomes a sum of second differences along voxel offsets, none of them with a
negative weight: a monotone, conservative stencil, whichever way the tensor points.

A superbase is four integer vectors b_0 .. b_3 of sum zero, three of which span the lattice. While
two of them, b_i and b_j, meet at an acute angle (b_i . D b_j > 0), Selling's step replaces

    (b_i, b_j, b_k, b_l)  by  (-b_i, b_j, b_k + b_i, b_l + b_i),

which shrinks sum |b|_D^2 by 4 b_i . D b_j. Once all angles are obtuse, lambda_kl = -b_i . D b_j
belongs to the offset b_k x b_l, for each of the six ways to part the four in pairs.

References
----------
E. Selling, "Ueber die binaeren und ternaeren quadratischen Formen", J. Reine Angew. Math.
77:143-229, 1874.
J. Fehrenbach, J.-M. Mirebeau, "Sparse non-negative stencils for anisotropic diffusion", J. Math.
Imaging Vision 49:123-147, 2014.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

PAIRS = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
MAX_STEPS = 200
"""Most steps; a tensor whose eigenvalues lie within a factor 10^4 of each other takes fewer."""
TOLERANCE = 1e-12
"""Cosine (in the metric of D) above which an angle counts as acute."""


def decompose(tensors: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Decompose many tensors at once.

    Parameters
    ----------
    tensors : (n, 3, 3) array
        Symmetric, positive definite (or zero), in index coordinates (voxels, not mm).

    Returns
    -------
    weights : (n, 6) float64 array
        lambda_k >= 0, in the unit of the tensors.
    offsets : (n, 6, 3) int64 array
        e_k, of each vector and its opposite the one whose first non-zero component is positive.

    Raises
    ------
    InputError
        If a tensor is too close to singular to be decomposed.
    """
    d = np.asarray(tensors, dtype=np.float64)
    bases = np.tile(np.vstack([-np.ones(3, np.int64), np.eye(3, dtype=np.int64)]), (len(d), 1, 1))
    open_rows = np.arange(len(d))
    for _ in range(MAX_STEPS):
        b = bases[open_rows]
        gram = b @ d[open_rows] @ b.transpose(0, 2, 1)
        dots = np.stack([gram[:, i, j] for i, j in PAIRS], axis=1)
        lengths = np.sqrt(np.maximum(np.einsum("nii->ni", gram), 0))
        bounds = TOLERANCE * np.stack([lengths[:, i] * lengths[:, j] for i, j in PAIRS], axis=1)
        worst = dots.argmax(axis=1)
        rows = np.arange(len(b))
        acute = dots[rows, worst] > bounds[rows, worst]
        if not acute.any():
            break
        open_rows, b, worst = open_rows[acute], b[acute], worst[acute]
        for pair, (i, j) in enumerate(PAIRS):
            here = worst == pair
            turned = b[here, i][:, None]
            others = [k for k in range(4) if k not in (i, j)]
            b[np.ix_(here, others)] += turned
            b[here, i] *= -1
        bases[open_rows] = b
    else:
        raise InputError(
            f"a tensor of eigenvalues {np.linalg.eigvalsh(d[open_rows[0]]).tolist()} is too close "
            "to singular: bound its anisotropy first"
        )
    gram = bases @ d @ bases.transpose(0, 2, 1)
    weights = np.stack([-gram[:, i, j] for i, j in PAIRS], axis=1)
    offsets = np.stack(
        [np.cross(bases[:, k], bases[:, m]) for k, m in map(_complement, PAIRS)], axis=1
    )
    return np.maximum(weights, 0), _one_of_each(offsets)


def _complement(pair: tuple[int, int]) -> tuple[int, int]:
    k, m = (n for n in range(4) if n not in pair)
    return k, m


def _one_of_each(offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each offset or its opposite: the one whose first non-zero component is positive."""
    signs = np.sign(offsets)
    first = np.argmax(signs != 0, axis=-1)
    leading = np.take_along_axis(signs, first[..., None], axis=-1)
    return offsets * np.where(leading == 0, 1, leading)


def touched_voxels(offset: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    """Voxels, relative to the first, that the segment to the voxel at an offset touches.

    The two ends are left out; a voxel of which the segment touches no more than an edge or a corner
    counts.
    """
    spans = [range(min(0, e), max(0, e) + 1) for e in offset]
    found = []
    for voxel in np.stack(np.meshgrid(*spans, indexing="ij"), -1).reshape(-1, 3).tolist():
        low, high = 0.0, 1.0  # the part of the segment t * offset inside the voxel's cube
        for v, e in zip(voxel, offset, strict=True):
            if e == 0:
                continue
            ends = sorted(((v - 0.5) / e, (v + 0.5) / e))
            low, high = max(low, ends[0]), min(high, ends[1])
        if low <= high + 1e-12 and any(voxel) and tuple(voxel) != tuple(offset):
            found.append((voxel[0], voxel[1], voxel[2]))
    return found
