"""The DICOM files of a folder, and the one series or object in it that a path names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dbgen.machine.files import sha256_of
from ...errors import InputError
from ...paths import StrPath
from .dicom_packages import pydicom, quietly
from .dicom_path import has_magic, split_number

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"

DIRECTORY = "1.2.840.10008.1.3.10"
"""Class of a DICOMDIR, which lists other files."""

OUTLINES = {SEGMENTATION: "SEG", LABEL_MAP: "SEG", STRUCTURE_SET: "RTSTRUCT"}
"""Modality by class: objects that hold structures with names."""

HEADER = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber",
    "Modality", "PatientID", "PatientName", "FrameOfReferenceUID", "Rows", "Columns",
    "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept", "PixelData",
    "FloatPixelData", "DoubleFloatPixelData",
)  # fmt: skip
"""Fields of a header that tell the file's series, its place and the scale of its values."""

WHOLE_NUMBERS = ("SeriesNumber", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel")
"""Fields of `HEADER` that hold one number where they are given."""

LARGE_BYTES = 4096
"""A longer value is skipped until it is needed."""

UNDEFINED = 0xFFFFFFFF
"""Length of pixel data in pieces, as compressed ones are."""


@dataclass(frozen=True, eq=False)
class Instance:
    """A DICOM file, as far as its header was read."""

    path: Path
    header: Any


@dataclass(frozen=True, eq=False)
class Series:
    """Files of one series, by path; only what `HEADER` lists was read of them."""

    files: tuple[Instance, ...]

    @property
    def first(self) -> Any:
        """Header of the first file."""
        return self.files[0].header

    @property
    def number(self) -> int | None:
        """Number of the series in its study."""
        value = self.first.get("SeriesNumber")
        return None if value is None else int(value)

    @property
    def n_slices(self) -> int:
        """Frames of all files."""
        return sum(int(file.header.get("NumberOfFrames") or 1) for file in self.files)

    @property
    def sha256(self) -> str:
        """SHA-256 over the checksums of all files, whatever their names."""
        digests = sorted(sha256_of(file.path) for file in self.files)
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def __str__(self) -> str:
        number = "without number" if self.number is None else f"#{self.number}"
        size = f"{self.first.get('Columns')} x {self.first.get('Rows')}"
        return f"{number} {modality_of(self.first)}, {size}, {self.n_slices} slices"


def find_series(path: StrPath, name: str) -> Series:
    """The series of images that a path names.

    Parameters
    ----------
    path : str or os.PathLike
        A folder, whose files may lie in subfolders; FOLDER#3 for its series number 3; or a file
        with several frames.
    name : str
        Begins every message.

    Raises
    ------
    InputError
        If there is no series, or more than one; the message lists them by number, modality and
        size.
    """
    folder, number = split_number(path)
    found = _files(folder, name)
    every = [
        series for series in _grouped(found)
        if series.first.get("Rows") and series.first.get("SOPClassUID") not in OUTLINES
    ]  # fmt: skip
    if not every:
        kinds = sorted({modality_of(file.header) for file in found})
        raise InputError(
            f"{name}: expected a series of images, got {len(found)} DICOM files without images "
            f"({', '.join(kinds)}); name the folder of the series"
        )
    listed = "; ".join(map(str, every))
    chosen = every if number is None else [series for series in every if series.number == number]
    if not chosen:
        raise InputError(
            f"{name}: expected a series of the folder, got number {number}; it holds {listed}"
        )
    if len(chosen) > 1:
        numbers = {series.number for series in chosen}
        advice = (
            f"choose one by its number, as in {folder}#{chosen[0].number}"
            if len(numbers) == len(chosen)
            else "some share a number, so put the one that you want into a folder of its own"
        )
        raise InputError(
            f"{name}: expected one series, got {len(chosen)}: {'; '.join(map(str, chosen))}; "
            f"{advice}"
        )
    (series,) = chosen
    _require_pixels(series.files, name)
    return series


def find_outlines(path: StrPath, name: str) -> Instance:
    """The one SEG or RTSTRUCT that a path names, a file or a folder with it.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    folder, number = split_number(path)
    found = [
        file for file in _files(folder, name)
        if file.header.get("SOPClassUID") in OUTLINES
        and number in (None, file.header.get("SeriesNumber"))
    ]  # fmt: skip
    if len(found) != 1:
        raise InputError(
            f"{name}: expected one DICOM SEG or RTSTRUCT, got {len(found) or 'none'}; name the "
            "file that holds the outlines"
        )
    if OUTLINES[found[0].header.SOPClassUID] == "SEG":
        _require_pixels(found, name)
    return found[0]


def modality_of(header: Any) -> str:
    """DICOM's letters for what made an object: MR, CT, SEG."""
    return str(header.get("Modality") or "of unknown modality")


def read_whole(file: Path, name: str) -> Any:
    """Read a DICOM file with all that it holds.

    Raises
    ------
    InputError
        If it is damaged.
    """
    try:
        with quietly():
            return pydicom.dcmread(file)
    except Exception:  # pydicom raises what it happens to meet in a damaged file
        raise _damaged(name, file) from None


def numbers_in(header: Any, keyword: str, shape: tuple[int, ...], name: str) -> NDArray[np.float64]:
    """The numbers of a field, in a shape as NumPy's `reshape` takes it.

    Parameters
    ----------
    header : pydicom.Dataset
        A header, or an item of a sequence in it.
    keyword : str
        DICOM's name of the field.
    shape : tuple of int
        () for one number; -1 for any number of rows.
    name : str
        Begins the message; it says which file it is.

    Raises
    ------
    InputError
        If the field is missing or holds anything else.
    """
    try:
        with quietly():
            numbers = np.array(header[keyword].value, np.float64).reshape(shape)
    except Exception:  # pydicom raises what it happens to meet in a malformed value
        raise _malformed(name, keyword) from None
    if not numbers.size or not np.isfinite(numbers).all():
        raise _malformed(name, keyword)
    return numbers


def text_in(header: Any, keyword: str, name: str) -> str:
    """The text of a field, as `numbers_in` reads numbers.

    Raises
    ------
    InputError
        If the field is missing or empty.
    """
    value = header.get(keyword)
    if not value:
        raise _malformed(name, keyword)
    return str(value)


def _files(folder: Path, name: str) -> list[Instance]:
    """All DICOM files of a folder and those in it; other files are passed over."""
    if folder.is_dir():
        paths: Iterable[Path] = sorted(path for path in folder.rglob("*") if path.is_file())
    elif folder.is_file():
        paths = [folder]
    else:
        raise InputError(f"{name}: no such file or folder; check the path")
    found = [Instance(path, _read_header(path, name)) for path in paths if has_magic(path)]
    found = [file for file in found if _kind(file.header) != DIRECTORY]
    if not found:
        got = "a folder without any" if folder.is_dir() else "a file that is none"
        raise InputError(f"{name}: expected DICOM files, got {got}; name the folder of the series")
    names, identities = (
        {str(file.header.get(keyword) or "") for file in found}
        for keyword in ("PatientName", "PatientID")
    )
    patients = names if identities == {""} else identities - {""}
    if len(patients) > 1:
        raise InputError(
            f"{name}: expected the files of one patient, got those of {len(patients)}; put those "
            "that are wanted into a folder of their own"
        )
    return found


def _grouped(files: Sequence[Instance]) -> list[Series]:
    """Files by their series, in the order of the series' numbers."""
    groups: dict[str, list[Instance]] = {}
    for file in files:
        groups.setdefault(str(file.header.get("SeriesInstanceUID")), []).append(file)
    every = [Series(tuple(group)) for group in groups.values()]
    return sorted(every, key=lambda series: (series.number is None, series.number or 0))


def _read_header(path: Path, name: str) -> Any:
    try:
        with quietly():
            header = pydicom.dcmread(path, defer_size=LARGE_BYTES, specific_tags=list(HEADER))
    except Exception:  # pydicom raises what it happens to meet in a damaged file
        raise _damaged(name, path) from None
    if "SeriesInstanceUID" not in header and _kind(header) != DIRECTORY:
        raise _damaged(name, path)
    for keyword in WHOLE_NUMBERS:
        if keyword in header and header.get_item(keyword).value:
            numbers_in(header, keyword, (), f"{name}: {path.name}")
    return header


def _kind(header: Any) -> str:
    """The class of an object, as the head of its file has it."""
    return str(header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID"))


def _require_pixels(files: Sequence[Instance], name: str) -> None:
    """See that every file has all of its pixel data."""
    for file in files:
        kinds = [kind for kind in HEADER if kind.endswith("PixelData") and kind in file.header]
        if not kinds:
            raise InputError(f"{name}: {file.path.name} has no pixel data; export the series again")
        raw = file.header.get_item(kinds[0])
        length, at = getattr(raw, "length", None), getattr(raw, "value_tell", None)
        if length in (None, UNDEFINED) or at is None:
            continue
        if at + length > file.path.stat().st_size:
            raise _damaged(name, file.path)


def _malformed(name: str, keyword: str) -> InputError:
    return InputError(
        f"{name}: expected the field {keyword} as DICOM defines it, got none or a malformed one: "
        "the file is damaged or does not conform to DICOM; export it again"
    )


def _damaged(name: str, path: Path) -> InputError:
    return InputError(
        f"{name}: {path.name} cannot be read as DICOM, it is truncated or damaged; copy or export "
        "it again"
    )
