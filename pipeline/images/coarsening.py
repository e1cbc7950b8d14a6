"""Scans on coarser or more even grids, and in one order of axes: what registrations compare.

An image has the same blocks whatever the order and direction of its axes.
"""

from __future__ import annotations

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas import Grid
from ...atlas.grid import flip_lps
from ...atlas.regions import mean_of_blocks
from .nifti import Scan


def in_lps(scan: Scan) -> Scan:
    """A scan with its axes in the order left, posterior, superior, as far as they run along these.

    Nothing is interpolated; a scan that has this order is left as it is.

    Parameters
    ----------
    scan : Scan

    Returns
    -------
    Scan
    """
    own = nib.io_orientation(scan.grid.affine)
    turn = nib.orientations.ornt_transform(own, nib.orientations.axcodes2ornt("LPS"))
    values = nib.apply_orientation(scan.values, turn)
    affine = scan.grid.affine @ nib.orientations.inv_ornt_aff(turn, scan.grid.shape)
    return Scan(values, Grid(values.shape, affine))


def coarsen(scan: Scan, spacing_mm: float) -> Scan:
    """Average blocks of voxels until they measure about `spacing_mm`; never refine.

    Blocks that are not full, filled up with 0, lie at the left, posterior or superior end.

    Parameters
    ----------
    scan : Scan
    spacing_mm : float
        Voxel size to come close to.

    Returns
    -------
    Scan
        On a grid of its own in the same world.
    """
    block = np.array([max(1, round(spacing_mm / s)) for s in scan.grid.spacing_mm])
    missing = -np.array(scan.grid.shape) % block
    before = np.where(_leads_to_lps(scan.grid), 0, missing)
    values = np.pad(scan.values, np.stack([before, missing - before], axis=1))
    affine = scan.grid.affine.copy()
    affine[:3, 3] = scan.grid.to_world((block - 1) / 2 - before)
    affine[:3, :3] *= block
    mean = mean_of_blocks(values, block.tolist())
    return Scan(mean, Grid(mean.shape, affine))


def coarsen_within(scan: Scan, within: NDArray[np.bool_], spacing_mm: float) -> Scan:
    """`coarsen` what a scan shows in a region: means over the region's part of each block.

    Parameters
    ----------
    scan : Scan
        0 outside the region.
    within : (nx, ny, nz) bool array
        The region, on the scan's grid.
    spacing_mm : float
        Voxel size to come close to.

    Returns
    -------
    Scan
        0 in blocks of which less than half lies in the region.
    """
    coarse = coarsen(scan, spacing_mm)
    share = coarsen(Scan(within.astype(np.float32), scan.grid), spacing_mm).values
    values = np.where(share >= 0.5, coarse.values / np.maximum(share, 0.5), 0)
    return Scan(values.astype(np.float32), coarse.grid)


def even_out(scan: Scan, spacing_mm: float) -> Scan:
    """Bring thick and thin axes alike to about `spacing_mm`: average, then interpolate linearly.

    Pyramids shrink all axes by one factor, which would leave nothing of 26 thick slices.

    Parameters
    ----------
    scan : Scan
    spacing_mm : float
        Voxel size to come close to.

    Returns
    -------
    Scan
        On a grid of its own in the same world.
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


def _leads_to_lps(grid: Grid) -> NDArray[np.bool_]:
    """Whether each axis leads to the left, posterior or superior, rather than away from it."""
    steps = flip_lps(grid.affine[:3, :3].T)
    main = np.abs(steps).argmax(axis=1)
    return steps[range(3), main] > 0
