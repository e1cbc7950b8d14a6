"""The map between a patient and the atlas.

A registration finds a map of points, patient_from_atlas(x) = A (x + d(x)), with a displacement
field d on the atlas and an affine A, and its inverse atlas_from_patient(y) = z + e(z) with
z = A^-1 y. Images are carried the other way than points: the value at an atlas point x is looked
up in the patient at patient_from_atlas(x).

Here are arrays and arithmetic alone, so that a result depends on nothing but its transform. The
files are those of ANTs and can be used with antsApplyTransforms.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import SIMULATION_GRID, Grid
from ...dbgen.machine.files import write_json
from ...errors import InputError
from ...paths import StrPath
from ...solver import TumorDensity, TumorMasks
from ..images.nifti import Scan
from ..images.point_map import PointMap, Points, inverse
from ..images.resampling import resample_image, resample_in_tissue, resample_masks
from .itk_files import read_itk_affine, read_itk_warp, write_itk_affine, write_itk_warp

AFFINE_FILE = "atlas_from_patient_affine.mat"
WARP_FILE = "atlas_from_patient_warp.nii.gz"
INVERSE_WARP_FILE = "patient_from_atlas_warp.nii.gz"
SETTINGS_FILE = "transform.json"

STILL_GRID = Grid(
    (4, 4, 4), np.array([[64, 0, 0, -215.5], [0, 64, 0, 23.5], [0, 0, 64, -18.5], [0, 0, 0, 1.0]])
)
"""Grid of displacements that are zero everywhere: the simulation cube in few voxels."""


@dataclass(frozen=True, eq=False)
class AtlasTransform:
    """An invertible map between a patient's world and the atlas's, both RAS in mm.

    Attributes
    ----------
    affine : (4, 4) float array
        A: from atlas coordinates, once displaced, to patient coordinates.
    warp : (nx, ny, nz, 3) float32 array
        d(x) in mm along RAS axes on `grid`; zero outside it.
    inverse_warp : (nx, ny, nz, 3) float32 array
        e(z), likewise.
    grid : Grid
        The displacement fields' grid, in atlas coordinates.
    settings : mapping
        How the transform was found (metric, iterations, seed, threads, versions); JSON values.
    """

    affine: NDArray[np.float64]
    warp: NDArray[np.float32]
    inverse_warp: NDArray[np.float32]
    grid: Grid
    settings: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("warp", "inverse_warp"):
            if getattr(self, name).shape != (*self.grid.shape, 3):
                raise ValueError(
                    f"{name} holds one vector for each voxel of {self.grid}, got an array of "
                    f"{getattr(self, name).shape}"
                )
        if min(self.grid.shape) < 2:
            raise ValueError(f"displacements have two voxels or more along each axis: {self.grid}")
        affine = self.affine
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ValueError(f"the affine has 4 x 4 finite numbers, got {affine}")
        if not np.allclose(affine[3], (0, 0, 0, 1)) or abs(np.linalg.det(affine)) < 1e-9:
            raise ValueError(f"the affine is invertible, with 0 0 0 1 as its last row: {affine}")

    @classmethod
    def linear(
        cls, affine: NDArray[np.float64], settings: Mapping[str, object] | None = None
    ) -> AtlasTransform:
        """Map without displacements.

        Parameters
        ----------
        affine : (4, 4) float array
            From the atlas's world to the patient's, mm.
        settings : mapping, optional
            Settings of the registration, to be recorded.

        Returns
        -------
        AtlasTransform
        """
        still = np.zeros((*STILL_GRID.shape, 3), np.float32)
        return cls(affine, still, still, STILL_GRID, dict(settings or {}))

    @property
    def to_atlas(self) -> PointMap:
        """Where points of the atlas lie in the patient: what carries images to the atlas."""
        return PointMap(np.eye(4), self.affine, self.warp, self.grid)

    @property
    def to_patient(self) -> PointMap:
        """Where points of the patient lie on the atlas: what carries images to the patient."""
        return PointMap(inverse(self.affine), np.eye(4), self.inverse_warp, self.grid)

    def patient_from_atlas(self, points_mm: Points) -> Points:
        """Patient coordinates (n, 3) of atlas coordinates (n, 3).

        Parameters
        ----------
        points_mm : (n, 3) float array
            In the atlas's world, mm.

        Returns
        -------
        (n, 3) float array
            In the patient's world, mm.
        """
        return self.to_atlas.points(points_mm)

    def atlas_from_patient(self, points_mm: Points) -> Points:
        """Atlas coordinates (n, 3) of patient coordinates (n, 3).

        Parameters
        ----------
        points_mm : (n, 3) float array
            In the patient's world, mm.

        Returns
        -------
        (n, 3) float array
            In the atlas's world, mm.
        """
        return self.to_patient.points(points_mm)

    def masks_to_atlas(self, masks: TumorMasks, grid: Grid = SIMULATION_GRID) -> TumorMasks:
        """Carry a patient's outlines to a grid on the atlas; see `resample_masks`.

        Parameters
        ----------
        masks : TumorMasks
            In the patient's world.
        grid : Grid
            In the atlas's world.

        Returns
        -------
        TumorMasks
        """
        return resample_masks(masks, grid, self.to_atlas)

    def masks_to_patient(self, masks: TumorMasks, grid: Grid) -> TumorMasks:
        """Carry outlines on the atlas to a grid in the patient's world.

        Parameters
        ----------
        masks : TumorMasks
            In the atlas's world.
        grid : Grid
            In the patient's world.

        Returns
        -------
        TumorMasks
        """
        return resample_masks(masks, grid, self.to_patient)

    def image_to_atlas(self, scan: Scan, grid: Grid, *, nearest: bool = False) -> Scan:
        """Carry a patient's image to a grid on the atlas, linearly or by the nearest voxel.

        This is for display, on a grid coarser than the image's.

        Parameters
        ----------
        scan : Scan
            In the patient's world.
        grid : Grid
            In the atlas's world.
        nearest : bool
            Whether to take the nearest voxel's value instead of linear interpolation.

        Returns
        -------
        Scan
        """
        return resample_image(scan, grid, self.to_atlas, nearest=nearest)

    def image_to_patient(self, scan: Scan, grid: Grid) -> Scan:
        """Carry an image on the atlas to a grid in the patient's world; see `resample_image`.

        Parameters
        ----------
        scan : Scan
            In the atlas's world.
        grid : Grid
            In the patient's world.

        Returns
        -------
        Scan
        """
        return resample_image(scan, grid, self.to_patient)

    def density_to_patient(
        self, density: TumorDensity, grid: Grid, *, tissue: NDArray[np.bool_] | None = None
    ) -> TumorDensity:
        """Carry a tumour density on the atlas to exactly the given grid of the patient's.

        Linear interpolation, which keeps the density inside [0, 1]; 0 outside the atlas.

        Parameters
        ----------
        density : TumorDensity
        grid : Grid
            In the patient's world.
        tissue : bool array of the density's shape, optional
            Where the density could grow; see `resample_in_tissue`.

        Returns
        -------
        TumorDensity
        """
        if tissue is None:
            carried = self.image_to_patient(Scan(density.u, density.grid), grid)
            return TumorDensity(np.clip(carried.values, 0, 1), grid)
        (values,) = resample_in_tissue([density.u], density.grid, grid, tissue, self.to_patient)
        return TumorDensity(values, grid)

    def jacobian(self, grid: Grid = SIMULATION_GRID) -> NDArray[np.float32]:
        """Volume in the patient per volume on the atlas, at each voxel of a grid on the atlas.

        det(A) det(I + grad d): above 1 where the patient is larger than the atlas, at most 0
        where the map folds. The volume of a region in the patient is its volume on the atlas
        times the region's mean.

        Parameters
        ----------
        grid : Grid
            In the atlas's world.

        Returns
        -------
        float32 array of the grid's shape
        """
        # d changes along world axis j by sum_k (d d / d index k) (d index k / d x_j).
        by_index = np.stack(
            [np.gradient(self.warp[..., i], axis=(0, 1, 2)) for i in range(3)], axis=0
        )
        to_index = np.linalg.inv(self.grid.affine)[:3, :3]
        gradient = np.einsum("ikxyz,kj->xyzij", by_index, to_index) + np.eye(3)
        excess = Scan(np.linalg.det(gradient).astype(np.float32) - 1, self.grid)
        local = resample_image(excess, grid).values + 1
        return (local * np.linalg.det(self.affine[:3, :3])).astype(np.float32)

    def save(self, folder: StrPath) -> None:
        """Write the whole chain in ANTs' formats into an existing folder.

        The patient's image comes to the atlas by
        `antsApplyTransforms -t atlas_from_patient_warp.nii.gz -t atlas_from_patient_affine.mat`,
        the atlas's to the patient by
        `-t [atlas_from_patient_affine.mat,1] -t patient_from_atlas_warp.nii.gz`.

        Parameters
        ----------
        folder : str or os.PathLike
        """
        folder = Path(folder)
        write_itk_affine(folder / AFFINE_FILE, self.affine)
        write_itk_warp(folder / WARP_FILE, self.warp, self.grid)
        write_itk_warp(folder / INVERSE_WARP_FILE, self.inverse_warp, self.grid)
        write_json(folder / SETTINGS_FILE, dict(self.settings))

    @classmethod
    def load(cls, folder: StrPath) -> AtlasTransform:
        """Read what `save` wrote.

        Parameters
        ----------
        folder : str or os.PathLike
            As `save` wrote it.

        Returns
        -------
        AtlasTransform

        Raises
        ------
        InputError
            If a file is missing or is none that `save` wrote, or the displacements of the two
            directions do not lie on one grid.
        """
        folder = Path(folder)
        settings, affine, (warp, grid), (inverse_warp, other) = (
            _read(folder / name, read)
            for name, read in (
                (SETTINGS_FILE, _read_settings),
                (AFFINE_FILE, read_itk_affine),
                (WARP_FILE, read_itk_warp),
                (INVERSE_WARP_FILE, read_itk_warp),
            )
        )
        if other != grid:
            raise InputError(
                f"{folder}: expected {WARP_FILE} and {INVERSE_WARP_FILE} on one grid, got {grid} "
                f"and {other}; give the files of one registration"
            )
        return cls(affine, warp, inverse_warp, grid, settings)


def _read_settings(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _read(path: Path, read: Callable[[Path], Any]) -> Any:
    """What a file of a registration holds."""
    try:
        return read(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; name the folder of a registration") from None
    except Exception as error:  # of json, SciPy, nibabel or zlib: what a damaged file makes of them
        raise InputError(f"{path} is no file of a registration ({error})") from error
