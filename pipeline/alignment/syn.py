"""Deformation of one image into another by ANTs' SyN, which begins at an affine map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...dbgen.machine.files import scratch_folder
from ..images.coarsening import in_lps
from ..images.nifti import Scan
from ..images.point_map import inverse
from .ants_worker import RegistrationError, run_registration
from .itk_files import read_itk_affine, read_itk_warp, write_itk_affine
from .transform import AtlasTransform

MOVING = "moving"
"""Names of images that lie on the moving side begin so."""


def bend(
    images: Mapping[str, Scan],
    affine: NDArray[np.float64],
    stage: Sequence[str],
    *,
    seed: int,
    n_threads: int,
) -> AtlasTransform:
    """Run SyN.

    ANTs sees the moving images along their own voxel axes, in one order. So the result depends
    neither on their headers' frames nor on the order and direction of the array's axes.

    Parameters
    ----------
    images : mapping of str to Scan
        Images by name; those of the moving side, `MOVING...`, lie on one grid.
    affine : (4, 4) float array
        From the fixed world to the moving one.
    stage : sequence of str
        Metrics, schedule and masks as antsRegistration takes them, with `{name}` for an image.
    seed : int
        Seed of ANTs' random sampling.
    n_threads : int
        Number of ITK's threads.

    Returns
    -------
    AtlasTransform
        From the fixed world, in place of the atlas's, to the moving one.

    Raises
    ------
    RegistrationError
        If ANTs fails.
    """
    moving = {name: in_lps(scan) for name, scan in images.items() if name.startswith(MOVING)}
    frame = _own_frame(moving[MOVING].grid)
    shown = dict(images) | {
        name: Scan(scan.values, Grid(scan.grid.shape, inverse(frame) @ scan.grid.affine))
        for name, scan in moving.items()
    }
    arguments = ["-d", "3", "-r", "{out}affine.mat", "-o", "[{out}]", *stage]
    arguments += ["--random-seed", str(seed), "--float", "1", "-u", "0", "-z", "1"]
    with scratch_folder() as folder:
        write_itk_affine(folder / "affine.mat", inverse(frame) @ affine)
        run_registration(folder, shown, arguments, n_threads=n_threads)
        affine = frame @ read_itk_affine(folder / "0GenericAffine.mat")
        warp, grid = read_itk_warp(folder / "1Warp.nii.gz")
        inverse_warp, inverse_grid = read_itk_warp(folder / "1InverseWarp.nii.gz")
    if grid != inverse_grid:
        raise RegistrationError(f"ANTs wrote warps on two grids, {grid} and {inverse_grid}")
    return AtlasTransform(affine, warp, inverse_warp, grid)


def _own_frame(grid: Grid) -> NDArray[np.float64]:
    """From the frame of a grid's own voxel axes, in mm from its first voxel, to its world."""
    return grid.affine @ np.diag([*(1 / np.array(grid.spacing_mm)), 1])
