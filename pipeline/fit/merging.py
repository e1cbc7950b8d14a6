"""A target on larger voxels, where its growths take a fraction of the time.

Voxels are merged in blocks. A block belongs to the tissue if at least half of it does, and to an
outline likewise; grey and white matter are the means over its tissue.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.regions import largest_component
from ...errors import InputError
from ...solver import GrowthModel, Tissue, TumorMasks
from ..images.coarsening import coarsen
from ..images.nifti import Scan
from .trajectory import Target

LEAST_VOXELS = 50
"""Fewest merged voxels of the whole outline: below that a shape is lost, and little time saved."""


def on_voxels_of(target: Target, voxel_mm: float) -> Target:
    """A target on voxels of about a size; itself where its voxels are not to be merged.

    These are voxels of that size or larger, a tumour that would be too few of them or lie in none
    of their tissue, and a model with a setting that may lie on a grid of its own.

    Parameters
    ----------
    target : Target
    voxel_mm : float
        Voxel size to come close to; 0 for the target's own.

    Returns
    -------
    Target
        In the same world.
    """
    if max(target.tissue.grid.spacing_mm) >= voxel_mm or _may_lie_on_a_grid(target.model):
        return target
    tissue, masks = _merged_tissue(target.tissue, voxel_mm), target.masks
    grid = tissue.grid
    if grid == target.tissue.grid:  # no whole number of voxels comes closer to the size
        return target
    core, whole = (
        _means(mask, target.tissue.grid, voxel_mm).values >= 0.5
        for mask in (masks.core, masks.whole)
    )
    if whole.sum() < LEAST_VOXELS or (masks.core.any() and not core.any()):
        return target
    try:
        return replace(target, masks=TumorMasks(core, whole, grid), tissue=tissue)
    except InputError:  # nothing to grow into
        return target


def _merged_tissue(tissue: Tissue, voxel_mm: float) -> Tissue:
    wm, gm = (_means(values, tissue.grid, voxel_mm) for values in (tissue.wm, tissue.gm))
    fluid = _means(tissue.fluid, tissue.grid, voxel_mm).values
    share = wm.values + gm.values
    domain = largest_component(share >= 0.5)
    total = np.where(domain, share, 1)
    return Tissue(
        wm=np.where(domain, wm.values / total, 0).astype(np.float32),
        gm=np.where(domain, gm.values / total, 0).astype(np.float32),
        domain=domain,
        grid=wm.grid,
        fluid=(share + fluid >= 0.5) & ~domain,
    )


def _means(values: NDArray[np.generic], grid: Grid, voxel_mm: float) -> Scan:
    return coarsen(Scan(values.astype(np.float32), grid), voxel_mm)


def _may_lie_on_a_grid(model: GrowthModel) -> bool:
    """Whether a setting is neither a number nor a string, as diffusion tensors are."""
    return any(hasattr(value, "describe") for value in vars(model).values())
