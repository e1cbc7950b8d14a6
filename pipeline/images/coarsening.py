"""Scans on coarser or more even grids: what registrations compare."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ...atlas import Grid
from .nifti import Scan


def coarsen(scan: Scan, spacing_mm: float) -> Scan:
    """Average blocks of voxels until they measure about `spacing_mm`; never refine."""
    block = [max(1, round(spacing_mm / s)) for s in scan.grid.spacing_mm]
    padding = [(0, -n % k) for n, k in zip(scan.grid.shape, block, strict=True)]
    values = np.pad(scan.values, padding)
    n = [size // k for size, k in zip(values.shape, block, strict=True)]
    blocks = values.reshape(n[0], block[0], n[1], block[1], n[2], block[2])
    affine = scan.grid.affine.copy()
    affine[:3, 3] = scan.grid.to_world([(k - 1) / 2 for k in block])
    affine[:3, :3] *= block
    mean = blocks.mean(axis=(1, 3, 5), dtype=np.float64).astype(np.float32)
    return Scan(mean, Grid(mean.shape, affine))


def even_out(scan: Scan, spacing_mm: float) -> Scan:
    """Bring thick and thin axes alike to about `spacing_mm`: average, then interpolate linearly.

    Pyramids shrink all axes by one factor, which would leave nothing of 26 thick slices.
    """
    coarse = coarsen(scan, spacing_mm)
    pairs = list(zip(coarse.grid.shape, coarse.grid.spacing_mm, strict=True))
    sizes = [round((n - 1) * s / spacing_mm) + 1 for n, s in pairs]
    if sizes == list(coarse.grid.shape):
        return coarse
    steps = [(n - 1) / (m - 1) if m > 1 else 1.0 for m, (n, _) in zip(sizes, pairs, strict=True)]
    values = ndimage.affine_transform(
        coarse.values, np.diag(steps), output_shape=sizes, order=1, mode="nearest"
    )
    return Scan(values, Grid(values.shape, coarse.grid.affine @ np.diag([*steps, 1])))
