"""The first cells: a small Gaussian that knows where in the voxel it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .tissue import OriginError, Tissue

if TYPE_CHECKING:
    from .models import GrowthModel

SEED_SD_MM = 2.0
"""Standard deviation of the seed: one voxel of the simulation grid."""
SEED_CUT = 3.0
"""Radius of the seed in standard deviations."""
SEED_MASS_MM3 = 8.0
"""Volume integral of the seed's density: one voxel of the simulation grid filled (u0 = 1)."""


def seed_density(tissue: Tissue, origin_mm: ArrayLike) -> NDArray[np.float32]:
    """Density of a tumour at time zero.

    The point mass of Ezhov et al. 2022 (u = 1 in one voxel) is spread as a Gaussian, so that the
    origin may lie anywhere and the density changes smoothly with it. It is cut at three standard
    deviations and to the tissue connected with the origin inside that ball (no cell crosses a
    sulcus), then renormalised to the same mass.

    Parameters
    ----------
    tissue : Tissue
    origin_mm : (3,) array
        RAS world coordinates, mm; inside the tissue.

    Returns
    -------
    float32 array of the tissue's box shape
        Values in [0, 1].

    Raises
    ------
    OriginError
        If the origin lies outside the tissue, or the connected tissue around it is too small to
        hold the seed.
    """
    origin = np.asarray(origin_mm, dtype=np.float64)
    voxel = np.array(tissue.nearest_voxel(origin))
    grid = tissue.grid
    # Where axes are sheared, the planes of voxels lie closer together than the voxels' centres.
    planes_per_mm = np.linalg.norm(np.linalg.inv(grid.affine[:3, :3]), axis=1)
    reach = np.ceil(SEED_CUT * SEED_SD_MM * planes_per_mm).astype(int) + 1
    low = np.maximum(voxel - reach, 0)
    high = np.minimum(voxel + reach + 1, grid.shape)
    around = tuple(slice(a, b) for a, b in zip(low, high, strict=True))

    indices = np.stack(
        np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij"),
        axis=-1,
    )
    distance2 = ((grid.to_world(indices) - origin) ** 2).sum(axis=-1)
    inside = (distance2 <= (SEED_CUT * SEED_SD_MM) ** 2) & tissue.domain[around]
    home = tuple(voxel - low)
    inside[home] = True
    from scipy import ndimage  # here: who plans simulations can spare it

    labels, _ = ndimage.label(inside)
    weight = np.where(labels == labels[home], np.exp(-distance2 / (2 * SEED_SD_MM**2)), 0.0)
    density = weight * (SEED_MASS_MM3 / (weight.sum() * grid.voxel_ml * 1000.0))
    if density.max() > 1:
        raise OriginError(
            f"the tissue connected to the origin {tuple(origin.tolist())} mm is too small to hold "
            f"a seed of {SEED_MASS_MM3:g} mm^3"
        )
    full = np.zeros(grid.shape, dtype=np.float32)
    full[around] = density
    return full[tissue.box]


def seeds_of(
    model: GrowthModel, tissue: Tissue, origin_mm: ArrayLike
) -> tuple[NDArray[np.float32], ...]:
    """The seeds that a model's `initial` takes: at the origin, and at each of `more_origins`.

    Raises
    ------
    OriginError
        As `seed_density`, for each.
    """
    origin = np.asarray(origin_mm, dtype=np.float64)
    more = model.more_origins(tissue, origin) if hasattr(model, "more_origins") else ()
    return tuple(seed_density(tissue, place) for place in (origin, *more))
