"""A virtual patient that a registration and a refinement know well: the atlas itself, deformed.

The patient's head is a smooth random deformation of the atlas, moved and turned. The tumour grows
in the deformed anatomy, so it is in no database. Its T1 gets the tumour's darkening, a bias field
and noise. The images are LPS arrays on a 1 mm grid of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from glioquery.atlas import Grid, load_atlas, load_probabilities
from glioquery.pipeline.images.coarsening import coarsen
from glioquery.pipeline.images.nifti import Scan, write_nifti
from glioquery.pipeline.virtual.smooth_noise import smooth_noise
from glioquery.solver import GrowthParameters, Simulation, Tissue, TumorDensity, simulate

SHAPE = (196, 224, 176)
"""Voxels of the patient's images."""
VOXEL_MM = 1.0
"""Their edge."""
DEFORMATION_MM = 6.0
"""Largest displacement of the anatomy against the atlas, after translation and rotation."""
DEFORMATION_SD_MM = 22.0
"""Smoothness of the deformation: standard deviation of the Gaussian that filters the noise."""
NOISE = 0.03
"""Standard deviation of the noise, share of white matter's intensity."""
BIAS = 0.15
"""Largest deviation of the bias field from 1."""


@dataclass(frozen=True, eq=False)
class VirtualPatient:
    """Files of a virtual patient, and the truth behind them.

    Attributes
    ----------
    t1, seg : Path
        Skull-stripped T1 and segmentation (labels `brats2021`), as `invert` takes them.
    density : TumorDensity
        True density on the images' grid.
    parameters : GrowthParameters
        True growth; the origin is in the patient's world.
    """

    t1: Path
    seg: Path
    density: TumorDensity
    parameters: GrowthParameters


def make_virtual_patient(folder: Path, *, seed: int = 0, whole_ml: float = 110.0) -> VirtualPatient:
    """Make a virtual patient and write the files.

    Parameters
    ----------
    folder : path
        Gets `t1.nii.gz`, `seg.nii.gz` and the truth, `density_true.nii.gz`.
    seed : int
        Decides anatomy, tumour and noise.
    whole_ml : float
        Volume of the whole outline.
    """
    rng = np.random.default_rng([2022, seed])
    atlas = load_atlas()
    grid = _patient_grid(atlas.t1_grid, rng)
    at = _atlas_points(grid, rng)
    t1 = _look_up(atlas.t1, atlas.t1_grid, at)
    maps = {
        name: np.clip(_look_up(values, atlas.t1_grid, at), 0, 1)
        for name, values in load_probabilities().items()
    }
    coarse = {name: coarsen(Scan(values, grid), 2.0) for name, values in maps.items()}
    tissue = Tissue.from_probabilities(
        coarse["wm"].values, coarse["gm"].values, coarse["csf"].values, coarse["wm"].grid
    )
    run = _grow(tissue, rng, whole_ml)
    density = _refine(run.density, grid)
    labels = _labels(density.u)
    folder.mkdir(parents=True, exist_ok=True)
    write_nifti(folder / "t1.nii.gz", _acquire(t1, density.u, rng), grid)
    write_nifti(folder / "seg.nii.gz", labels, grid)
    write_nifti(folder / "density_true.nii.gz", density.u, grid)
    return VirtualPatient(folder / "t1.nii.gz", folder / "seg.nii.gz", density, run.parameters)


def _patient_grid(atlas_grid: Grid, rng: np.random.Generator) -> Grid:
    """An LPS grid around the brain, with an offset of its own."""
    centre = atlas_grid.to_world((np.array(atlas_grid.shape) - 1) / 2) + rng.uniform(-3, 3, 3)
    axes = VOXEL_MM * np.diag([-1.0, -1.0, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = centre - axes @ ((np.array(SHAPE) - 1) / 2)
    return Grid(SHAPE, affine)


def _atlas_points(grid: Grid, rng: np.random.Generator) -> NDArray[np.float32]:
    """World position on the atlas, (3, nx, ny, nz) in mm, of each voxel of the patient."""
    indices = np.indices(grid.shape, dtype=np.float32)
    linear, offset = grid.affine[:3, :3], grid.affine[:3, 3]
    world = np.tensordot(linear, indices, axes=1) + offset[:, None, None, None]
    turn = np.radians(rng.uniform(-6, 6))
    rotation = np.array(
        [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    )
    centre = grid.to_world((np.array(grid.shape) - 1) / 2)[:, None, None, None]
    moved = np.tensordot(rotation, world - centre, axes=1) + centre
    moved += rng.uniform(-4, 4, 3)[:, None, None, None]
    for component in moved:
        component += DEFORMATION_MM * smooth_noise(grid.shape, DEFORMATION_SD_MM / VOXEL_MM, rng)
    return moved.astype(np.float32)


def _look_up(
    values: NDArray[np.float32], grid: Grid, world_mm: NDArray[np.floating]
) -> NDArray[np.float32]:
    inverse = np.linalg.inv(grid.affine)
    voxels = np.tensordot(inverse[:3, :3], world_mm, axes=1) + inverse[:3, 3][:, None, None, None]
    return ndimage.map_coordinates(values, voxels, order=1, output=np.float32)


def _grow(tissue: Tissue, rng: np.random.Generator, whole_ml: float) -> Simulation:
    """A tumour of the volume asked for that begins in the white matter."""
    white = np.argwhere(tissue.wm > 0.9)
    while True:
        origin = tissue.grid.to_world(white[rng.integers(len(white))] + rng.uniform(-0.4, 0.4, 3))
        lambda_mm = rng.uniform(2.2, 4.0)
        rho = rng.uniform(0.02, 0.06)
        parameters = GrowthParameters(tuple(origin), rho * lambda_mm**2, rho, 3000)
        found = simulate(tissue, parameters, snapshot_ml=[whole_ml], stop_ml=whole_ml)
        if found.snapshots:
            return simulate(
                tissue,
                GrowthParameters(parameters.origin_mm, parameters.dw, rho, found.snapshots[0].days),
            )


def _refine(density: TumorDensity, grid: Grid) -> TumorDensity:
    at = np.indices(grid.shape, dtype=np.float32)
    linear, offset = grid.affine[:3, :3], grid.affine[:3, 3]
    world = np.tensordot(linear, at, axes=1) + offset[:, None, None, None]
    return TumorDensity(np.clip(_look_up(density.u, density.grid, world), 0, 1), grid)


def _labels(u: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Oedema from u = 0.2 on, an enhancing rim from 0.6 on, necrosis from 0.85 on."""
    labels = np.zeros(u.shape, np.uint8)
    labels[u >= 0.2] = 2
    labels[u >= 0.6] = 4
    labels[u >= 0.85] = 1
    return labels


def _acquire(
    t1: NDArray[np.float32], u: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """What a scanner would show: the tumour dark on T1, uneven coil sensitivity, noise."""
    brain = t1 > 0
    seen = t1 * (1 - 0.4 * u)
    seen *= 1 + BIAS * smooth_noise(t1.shape, 45.0 / VOXEL_MM, rng)
    seen += NOISE * 700 * rng.standard_normal(t1.shape)
    return np.where(brain, np.clip(np.rint(seen), 1, None), 0).astype(np.float32)
