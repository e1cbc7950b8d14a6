"""What a file is, by its first bytes: a NIfTI image in one file, or something else with a name."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from ...errors import InputError

GZIP = b"\x1f\x8b"

HEADER_BYTES = 540
"""Bytes of NIfTI-2's header; NIfTI-1 has 348."""

KINDS = (
    (128, b"DICM", "a DICOM file", "convert it to NIfTI, a series with dcm2niix, a SEG with dcmqi"),
    (0, b"NRRD", "an NRRD image", "convert it to .nii.gz, for instance with 3D Slicer"),
    (0, b"\x89HDF", "an HDF5 file (MINC, netCDF)", "convert it to .nii.gz"),
    (0, b"CDF", "a netCDF file (MINC)", "convert it to .nii.gz"),
    (0, b"PK\x03\x04", "a zip archive", "unpack it and name the image in it"),
    (0, b"BZh", "a file compressed with bzip2", "decompress it and name the .nii"),
    (0, b"\xfd7zXZ", "a file compressed with xz", "decompress it and name the .nii"),
    (0, b"\x28\xb5\x2f\xfd", "a file compressed with zstd", "decompress it and name the .nii"),
    (0, b"version https://git-lfs", "a Git LFS pointer", "fetch the image with `git lfs pull`"),
    (0, b"/annex/objects", "a git-annex pointer", "fetch the image with `git annex get`"),
    (0, b"\0\0\0\x01", "a FreeSurfer image (.mgh, .mgz)", "convert it with mri_convert"),
    (0, b"<", "a page of HTML or XML", "download the image itself"),
)  # fmt: skip
"""For each format: offset of its first bytes, the bytes, its name, and what to do with such a
file."""


def require_nifti(path: Path, name: str) -> bytes:
    """See that a file is a NIfTI image in one file and is named as one.

    Parameters
    ----------
    path : Path
    name : str
        Begins every message.

    Returns
    -------
    bytes
        The file's first `HEADER_BYTES`, decompressed.

    Raises
    ------
    InputError
        If it is missing or something else; the message says what it is and what to do.
    """
    try:
        if path.is_dir():
            raise InputError(
                f"{name}: expected a NIfTI image (.nii or .nii.gz), got a folder{_advise(path)}"
            )
        if not path.is_file():
            raise InputError(f"{name}: no such file; check the path")
        with path.open("rb") as file:
            start = file.read(HEADER_BYTES)
        is_compressed = start.startswith(GZIP)
        if is_compressed:
            with gzip.open(path) as unpacked:
                start = unpacked.read(HEADER_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(
            f"{name}: it is compressed with gzip and cannot be decompressed, the file is truncated "
            "or damaged; copy or export it again"
        ) from None
    except OSError as error:
        raise InputError(f"{name}: it cannot be read ({error.strerror})") from None
    magic = nifti_magic(start)
    if magic is None:
        raise InputError(f"{name}: expected a NIfTI image (.nii or .nii.gz), {_describe(start)}")
    if magic.startswith(b"ni"):
        raise InputError(
            f"{name}: expected a NIfTI image in one file (.nii or .nii.gz), got "
            f"Nifti{magic[2:3].decode()}Pair, a header whose data lie in another file (.img); "
            "convert the pair to .nii.gz"
        )
    ending = ".nii.gz" if is_compressed else ".nii"
    if not path.name.lower().endswith(ending):
        stem = path.name.removesuffix(".gz").removesuffix(".nii")
        raise InputError(
            f"{name}: it is a NIfTI image {'' if is_compressed else 'not '}compressed with gzip, "
            f"but its name does not end in {ending}; rename it to {stem}{ending}"
        )
    return start


def nifti_magic(start: bytes) -> bytes | None:
    """Three letters of a NIfTI header that name version and layout; None for other files."""
    for size, at in ((348, 344), (540, 4)):
        has_size = int.from_bytes(start[:4], "little") == size
        has_size |= int.from_bytes(start[:4], "big") == size
        if has_size and start[at : at + 3] in (b"n+1", b"ni1", b"n+2", b"ni2"):
            return start[at : at + 3]
    return None


def _advise(folder: Path) -> str:
    if any(_is_dicom(path) for path in sorted(folder.iterdir())[:3]):
        return " of DICOM files; convert the series to NIfTI, for instance with dcm2niix"
    return "; name the image in it"


def _is_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _describe(start: bytes) -> str:
    if not start:
        return "got an empty file; copy or export it again"
    for offset, letters, kind, advice in KINDS:
        if start[offset : offset + len(letters)] == letters:
            return f"got {kind}; {advice}"
    if 348 in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big")):
        return (
            "got an Analyze 7.5 header or a damaged one; convert it to .nii.gz, and mind that "
            "Analyze knows no left and right"
        )
    return (
        "but it cannot be read as one: it does not begin with a NIfTI header; convert it first, "
        "for instance with dcm2niix"
    )
