"""NIfTI files in and out, always together with their grid."""

from __future__ import annotations

import contextlib
import gzip
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.regions import Box
from ...dbgen.machine.files import completed, sha256_of
from ...errors import InputError
from ...paths import StrPath
from .file_kinds import require_nifti
from .headers import SIDE_MM, Frames, Header, read_header, require_sizes

__all__ = [
    "ImageFile",
    "Intent",
    "Scan",
    "Space",
    "read_nifti",
    "save_nifti",
    "write_nifti",
]

Intent = Literal["none", "estimate", "label"]
Space = Literal["scanner", "template"]


COMPRESSION = 1
"""Level of gzip; higher ones take much longer and gain little."""


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

    def part(self, box: Box) -> Scan:
        """The scan on a box of its voxels, which is not empty.

        Parameters
        ----------
        box : Box
            Part of the array.

        Returns
        -------
        Scan
            A view of the values, where they lie in the world.
        """
        return Scan(self.values[box], self.grid.part(box))

    def thinned(self, step: int) -> Scan:
        """Every n-th voxel along each axis, from the first on.

        Parameters
        ----------
        step : int
            n, at least 1.

        Returns
        -------
        Scan
            A view of the values, on the grid of the voxels that are kept.
        """
        values = self.values[::step, ::step, ::step]
        return Scan(values, Grid(values.shape, self.grid.affine @ np.diag([step, step, step, 1.0])))


@dataclass(frozen=True, eq=False)
class ImageFile:
    """The values and the grid of an image's file or series; nothing else of its header is kept.

    Attributes
    ----------
    values : three-dimensional array
        Scaled values in the file's order of axes.
    grid : Grid
        Grid in the frame that is used.
    frames : Frames
        Frames that the header declares.
    notices : tuple of str
        Notices about the header.
    sha256 : str
        SHA-256 of the file's bytes, or over all files of a series.
    frame_uid : str or None
        DICOM's name of the world that the image lies in; NIfTI has none.
    """

    values: NDArray[Any]
    grid: Grid
    frames: Frames
    notices: tuple[str, ...]
    sha256: str
    frame_uid: str | None = None


def read_nifti(
    path: StrPath, role: str, *, of_head: bool = False, grid: Grid | None = None
) -> ImageFile:
    """Read one volume; its header is judged before its data are read.

    Parameters
    ----------
    path : str or os.PathLike
        A `.nii` or `.nii.gz`; trailing axes of length one are dropped.
    role : str
        What the file is to the user ("T1", "segmentation"); begins every message.
    of_head : bool
        Whether the field of view must hold the larger part of a brain. Outlines may be cropped.
    grid : Grid, optional
        Grid that replaces the header's frame and sizes.

    Returns
    -------
    ImageFile

    Raises
    ------
    InputError
        If the file is missing, is no NIfTI or not named as one, is damaged or holds anything but
        one 3-D volume of real numbers, or if its header is refused; see `headers.RULES`.
    """
    path = Path(path)
    name = f"{role} {path}"
    header, layout = read_header(require_nifti(path, name), name, grid=grid)
    require_sizes(header.frames.grid, name, least_side_mm=SIDE_MM[0] if of_head else 0)
    _require_length(path, header, name)
    try:
        # No memory map: a file that shrinks while it is used would kill the process.
        values = np.asarray(ArrayProxy(path, layout, mmap=False)).reshape(header.frames.grid.shape)
        digest = sha256_of(path)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            f"{name}: the image data cannot be read, the file is truncated or damaged; "
            "copy or export it again"
        ) from error
    return ImageFile(
        values=values,
        grid=header.frames.grid,
        frames=header.frames,
        notices=tuple(f"The {role} {notice}" for notice in header.notices),
        sha256=digest,
    )


def _require_length(path: Path, header: Header, name: str) -> None:
    """See that a file does not hold more than its header says, apart from padding."""
    shape, size = header.frames.grid.shape, header.dtype.itemsize
    expected = header.offset + int(np.prod(shape, dtype=np.int64)) * size
    most = expected + max(shape[0] * shape[1] * size, 4096)
    with path.open("rb") as file:
        if path.name.lower().endswith(".gz"):  # its last four bytes tell the length, modulo 2^32
            file.seek(-4, os.SEEK_END)
            found = int.from_bytes(file.read(4), "little")
            if found < expected:  # of the last member alone, if the file has several
                found = _gzip_length(path, most + 1)
        else:
            found = file.seek(0, os.SEEK_END)
    if found > most:
        raise InputError(
            f"{name}: its header says {' x '.join(map(str, shape))} voxels of {size} bytes, which "
            f"end after {expected:,} bytes, but the file holds {found:,}; the header is wrong, "
            "export the image again"
        )


def _gzip_length(path: Path, enough: int) -> int:
    """Bytes that a compressed file holds, as far as it is whole; counted to `enough` at least."""
    n = 0
    with contextlib.suppress(OSError, EOFError, zlib.error), gzip.open(path) as file:
        while n < enough and (read := len(file.read(1 << 20))):
            n += read
    return n


def write_nifti(
    path: StrPath,
    values: NDArray[Any],
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
    path : str or os.PathLike
        Ends in `.nii` or `.nii.gz`; replaced where it exists.
    values : array of the grid's shape, any further axes behind
    grid : Grid
        Grid of the values.
    intent : {'none', 'estimate', 'label'}
        What a voxel holds: an intensity, an estimated quantity, or a label.
    space : {'scanner', 'template'}
        World of the grid: the patient's, or an atlas's.

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


def save_nifti(image: nib.Nifti1Image, path: StrPath) -> None:
    """Write an image; the file appears when complete, and its bytes depend on the image alone."""
    path = Path(path)
    with completed(path) as temporary, temporary.open("wb") as file:
        if path.name.endswith(".gz"):
            # The file records neither a time nor a name.
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
