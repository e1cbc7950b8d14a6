"""Heads of virtual patients: real anatomies that are not the atlas's, scaled, turned and bent.

ICBM152 is the nonlinear average of 152 young adults (Fonov et al. 2009, 2011), whose T1, grey and
white matter come with nilearn. Its licence lets anybody use, copy, modify and distribute it for any
purpose, without fee, while the notice stays with it: "Copyright (C) 1993-2004 Louis Collins,
McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill University". Nothing of it
is part of this package.

References
----------
V. Fonov et al., "Unbiased nonlinear average age-appropriate brain templates from birth to
adulthood", NeuroImage 47:S102, 2009. V. Fonov et al., "Unbiased average age-appropriate atlases for
pediatric studies", NeuroImage 54:313-327, 2011.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ...atlas import Grid
from ...atlas.grid import LPS_FROM_RAS
from ...atlas.regions import bounding_box
from ..images.point_map import PointMap, affine_about, apply
from ..images.resampling import resample_images
from .smooth_noise import smooth_noise

LEAST_T1 = 0.05
"""Share of the brightest voxel's intensity below which a voxel lies outside the brain."""

SCALE = (1.02, 1.16)
"""Factor by which ICBM152 is larger than a head along each axis: its space is that of Talairach's
atlas, in which brains are large."""

MOST_TURN_DEGREES = 8.0
"""About each axis."""

MOST_SHIFT_MM = 3.0
"""Along each axis."""

BEND_MM = 5.0
"""Largest displacement of the bend along each axis."""

BEND_SD_MM = 22.0
"""Smoothness of the bend: standard deviation of the Gaussian that filters the noise."""

LATTICE_MM = 4.0
"""Distance between the points that store a displacement."""


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A brain without a tumour.

    Attributes
    ----------
    t1 : float32 array of the grid's shape
        In [0, 1], 0 outside the brain.
    wm, gm, csf : float32 array of the grid's shape
        Probabilities of white matter, grey matter and cerebrospinal fluid, 0 outside the brain.
    grid : Grid
    """

    t1: NDArray[np.float32]
    wm: NDArray[np.float32]
    gm: NDArray[np.float32]
    csf: NDArray[np.float32]
    grid: Grid

    @property
    def brain(self) -> NDArray[np.bool_]:
        """Voxels of the brain."""
        return self.t1 > LEAST_T1

    @property
    def solid(self) -> NDArray[np.bool_]:
        """Brain in which tumour cells can live: tissue outweighs fluid."""
        return (self.wm + self.gm > self.csf) & self.brain


@functools.cache
def load_icbm152() -> Anatomy:
    """The average of 152 heads, at 1 mm."""
    from nilearn.datasets import (
        load_mni152_gm_template,
        load_mni152_template,
        load_mni152_wm_template,
    )

    image = load_mni152_template(resolution=1)
    t1, gm, wm = (
        np.asarray(found.dataobj, np.float32)
        for found in (
            image,
            load_mni152_gm_template(resolution=1),
            load_mni152_wm_template(resolution=1),
        )
    )
    brain = t1 > 0
    gm, wm = np.where(brain, gm, 0), np.where(brain, wm, 0)
    csf = np.where(brain, np.clip(1 - gm - wm, 0, 1), np.float32(0))
    return Anatomy(t1, wm, gm, csf, Grid(t1.shape, np.asarray(image.affine)))


ANATOMIES: Mapping[str, Callable[[], Anatomy]] = MappingProxyType({"icbm152": load_icbm152})
"""Anatomies of the heads of virtual patients, in turn."""


def place_head(
    anatomy: Anatomy, shape: tuple[int, int, int], voxel_mm: float, rng: np.random.Generator
) -> tuple[Grid, PointMap]:
    """A grid with LPS axes around a head that is the anatomy scaled, turned, shifted and bent.

    Returns
    -------
    Grid
    PointMap
        Map from the grid's world to the anatomy's.
    """
    box = bounding_box(anatomy.t1 > 0)
    middle = anatomy.grid.to_world([(side.start + side.stop - 1) / 2 for side in box])
    centre = middle + rng.uniform(-MOST_SHIFT_MM, MOST_SHIFT_MM, 3)
    axes = voxel_mm * LPS_FROM_RAS[:3, :3]
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = axes, centre - axes @ ((np.array(shape) - 1) / 2)
    grid = Grid(shape, affine)

    scale = np.diag(rng.uniform(*SCALE, 3))
    turns = rng.uniform(-MOST_TURN_DEGREES, MOST_TURN_DEGREES, 3)
    linear = scale @ Rotation.from_euler("xyz", turns, degrees=True).as_matrix()
    after = affine_about(linear, centre)

    lattice = lattice_of(grid)
    bends = [smooth_noise(lattice.shape, BEND_SD_MM / LATTICE_MM, rng) for _ in range(3)]
    return grid, PointMap(np.eye(4), after, BEND_MM * np.stack(bends, -1), lattice)


def lattice_of(grid: Grid) -> Grid:
    """Points `LATTICE_MM` apart along the axes of a grid, all around it."""
    step = LATTICE_MM / np.array(grid.spacing_mm)
    x, y, z = (np.ceil((np.array(grid.shape) - 1) / step).astype(int) + 1).tolist()
    return Grid((x, y, z), grid.affine @ np.diag([*step, 1.0]))


def points_of(grid: Grid) -> NDArray[np.float64]:
    """World position of each voxel of a grid, (3, n) in C order."""
    return apply(grid.affine, np.indices(grid.shape).reshape(3, -1).astype(np.float64))


def carry(anatomy: Anatomy, grid: Grid, head: PointMap) -> Anatomy:
    """The anatomy on a grid of another world."""
    maps = (anatomy.t1, anatomy.wm, anatomy.gm, anatomy.csf)
    t1, wm, gm, csf = resample_images(maps, anatomy.grid, grid, head)
    return Anatomy(t1, wm, gm, csf, grid)
