"""The map between a patient and the atlas, and what is carried along it.

A registration finds a map of points, patient_from_atlas(x) = A (x + d(x)), with a displacement
field d on the atlas and an affine A, and its inverse atlas_from_patient(y) = z + e(z) with
z = A^-1 y. Images are carried the other way than points: the value at an atlas point x is looked
up in the patient at patient_from_atlas(x), in one interpolation however long the chain.

Here are arrays and arithmetic alone, so that a result depends on nothing but its transform. The
files are those of ANTs and can be used with antsApplyTransforms.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import scipy.io
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas import SIMULATION_GRID, Grid
from ...dbgen.machine.cores import available_threads
from ...dbgen.machine.files import completed, write_json
from ...paths import StrPath
from ...solver import TumorDensity, TumorMasks
from ..images.nifti import Scan, save_nifti

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From RAS world coordinates (NIfTI) to LPS (ITK, ANTs) and back."""

RAS_FROM_LPS = np.array([-1, -1, 1], np.float32)
"""The same for vectors."""

AFFINE_FILE = "atlas_from_patient_affine.mat"
WARP_FILE = "atlas_from_patient_warp.nii.gz"
INVERSE_WARP_FILE = "patient_from_atlas_warp.nii.gz"
SETTINGS_FILE = "transform.json"

STILL_GRID = Grid(
    (4, 4, 4), np.array([[64, 0, 0, -215.5], [0, 64, 0, 23.5], [0, 0, 64, -18.5], [0, 0, 0, 1.0]])
)
"""Of displacements that are zero everywhere: the simulation cube in few voxels."""

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
    def linear(
        cls, affine: NDArray[np.float64], settings: Mapping[str, object] | None = None
    ) -> AtlasTransform:
        """Map without displacements."""
        still = np.zeros((*STILL_GRID.shape, 3), np.float32)
        return cls(affine, still, still, STILL_GRID, dict(settings or {}))

    @classmethod
    def identity(cls) -> AtlasTransform:
        """Map that leaves every point where it is."""
        return cls.linear(np.eye(4), {"registration": "none"})

    def patient_from_atlas(self, points_mm: Points) -> Points:
        """Patient coordinates (n, 3) of atlas coordinates (n, 3)."""
        return self._to_atlas.map(np.eye(4), points_mm.T, np.eye(4)).T

    def atlas_from_patient(self, points_mm: Points) -> Points:
        """Atlas coordinates (n, 3) of patient coordinates (n, 3)."""
        return self._to_patient.map(np.eye(4), points_mm.T, np.eye(4)).T

    @property
    def _to_atlas(self) -> _Way:
        return _Way(np.eye(4), self.warp, self.grid, self.affine)

    @property
    def _to_patient(self) -> _Way:
        return _Way(inverse(self.affine), self.inverse_warp, self.grid, np.eye(4))

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
        return _carry_masks(masks, grid, self._to_atlas)

    def masks_to_patient(self, masks: TumorMasks, grid: Grid) -> TumorMasks:
        """Carry outlines on the atlas to the patient, as `masks_to_atlas` does."""
        return _carry_masks(masks, grid, self._to_patient)

    def image_to_atlas(self, scan: Scan, grid: Grid, *, nearest: bool = False) -> Scan:
        """Carry a patient's image to a grid on the atlas, by linear interpolation or none.

        Points outside the image get 0. For display on a coarser grid than the image's.
        """
        return Scan(_carry(scan, grid, self._to_atlas, order=0 if nearest else 1), grid)

    def image_to_patient(
        self, scan: Scan, grid: Grid, *, nearest: bool = False, averaged: bool = False
    ) -> Scan:
        """Carry an image on the atlas to a grid in the patient's world; see `image_to_atlas`.

        Averaged, each voxel gets the mean over points at most 1 mm apart inside it, as outlines do.
        """
        n_samples = _samples_in(grid) if averaged else (1, 1, 1)
        order = 0 if nearest else 1
        return Scan(_carry(scan, grid, self._to_patient, order=order, n_samples=n_samples), grid)

    def density_to_patient(
        self, density: TumorDensity, grid: Grid, *, tissue: NDArray[np.bool_] | None = None
    ) -> TumorDensity:
        """Carry a tumour density on the atlas to exactly the given grid of the patient's.

        Linear interpolation, which keeps the density inside [0, 1]; 0 outside the atlas. Where
        the tissue is known, the density is first extended from it into the neighbouring voxels,
        so that the zeros of fluid and skull do not bleed into the interpolation; what is carried
        to less than half tissue is 0.

        Parameters
        ----------
        density : TumorDensity
        grid : Grid
            In the patient's world.
        tissue : bool array of the density's shape, optional
            Where the density could grow.
        """
        if tissue is None:
            values = _carry(Scan(density.u, density.grid), grid, self._to_patient)
            return TumorDensity(np.clip(values, 0, 1), grid)
        (values,) = self.maps_to_patient([density.u], density.grid, grid, tissue)
        return TumorDensity(values, grid)

    def maps_to_patient(
        self,
        maps: Sequence[NDArray[np.float32]],
        source: Grid,
        grid: Grid,
        tissue: NDArray[np.bool_],
    ) -> list[NDArray[np.float32]]:
        """Carry maps of one tissue as `density_to_patient` does, with one search for the points.

        Parameters
        ----------
        maps : sequence of float32 arrays of the source's shape
            In [0, 1].
        source : Grid
        grid : Grid
            In the patient's world.
        tissue : bool array of the source's shape
        """
        extended = [extend_from_tissue(values, tissue) for values in maps]
        domain = tissue.astype(np.float32)
        *carried, share = _carry_all([*extended, domain], source, grid, self._to_patient)
        return [np.where(share < 0.5, np.float32(0), np.clip(values, 0, 1)) for values in carried]

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
        straight = _Way(np.eye(4), np.zeros_like(self.warp), self.grid, np.eye(4))
        excess = _carry(local, grid, straight)
        return ((excess + 1) * np.linalg.det(self.affine[:3, :3])).astype(np.float32)

    def save(self, folder: StrPath) -> None:
        """Write the whole chain in ANTs' formats into an existing folder.

        The patient's image comes to the atlas by
        `antsApplyTransforms -t atlas_from_patient_warp.nii.gz -t atlas_from_patient_affine.mat`,
        the atlas's to the patient by
        `-t [atlas_from_patient_affine.mat,1] -t patient_from_atlas_warp.nii.gz`.
        """
        folder = Path(folder)
        write_itk_affine(folder / AFFINE_FILE, self.affine)
        for name, vectors in ((WARP_FILE, self.warp), (INVERSE_WARP_FILE, self.inverse_warp)):
            values = (vectors * RAS_FROM_LPS)[:, :, :, None, :]
            image = nib.Nifti1Image(values, None)
            image.set_sform(self.grid.affine, code="scanner")
            image.set_qform(self.grid.affine, code="scanner")
            image.header.set_xyzt_units("mm")
            image.header.set_intent("vector")
            save_nifti(image, folder / name)
        write_json(folder / SETTINGS_FILE, dict(self.settings))

    @classmethod
    def load(cls, folder: StrPath) -> AtlasTransform:
        """Read what `save` wrote."""
        folder = Path(folder)
        settings = json.loads((folder / SETTINGS_FILE).read_text())
        affine = read_itk_affine(folder / AFFINE_FILE)
        warp, grid = read_itk_warp(folder / WARP_FILE)
        inverse_warp, _ = read_itk_warp(folder / INVERSE_WARP_FILE)
        return cls(affine, warp, inverse_warp, grid, settings)


def write_itk_affine(path: Path, affine: NDArray[np.float64]) -> None:
    """Write a (4, 4) RAS matrix as an ITK affine in Matlab format."""
    lps = LPS @ affine @ LPS
    parameters = np.concatenate([lps[:3, :3].ravel(), lps[:3, 3]])[:, None]
    content = {"AffineTransform_double_3_3": parameters, "fixed": np.zeros((3, 1))}
    with completed(path) as temporary, temporary.open("wb") as file:
        scipy.io.savemat(file, content, format="4")


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
    return vectors * RAS_FROM_LPS, Grid(image.shape[:3], image.affine)


def extend_from_tissue(
    values: NDArray[np.float32], tissue: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Give each voxel beside tissue the mean of its tissue neighbours, of 26; 0 beyond.

    Linear interpolation between any voxels of which one is tissue then sees no voxel that holds
    no value.
    """
    inside = ndimage.uniform_filter(np.where(tissue, values, 0).astype(np.float32), 3)
    share = ndimage.uniform_filter(tissue.astype(np.float32), 3)
    beside = ~tissue & (share > 0.5 / 27)
    extended = np.where(tissue, values, 0).astype(np.float32)
    extended[beside] = inside[beside] / share[beside]
    return extended


Box = tuple[tuple[int, int], ...]
"""First voxel and the one after the last, for each array axis."""


@dataclass(frozen=True, eq=False)
class _Way:
    """One direction of a transform: p is looked up at after(q + f(q)) with q = before(p).

    Points are (3, n) here: one contiguous row for each coordinate.
    """

    before: NDArray[np.float64]
    field: NDArray[np.float32]
    grid: Grid
    after: NDArray[np.float64]

    def map(
        self, target: NDArray[np.float64], voxels: Points, source: NDArray[np.float64]
    ) -> Points:
        """Voxel indices in the source of voxel indices in the target, given both affines."""
        points = _apply(self.before @ target, voxels)
        at = _apply(inverse(self.grid.affine), points)
        for i in range(3):
            points[i] += _sample(self.field[..., i], at, order=1)
        return _apply(inverse(source) @ self.after, points)

    def find_box(self, source: Box, source_grid: Grid, target: Grid) -> Box:
        """Find the target voxels that a box of source voxels can reach; outside, all is 0."""
        reach = np.abs(self.field).max(axis=(0, 1, 2))
        low, high = _hull(inverse(self.after) @ source_grid.affine, *np.transpose(source))
        back = inverse(self.before @ target.affine)
        low, high = _hull(back, low - reach, high + reach)
        first = np.clip(np.floor(low).astype(int) - 1, 0, target.shape)
        last = np.clip(np.ceil(high).astype(int) + 2, 0, target.shape)
        return tuple((int(a), int(b)) for a, b in zip(first, last, strict=True))


def inverse(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of an affine."""
    return np.linalg.inv(affine).astype(np.float64)


def _apply(affine: NDArray[np.float64], points: Points) -> Points:
    return affine[:3, :3] @ points + affine[:3, 3:]


def _sample(values: NDArray[np.float32], voxels: Points, order: int) -> NDArray[np.float32]:
    return ndimage.map_coordinates(
        values, voxels, output=np.float32, order=order, mode="grid-constant", prefilter=False
    )


def _hull(affine: NDArray[np.float64], low: NDArray, high: NDArray) -> tuple[NDArray, NDArray]:
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1)
    mapped = _apply(affine, corners)
    return mapped.min(axis=1), mapped.max(axis=1)


def _support(values: NDArray) -> Box | None:
    """Box of all voxels whose interpolation can differ from 0, or None where all are 0."""
    spans = [np.flatnonzero(values.any(axis=tuple({0, 1, 2} - {k}))) for k in range(3)]
    if spans[0].size == 0:
        return None
    return tuple((int(span[0]) - 1, int(span[-1]) + 1) for span in spans)


def _samples_in(grid: Grid) -> tuple[int, ...]:
    """Points along each axis of a voxel, at most `SAMPLE_MM` apart."""
    return tuple(int(np.clip(np.ceil(s / SAMPLE_MM - 0.01), 1, 6)) for s in grid.spacing_mm)


def _carry_masks(masks: TumorMasks, grid: Grid, way: _Way) -> TumorMasks:
    n_samples = _samples_in(grid)
    core, whole = (
        _carry(Scan(mask.astype(np.float32), masks.grid), grid, way, n_samples=n_samples) >= 0.5
        for mask in (masks.core, masks.whole)
    )
    return TumorMasks(core, whole, grid)


def _carry(
    scan: Scan,
    grid: Grid,
    way: _Way,
    *,
    order: int = 1,
    n_samples: tuple[int, ...] = (1, 1, 1),
) -> NDArray[np.float32]:
    """Value at each target voxel: mean of the source at the mapped points of a regular pattern."""
    (out,) = _carry_all([scan.values], scan.grid, grid, way, order=order, n_samples=n_samples)
    return out


def _carry_all(
    images: Sequence[NDArray],
    source: Grid,
    grid: Grid,
    way: _Way,
    *,
    order: int = 1,
    n_samples: tuple[int, ...] = (1, 1, 1),
) -> list[NDArray[np.float32]]:
    """Carry images of one grid, as `_carry` does one, on all cores of this process."""
    outs = [np.zeros(grid.shape, np.float32) for _ in images]
    support = _support(functools.reduce(np.logical_or, (image != 0 for image in images)))
    if support is None:
        return outs
    sources = [np.ascontiguousarray(image, np.float32) for image in images]
    steps = [(np.arange(n) + 0.5) / n - 0.5 for n in n_samples]
    offsets = np.stack(np.meshgrid(*steps)).reshape(3, -1).T

    def fill(block: Box) -> None:
        axes = [np.arange(start, stop, dtype=np.float64) for start, stop in block]
        centres = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1)
        totals = [np.zeros(centres.shape[1], np.float32) for _ in sources]
        for offset in offsets:
            voxels = way.map(grid.affine, centres + offset[:, None], source.affine)
            for total, values in zip(totals, sources, strict=True):
                total += _sample(values, voxels, order)
        region = tuple(slice(*span) for span in block)
        for out, total in zip(outs, totals, strict=True):
            out[region] = (total / len(offsets)).reshape([len(a) for a in axes])

    with ThreadPoolExecutor(available_threads()) as pool:
        for _ in pool.map(fill, _blocks(way.find_box(support, source, grid))):
            pass
    return outs


def _blocks(box: Box, n_voxels: int = 1 << 18) -> Iterator[Box]:
    """Slabs of the box along its first axis, each of few enough voxels to stay in the cache."""
    (start, stop), *others = box
    area = max(1, int(np.prod([b - a for a, b in others])))
    thickness = max(1, n_voxels // area)
    for first in range(start, stop, thickness):
        yield ((first, min(first + thickness, stop)), *others)
