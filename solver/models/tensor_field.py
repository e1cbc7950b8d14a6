"""A field of diffusion tensors, read from NIfTI into one frame: RAS world."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas import Grid
from ...atlas.header_frames import FRAMES_APART_MM, require_one_size
from ...errors import InputError, one_line
from ...paths import StrPath
from ..tissue import Tissue

TENSOR_VARIABLE = "GLIOQUERY_TENSOR"
"""Environment variable that names the file which the setting tensor = "atlas" stands for. A
database whose own file of the same content has moved takes it, too."""

COMPONENTS = ("xx", "xy", "xz", "yy", "yz", "zz")
"""Order of the six components in memory and in the files that `TensorField.to_nifti` writes."""
SYMMATRIX = 1005
SYMMATRIX_ORDER = "xx,xy,yy,xz,yz,zz"
"""NIfTI's intent code of symmetric matrices, and its order: the lower triangle row by row."""
OWN_INTENT = "glioquery tensor"
"""Name of the intent in files that `TensorField.to_nifti` writes: the frame is the world's."""
FRAMES = ("world", "voxel", "fsl")
INDEFINITE = 1e-5
"""Negative eigenvalue, relative to the largest component, that passes as rounding."""
WHITE_OVER_GREY = 10.0
"""White over grey diffusivity of the isotropic model."""
_SQUARE = np.array([[0, 1, 2], [1, 3, 4], [2, 4, 5]])


@dataclass(frozen=True, eq=False)
class TensorField:
    """Symmetric positive semi-definite tensors on a grid.

    Two fields of the same content are equal and have the same hash.

    Attributes
    ----------
    values : (nx, ny, nz, 6) float32 array
        Components xx, xy, xz, yy, yz, zz along the axes of the RAS world, relative to `dw`.
    grid : Grid
    source : mapping or None
        Path, frame and order of the file it was read from: with them a database finds it again.

    Raises
    ------
    InputError
        If the shape is not the grid's with six components, a component is not finite, or a tensor
        is not positive semi-definite; the message gives voxel and position.
    """

    values: NDArray[np.float32]
    grid: Grid
    source: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        values = np.array(self.values, dtype=np.float32)
        if values.shape != (*self.grid.shape, 6):
            raise InputError(
                f"a tensor field has shape {(*self.grid.shape, 6)} on its grid, got {values.shape}"
            )
        self._refuse(~np.all(np.isfinite(values), axis=-1), values, "is not finite")
        self._refuse(~_positive_semidefinite(values), values, "is not positive semi-definite")
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    def _refuse(self, bad: NDArray[np.bool_], values: NDArray[Any], fault: str) -> None:
        if not bad.any():
            return
        voxel = np.unravel_index(int(bad.argmax()), bad.shape)
        where = ", ".join(f"{c:g}" for c in self.grid.to_world(voxel))
        components = ", ".join(
            f"{name} {v:g}" for name, v in zip(COMPONENTS, values[voxel], strict=True)
        )
        raise InputError(
            f"the tensor at voxel ({', '.join(str(int(i)) for i in voxel)}), ({where}) mm, {fault} "
            f"({components}), and {int(bad.sum()) - 1} others: correct them, or set those outside "
            "the brain to zero"
        )

    @classmethod
    def from_nifti(
        cls, path: StrPath, *, frame: str, order: str | None = None, own: bool = False
    ) -> TensorField:
        """Read a tensor image.

        Parameters
        ----------
        path : str or os.PathLike
            A 4-D image of six volumes, or a 5-D one (x, y, z, 1, 6).
        frame : {'world', 'voxel', 'fsl'}
            Axes of the components: those of the RAS world (MRtrix), of the file's array (DIPY with
            gradients given along the array's axes), or of FSL's dtifit, which are the array's with
            x turned round where the affine's determinant is positive.
        order : str, optional
            Order of the components, such as "xx,xy,xz,yy,yz,zz" (FSL) or "xx,yy,zz,xy,xz,yz"
            (MRtrix). A file with NIfTI's intent SYMMATRIX does not need it, for the intent fixes
            the order (lower triangle by rows: xx, xy, yy, xz, yz, zz).
        own : bool
            Whether to accept only a file that `to_nifti` wrote.

        Raises
        ------
        InputError
            If the file is not such an image, its header leaves open where it lies (two frames that
            differ, or none), `frame` or `order` is not known, or the tensors are not those of a
            `TensorField`.
        """
        if frame not in FRAMES:
            raise InputError(f"the frame of a tensor is one of {', '.join(FRAMES)}, got {frame!r}")
        image, raw = _read(path)
        if raw.shape[3:] not in ((6,), (1, 6)):
            raise InputError(
                f"tensor {path}: expected six components a voxel, (x, y, z, 6) or (x, y, z, 1, 6), "
                f"got {' x '.join(map(str, raw.shape))}"
            )
        if own and image.header.get_intent()[2] != OWN_INTENT:
            raise InputError(
                f"tensor {path}: another tool wrote it, so that frame and order are open: convert "
                "it with `glioquery tensor-atlas`, or give path, frame and order"
            )
        if order is None and raw.ndim == 5 and int(image.header["intent_code"]) == SYMMATRIX:
            order = SYMMATRIX_ORDER
        if order is None:
            raise InputError(
                f"tensor {path}: the file does not say in which order its components are; give "
                "order, for instance 'xx,xy,xz,yy,yz,zz' (FSL) or 'xx,yy,zz,xy,xz,yz' (MRtrix)"
            )
        names = [name.strip() for name in order.split(",")]
        if sorted(names) != sorted(COMPONENTS):
            raise InputError(f"order names {', '.join(COMPONENTS)}, each once, got {order!r}")
        grid = _grid_of(image, f"tensor {path}")
        components = raw.reshape(*grid.shape, 6)[..., [names.index(c) for c in COMPONENTS]]
        axes = _axes(grid, frame)
        values = components if frame == "world" else rotate(components, axes)
        source = {"path": str(Path(path).absolute()), "frame": frame, "order": ",".join(names)}
        try:
            return cls(values.astype(np.float32), grid, source)
        except InputError as error:
            raise InputError(f"tensor {path}: {error}") from None

    @classmethod
    def from_description(cls, description: Mapping[str, str]) -> TensorField:
        """Read the field that `describe` describes, or one given by path, frame and order.

        Parameters
        ----------
        description : mapping
            As `describe` returns it.

        Returns
        -------
        TensorField

        Raises
        ------
        InputError
            If there is no file, or its content differs from the description; and that of the file
            that `GLIOQUERY_TENSOR` names does so, too.
        """
        known = {"path", "frame", "order", "sha256"}
        if "path" not in description or set(description) - known:
            raise InputError(
                f"a tensor field is described by {', '.join(sorted(known))}, "
                f"got {', '.join(sorted(description)) or 'nothing'}; one made in memory can be "
                "read again once it is saved by to_nifti"
            )
        path, wanted = description["path"], description.get("sha256")
        elsewhere = os.environ.get(TENSOR_VARIABLE)
        if wanted is not None and elsewhere:  # a database may lie on another machine
            order = ",".join(COMPONENTS)
            with contextlib.suppress(InputError):
                moved = cls.from_nifti(elsewhere, frame="world", order=order, own=True)
                if moved.sha256 == wanted:
                    return moved
        try:
            field = cls.from_nifti(
                path, frame=description.get("frame", ""), order=description.get("order")
            )
        except InputError as error:
            if wanted is None:
                raise
            raise InputError(
                f"{error}; where the file has moved, name it with {TENSOR_VARIABLE}, as "
                "`glioquery tensor-atlas` wrote it"
            ) from None
        if wanted not in (None, field.sha256):
            raise InputError(
                f"tensor {path} has changed: its SHA-256 was {wanted}, now it is {field.sha256}"
            )
        return field

    @property
    def image(self) -> nib.Nifti1Image:
        """What `to_nifti` writes."""
        image = nib.Nifti1Image(self.values, self.grid.affine)
        image.header.set_intent("none", name=OWN_INTENT)
        return image

    def to_nifti(self, path: StrPath) -> TensorField:
        """Write the field in the world frame, as (x, y, z, 6), and return it with its source.

        Parameters
        ----------
        path : str or os.PathLike
            Ends in `.nii` or `.nii.gz`.

        Returns
        -------
        TensorField
        """
        nib.save(self.image, path)
        return type(self).from_nifti(path, frame="world", order=",".join(COMPONENTS))

    def describe(self) -> dict[str, str]:
        """Source, if it was read from a file, and SHA-256 of the content.

        Returns
        -------
        dict
        """
        return {**(self.source or {}), "sha256": self.sha256}

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the values and their grid."""
        affine = np.round(self.grid.affine, 4) + 0.0  # a header keeps the affine in float32
        digest = hashlib.sha256(repr((self.grid.shape, affine.tolist())).encode())
        digest.update(np.ascontiguousarray(self.values).tobytes())
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorField) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    def sample(self, positions_mm: NDArray[np.floating]) -> NDArray[np.float64]:
        """Tensors (n, 3, 3) at world positions (n, 3), each component interpolated linearly.

        A mean of positive semi-definite tensors is one: interpolation keeps the property.

        Parameters
        ----------
        positions_mm : (n, 3) array
            World coordinates, mm.

        Returns
        -------
        (n, 3, 3) float64 array

        Raises
        ------
        InputError
            If a position lies outside the field's grid.
        """
        voxels = self.grid.to_voxel(positions_mm)
        outside = ((voxels < -0.501) | (voxels > np.array(self.grid.shape) - 0.499)).any(axis=1)
        if outside.any():
            where = ", ".join(f"{c:g}" for c in positions_mm[int(outside.argmax())])
            raise InputError(
                f"the tensor field ({self.grid}) does not cover the tissue: {int(outside.sum())} "
                f"tissue voxels lie outside it, the first at ({where}) mm"
            )
        components = np.stack(
            [
                ndimage.map_coordinates(
                    self.values[..., c], voxels.T, np.float64, order=1, mode="nearest"
                )
                for c in range(6)
            ],
            axis=-1,
        )
        return components[:, _SQUARE]

    def with_mean_of(self, tissue: Tissue) -> TensorField:
        """The field on the tissue's grid, with the mean diffusivity of the isotropic model.

        T becomes T (p_w + p_g / 10) / (trace T / 3): directions and shapes are those of the
        field, as from water diffusion in mm^2/s, magnitudes those of Fisher-Kolmogorov. A voxel
        whose tensor is zero becomes isotropic.

        Parameters
        ----------
        tissue : Tissue

        Returns
        -------
        TensorField
        """
        inside = tissue.domain
        tensors = self.sample(tissue.grid.to_world(tissue.voxels))
        mean = mean_diffusivity(tensors)
        shapes = np.where(mean > 0, tensors / np.where(mean > 0, mean, 1), np.eye(3))
        factor = tissue.relative_diffusivity(WHITE_OVER_GREY)[inside]
        values = np.zeros((*tissue.grid.shape, 6), dtype=np.float32)
        values[inside] = (factor[:, None, None] * shapes)[:, *_UPPER]
        return TensorField(values, tissue.grid)


def mean_diffusivity(tensors: NDArray[np.float64]) -> NDArray[np.float64]:
    """A third of the trace of tensors (n, 3, 3), as (n, 1, 1)."""
    mean: NDArray[np.float64] = np.trace(tensors, axis1=1, axis2=2)[:, None, None] / 3
    return mean


def _read(path: StrPath) -> tuple[nib.Nifti1Image, NDArray[Any]]:
    """A NIfTI image and its values, whatever their shape."""
    try:
        # No memory map: a file that shrinks while it is used would kill the process.
        image = nib.load(path, mmap=False)
        raw = np.asarray(image.dataobj)
    except Exception as error:  # nibabel raises many kinds, by the way a header is broken
        raise InputError(f"tensor {path}: cannot be read as NIfTI: {one_line(error)}") from error
    if not isinstance(image, nib.Nifti1Pair):
        raise InputError(
            f"tensor {path}: expected a NIfTI image, which says where left and right are, got "
            f"{type(image).__name__}; convert it to .nii.gz"
        )
    if raw.dtype.kind not in "buif":
        raise InputError(f"tensor {path}: expected real numbers, got voxels of type {raw.dtype}")
    return image, raw


def _grid_of(image: nib.Nifti1Image, name: str) -> Grid:
    """The grid in the one frame that a header declares.

    Nobody reads notices about a tensor field, so it refuses what `pipeline.images.headers` notices.
    """
    header = image.header
    frames = {
        kind: affine
        for kind, (affine, code) in {
            "sform": header.get_sform(coded=True), "qform": header.get_qform(coded=True),
        }.items()
        if code > 0
    }  # fmt: skip
    if not frames:
        raise InputError(
            f"{name}: its header declares no orientation (sform and qform codes are 0), so that "
            "left and right of the tensors are unknown; write the frame into it"
        )
    unit = header.get_xyzt_units()[0]
    if unit not in ("mm", "unknown"):
        raise InputError(f"{name}: its header gives sizes in {unit}; expected mm, convert it")
    try:
        grids = [Grid(image.shape[:3], affine) for affine in frames.values()]
    except InputError as error:
        raise InputError(f"{name}: {error}; its header's orientation is broken") from None
    apart_mm = grids[0].apart_mm(grids[-1])
    if apart_mm >= FRAMES_APART_MM:
        raise InputError(
            f"{name}: its header declares two frames that lie {apart_mm:.3g} mm apart (sform and "
            "qform); write the right one into both"
        )
    sizes = np.array(header.get_zooms()[:3], np.float64)
    require_one_size(grids[0], next(iter(frames)), sizes, name)
    return grids[0]


_UPPER = (np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 2, 1, 2, 2]))


def rotate(components: NDArray[Any], axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Express tensors (..., 6) given along `axes` (its columns, world coordinates) in the world."""
    square = np.asarray(components, np.float64)[..., _SQUARE]
    return (axes @ square @ axes.T)[..., *_UPPER]


def _axes(grid: Grid, frame: str) -> NDArray[np.float64]:
    if frame == "world":
        return np.eye(3)
    axes = grid.affine[:3, :3] / np.array(grid.spacing_mm)
    if frame == "fsl" and np.linalg.det(axes) > 0:
        axes = axes * np.array([-1.0, 1.0, 1.0])
    return axes


def _positive_semidefinite(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Whether no eigenvalue is negative: the characteristic polynomial's signs alternate."""
    xx, xy, xz, yy, yz, zz = np.moveaxis(values.astype(np.float64), -1, 0)
    slack = INDEFINITE * np.abs(values).max(axis=-1)
    xx, yy, zz = xx + slack, yy + slack, zz + slack
    minors = xx * yy - xy**2 + xx * zz - xz**2 + yy * zz - yz**2
    determinant = xx * (yy * zz - yz**2) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
    return (xx + yy + zz >= 0) & (minors >= 0) & (determinant >= 0)
