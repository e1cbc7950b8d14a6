"""The map between a patient and the atlas, and what is carried along it.

A registration finds a map of points, patient_from_atlas(x) = A (x + d(x)), with a displacement
field d on the atlas and an affine A, and its inverse atlas_from_patient(y) = z + e(z) with
z = A^-1 y. Images are carried the other way than points: the value at an atlas point x is looked
up in the patient at patient_from_atlas(x), in one interpolation however long the chain.

Here are arrays and arithmetic alone, so that a result depends on nothing but its transform. The
files are those of ANTs and can be used with antsApplyTransforms.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import scipy.io
from numpy.typing import NDArray
from scipy import ndimage

from ..atlas import SIMULATION_GRID, Grid
from ..solver import TumorDensity, TumorMasks
from .nifti import Scan, save_nifti

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From RAS world coordinates (NIfTI) to LPS (ITK, ANTs) and back."""

AFFINE_FILE = "atlas_from_patient_affine.mat"
WARP_FILE = "atlas_from_patient_warp.nii.gz"
INVERSE_WARP_FILE = "patient_from_atlas_warp.nii.gz"
SETTINGS_FILE = "transform.json"

SAMPLE_MM = 1.0
"""Outlines are sampled at least this densely inside each voxel of the target."""

Points = NDArray[np.float64]


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
        if self.affine.shape != (4, 4) or abs(np.linalg.det(self.affine)) < 1e-9:
            raise ValueError(f"the affine must be invertible and 4 x 4, got {self.affine}")

    @classmethod
    def identity(cls, grid: Grid = SIMULATION_GRID) -> AtlasTransform:
        """Map that leaves every point where it is."""
        still = np.zeros((*grid.shape, 3), np.float32)
        return cls(np.eye(4), still, still, grid, {"registration": "none"})

    def patient_from_atlas(self, points_mm: Points) -> Points:
        """Patient coordinates (n, 3) of atlas coordinates (n, 3)."""
        moved = points_mm + _displacement(self.warp, self.grid, points_mm)
        return _apply(self.affine, moved)

    def atlas_from_patient(self, points_mm: Points) -> Points:
        """Atlas coordinates (n, 3) of patient coordinates (n, 3)."""
        straight = _apply(np.linalg.inv(self.affine), points_mm)
        return straight + _displacement(self.inverse_warp, self.grid, straight)

    def masks_to_atlas(self, masks: TumorMasks, grid: Grid = SIMULATION_GRID) -> TumorMasks:
        """Carry a patient's outlines to the atlas.

        A voxel belongs to an outline when at least half of it does: the outline, interpolated
        linearly between its voxel centres, is averaged over points at most 1 mm apart inside each
        voxel of the target. On the 2 mm grid this keeps volume; nearest-neighbour lookup at the
        voxel centres would see one in eight of the patient's 1 mm voxels.

        Parameters
        ----------
        masks : TumorMasks
            On any grid in the patient's world.
        grid : Grid
            In the atlas's world.
        """
        return self._masks(masks, grid, self.patient_from_atlas, self._atlas_box)

    def masks_to_patient(self, masks: TumorMasks, grid: Grid) -> TumorMasks:
        """Carry outlines on the atlas to the patient, as `masks_to_atlas` does."""
        return self._masks(masks, grid, self.atlas_from_patient, self._patient_box)

    def image_to_atlas(self, scan: Scan, grid: Grid, *, nearest: bool = False) -> Scan:
        """Carry a patient's image to a grid on the atlas, by linear interpolation or none.

        Points outside the image get 0. For display on a coarser grid than the image's.
        """
        box = tuple((0, n) for n in grid.shape)
        values = _pull(scan, grid, self.patient_from_atlas, box, order=0 if nearest else 1)
        return Scan(values, grid)

    def image_to_patient(self, scan: Scan, grid: Grid, *, nearest: bool = False) -> Scan:
        """Carry an image on the atlas to a grid in the patient's world; see `image_to_atlas`."""
        box = tuple((0, n) for n in grid.shape)
        values = _pull(scan, grid, self.atlas_from_patient, box, order=0 if nearest else 1)
        return Scan(values, grid)

    def density_to_patient(self, density: TumorDensity, grid: Grid) -> TumorDensity:
        """Carry a tumour density on the atlas to exactly the given grid of the patient's.

        Linear interpolation, which keeps the density inside [0, 1]; 0 outside the atlas.
        """
        scan = Scan(density.u, density.grid)
        box = self._patient_box(_support_box(density.u > 0, density.grid), grid)
        values = _pull(scan, grid, self.atlas_from_patient, box)
        return TumorDensity(np.clip(values, 0, 1), grid)

    def jacobian(self, grid: Grid = SIMULATION_GRID) -> NDArray[np.float32]:
        """Volume in the patient per volume on the atlas, at each voxel of a grid on the atlas.

        det(A) det(I + grad d): above 1 where the patient is larger than the atlas, at most 0
        where the map folds. The volume of a region in the patient is its volume on the atlas
        times the region's mean.
        """
        # d changes along world axis j by sum_k (d d / d index k) (d index k / d x_j).
        by_index = np.stack(
            [np.gradient(self.warp[..., i], axis=(0, 1, 2)) for i in range(3)], axis=0
        )
        to_index = np.linalg.inv(self.grid.affine)[:3, :3]
        gradient = np.einsum("ikxyz,kj->xyzij", by_index, to_index) + np.eye(3)
        local = Scan(np.linalg.det(gradient).astype(np.float32) - 1, self.grid)
        box = tuple((0, n) for n in grid.shape)
        excess = _pull(local, grid, lambda points: points, box)
        return ((excess + 1) * np.linalg.det(self.affine[:3, :3])).astype(np.float32)

    def save(self, folder: str | Path) -> None:
        """Write the whole chain in ANTs' formats into an existing folder.

        The patient's image comes to the atlas by
        `antsApplyTransforms -t atlas_from_patient_warp.nii.gz -t atlas_from_patient_affine.mat`,
        the atlas's to the patient by
        `-t [atlas_from_patient_affine.mat,1] -t patient_from_atlas_warp.nii.gz`.
        """
        folder = Path(folder)
        lps = LPS @ self.affine @ LPS
        parameters = np.concatenate([lps[:3, :3].ravel(), lps[:3, 3]])[:, None]
        content = {"AffineTransform_double_3_3": parameters, "fixed": np.zeros((3, 1))}
        part = folder / f".{AFFINE_FILE}"
        with part.open("wb") as file:
            scipy.io.savemat(file, content, format="4")
        part.replace(folder / AFFINE_FILE)
        for name, vectors in ((WARP_FILE, self.warp), (INVERSE_WARP_FILE, self.inverse_warp)):
            values = (vectors * np.float32([-1, -1, 1]))[:, :, :, None, :]
            image = nib.Nifti1Image(values, None)
            image.set_sform(self.grid.affine, code="scanner")
            image.set_qform(self.grid.affine, code="scanner")
            image.header.set_xyzt_units("mm")
            image.header.set_intent("vector")
            save_nifti(image, folder / name)
        part = folder / f".{SETTINGS_FILE}"
        part.write_text(json.dumps(dict(self.settings), indent=2) + "\n")
        part.replace(folder / SETTINGS_FILE)

    @classmethod
    def load(cls, folder: str | Path) -> AtlasTransform:
        """Read what `save` wrote."""
        folder = Path(folder)
        settings = json.loads((folder / SETTINGS_FILE).read_text())
        affine = read_itk_affine(folder / AFFINE_FILE)
        warp, grid = read_itk_warp(folder / WARP_FILE)
        inverse_warp, _ = read_itk_warp(folder / INVERSE_WARP_FILE)
        return cls(affine, warp, inverse_warp, grid, settings)

    def _masks(
        self,
        masks: TumorMasks,
        grid: Grid,
        point_map: Callable[[Points], Points],
        find_box: Callable[[Box, Grid], VoxelBox],
    ) -> TumorMasks:
        # Fine enough to see the source's voxels, and no finer where the target's are as small.
        n_samples = tuple(int(np.clip(np.ceil(s / SAMPLE_MM - 0.01), 1, 6)) for s in grid.spacing_mm)
        carried = []
        for mask in (masks.core, masks.whole):
            if not mask.any():
                carried.append(np.zeros(grid.shape, bool))
                continue
            box = find_box(_support_box(mask, masks.grid), grid)
            scan = Scan(mask.astype(np.float32), masks.grid)
            carried.append(_pull(scan, grid, point_map, box, n_samples=n_samples) >= 0.5)
        return TumorMasks(carried[0], carried[1], grid)

    def _atlas_box(self, box: Box, grid: Grid) -> VoxelBox:
        # x = A^-1 y - d(x): displaced by no more than the largest |d|.
        reach = np.abs(self.warp).max(axis=(0, 1, 2))
        low, high = _transform_box(np.linalg.inv(self.affine), box)
        return _voxel_box((low - reach, high + reach), grid)

    def _patient_box(self, box: Box, grid: Grid) -> VoxelBox:
        # y = A z with z = x - e(z): displaced before the affine.
        reach = np.abs(self.inverse_warp).max(axis=(0, 1, 2))
        return _voxel_box(_transform_box(self.affine, (box[0] - reach, box[1] + reach)), grid)


def read_itk_affine(path: Path) -> NDArray[np.float64]:
    """Read an ITK affine in Matlab format as a (4, 4) RAS matrix."""
    content = scipy.io.loadmat(path)
    parameters = next(v for k, v in content.items() if k.startswith("AffineTransform_"))
    centre = content["fixed"].ravel().astype(np.float64)
    matrix = parameters.ravel()[:9].reshape(3, 3).astype(np.float64)
    lps = np.eye(4)
    lps[:3, :3] = matrix
    lps[:3, 3] = parameters.ravel()[9:].astype(np.float64) + centre - matrix @ centre
    return LPS @ lps @ LPS


def read_itk_warp(path: Path) -> tuple[NDArray[np.float32], Grid]:
    """Read an ITK displacement field as RAS vectors and their grid."""
    image = nib.load(path)
    vectors = np.asarray(image.dataobj, np.float32).reshape(*image.shape[:3], 3)
    return vectors * np.float32([-1, -1, 1]), Grid(image.shape[:3], image.affine)


Box = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Lowest and highest world coordinates in mm."""

VoxelBox = tuple[tuple[int, int], ...]
"""First voxel and the one after the last, for each array axis."""


def _apply(affine: NDArray[np.float64], points: Points) -> Points:
    return points @ affine[:3, :3].T + affine[:3, 3]


def _sample(values: NDArray[np.float32], voxels: Points, order: int) -> NDArray[np.float32]:
    return ndimage.map_coordinates(
        values, voxels.T, output=np.float32, order=order, mode="constant", prefilter=False
    )


def _displacement(field_: NDArray[np.float32], grid: Grid, points: Points) -> NDArray[np.float32]:
    voxels = grid.to_voxel(points)
    return np.stack([_sample(field_[..., i], voxels, 1) for i in range(3)], axis=-1)


def _support_box(mask: NDArray[np.bool_], grid: Grid) -> Box:
    """World box around everything that interpolation between the mask's voxels can reach."""
    if not mask.any():
        return np.zeros(3), np.zeros(3)
    spans = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != k))) for k in range(3)]
    edges = [(span[0] - 1, span[-1] + 1) for span in spans]
    corners = grid.to_world(np.stack(np.meshgrid(*edges), -1).reshape(-1, 3))
    return corners.min(axis=0), corners.max(axis=0)


def _transform_box(affine: NDArray[np.float64], box: Box) -> Box:
    corners = _apply(affine, np.stack(np.meshgrid(*zip(*box, strict=True)), -1).reshape(-1, 3))
    return corners.min(axis=0), corners.max(axis=0)


def _voxel_box(box: Box, grid: Grid) -> VoxelBox:
    low, high = _transform_box(np.linalg.inv(grid.affine), box)
    first = np.clip(np.floor(low).astype(int) - 1, 0, grid.shape)
    last = np.clip(np.ceil(high).astype(int) + 2, 0, grid.shape)
    return tuple((int(a), int(b)) for a, b in zip(first, last, strict=True))


def _pull(
    scan: Scan,
    grid: Grid,
    point_map: Callable[[Points], Points],
    box: VoxelBox,
    *,
    order: int = 1,
    n_samples: tuple[int, ...] = (1, 1, 1),
) -> NDArray[np.float32]:
    """Value at each voxel of a box of the target: mean of the source at its mapped sub-points."""
    out = np.zeros(grid.shape, np.float32)
    source = np.ascontiguousarray(scan.values, np.float32)
    offsets = np.stack(
        np.meshgrid(*[(np.arange(n) + 0.5) / n - 0.5 for n in n_samples]), -1
    ).reshape(-1, 3)
    for block in _blocks(box):
        axes = [np.arange(start, stop) for start, stop in block]
        centres = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
        total = np.zeros(len(centres), np.float32)
        for offset in offsets:
            points = point_map(grid.to_world(centres + offset))
            total += _sample(source, scan.grid.to_voxel(points), order)
        shape = tuple(len(a) for a in axes)
        out[tuple(slice(*b) for b in block)] = (total / len(offsets)).reshape(shape)
    return out


def _blocks(box: VoxelBox, n_voxels: int = 1 << 19) -> Iterator[VoxelBox]:
    """Slabs of the box along its first axis, few enough voxels each to stay in little memory."""
    area = max(1, (box[1][1] - box[1][0]) * (box[2][1] - box[2][0]))
    thickness = max(1, n_voxels // area)
    for start in range(box[0][0], box[0][1], thickness):
        yield ((start, min(start + thickness, box[0][1])), box[1], box[2])
