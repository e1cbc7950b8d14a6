"""NIfTI files in and out, always together with their grid."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ..atlas import Grid
from ..dbgen.files import completed

Intent = Literal["none", "estimate", "label"]
Space = Literal["scanner", "template"]


FRAMES_APART_MM = 0.5
"""Distance of a corner of the image in its sform from that in its qform that is more than
rounding in a header."""


COMPRESSION = 1
"""Level of gzip: higher ones take much longer and gain little."""


class InputError(ValueError):
    """A file or option of the user's does not fit; the message is one line that says what to do."""


@dataclass(frozen=True, eq=False)
class Scan:
    """Values on a voxel grid.

    Attributes
    ----------
    values : float32 array of the grid's shape
    grid : Grid
    """

    values: NDArray[np.float32]
    grid: Grid


@dataclass(frozen=True, eq=False)
class NiftiFile:
    """What is taken from a NIfTI file; nothing else of its header goes any further.

    Attributes
    ----------
    values : three-dimensional array
        Scaled values in the file's order of axes.
    grid : Grid
    has_orientation : bool
        False where neither sform nor qform is declared, so that left and right are unknown.
    has_two_frames : bool
        Whether sform and qform are both declared and lay a corner `FRAMES_APART_MM` or more apart.
    sha256 : str
        Of the file's bytes.
    """

    values: NDArray
    grid: Grid
    has_orientation: bool
    has_two_frames: bool
    sha256: str


def read_nifti(path: str | Path, role: str) -> NiftiFile:
    """Read one volume.

    Parameters
    ----------
    path : str or Path
        A `.nii` or `.nii.gz`; trailing axes of length one are dropped.
    role : str
        What the file is to the user ("T1", "segmentation"); opens every message.

    Raises
    ------
    InputError
        If the file is missing, not a readable NIfTI, holds other than one 3-D volume of real
        numbers, or its affine is not invertible.
    """
    path = Path(path)
    name = f"{role} {path}"
    if not path.is_file():
        raise InputError(f"{name}: no such file; check the path")
    try:
        image = nib.load(path)
    except Exception as error:  # nibabel raises many kinds, by the way a header is broken
        reason = "; ".join(str(error).split("\n"))
        raise InputError(
            f"{name}: expected a NIfTI image (.nii or .nii.gz), but it cannot be read as one "
            f"({reason}); convert it first, for instance with dcm2niix"
        ) from error
    if not isinstance(image, nib.Nifti1Image):  # a pair of files is another class
        raise InputError(
            f"{name}: expected a NIfTI image in one file (.nii or .nii.gz), got "
            f"{type(image).__name__}; convert it to .nii.gz"
        )
    shape = image.shape
    if len(shape) < 3 or min(shape) < 1 or any(n != 1 for n in shape[3:]):
        raise InputError(
            f"{name}: expected one 3-D volume, got an array of {' x '.join(map(str, shape))}; "
            "extract the volume that is wanted"
        )
    try:
        values = np.asarray(image.dataobj).reshape(shape[:3])
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            f"{name}: the image data cannot be read, the file is truncated or damaged; "
            "copy or export it again"
        ) from error
    if values.dtype.kind not in "buif":
        raise InputError(f"{name}: expected real numbers, got voxels of type {values.dtype}")
    try:
        grid = Grid(shape[:3], image.affine)
    except ValueError as error:
        raise InputError(
            f"{name}: {error}; the header's orientation is broken, export the image again"
        ) from error
    codes = int(image.header["sform_code"]), int(image.header["qform_code"])
    return NiftiFile(
        values=values,
        grid=grid,
        has_orientation=any(code > 0 for code in codes),
        has_two_frames=all(code > 0 for code in codes) and _frames_differ(image),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _frames_differ(image: nib.Nifti1Image) -> bool:
    try:
        qform = image.get_qform()
    except ValueError:  # no unit quaternion
        return True
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(image.shape[:3]) - 1)
    apart = image.get_sform() - qform
    moved = corners @ apart[:3, :3].T + apart[:3, 3]
    return bool(np.linalg.norm(moved, axis=1).max() >= FRAMES_APART_MM)


def write_nifti(
    path: str | Path,
    values: NDArray,
    grid: Grid,
    *,
    intent: Intent = "none",
    space: Space = "scanner",
) -> None:
    """Write a volume with nothing in its header but geometry; the file appears when complete.

    The affine is written as sform and, unless it is sheared (which a qform cannot say), as qform,
    both with one code. Booleans are stored as uint8, floating-point numbers as float32, integers
    of eight bytes, which few programs read, as int32.

    Parameters
    ----------
    path : str or Path
        Ends in `.nii` or `.nii.gz`; replaced where it exists.
    values : array of the grid's shape, any further axes behind
    grid : Grid
    intent : {'none', 'estimate', 'label'}
        What a voxel holds: an intensity, an estimated quantity, or a label.
    space : {'scanner', 'template'}
        Whose world it is: the patient's, or an atlas's.

    Raises
    ------
    ValueError
        If the values are not on the grid, or are integers beyond int32.
    """
    if values.shape[:3] != grid.shape:
        raise ValueError(f"values of shape {values.shape} do not lie on a grid of {grid.shape}")
    dtype = values.dtype
    if dtype.kind in "bf":
        dtype = np.dtype(np.uint8 if dtype.kind == "b" else np.float32)
    elif dtype.itemsize == 8:
        dtype, limits = np.dtype(np.int32), np.iinfo(np.int32)
        if not limits.min <= values.min() <= values.max() <= limits.max:
            raise ValueError(f"integers beyond int32: {values.min()} to {values.max()}")
    image = nib.Nifti1Image(np.asarray(values, dtype), None)
    _set_geometry(image, grid, space)
    image.header.set_intent(intent)
    save_nifti(image, path)


def save_nifti(image: nib.Nifti1Image, path: str | Path) -> None:
    """Write an image; the file appears when complete, and its bytes depend on the image alone."""
    path = Path(path)
    with completed(path) as temporary, temporary.open("wb") as file:
        if path.name.endswith(".gz"):
            # Neither the time nor a name goes into the file.
            with gzip.GzipFile("", "wb", COMPRESSION, file, mtime=0) as packed:
                image.to_stream(packed)
        else:
            image.to_stream(file)


def _set_geometry(image: nib.Nifti1Image, grid: Grid, space: Space) -> None:
    image.set_sform(grid.affine, code=space)
    image.set_qform(grid.affine, code=space)
    corner = [*grid.shape, 1]
    if np.abs((image.get_qform() - grid.affine) @ corner).max() > 0.01:
        image.set_qform(None, code=0)  # sheared: the quaternion would tell another story
        image.header["pixdim"][1:4] = grid.spacing_mm
    image.header.set_xyzt_units("mm")
