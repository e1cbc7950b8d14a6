"""A series of slices, or of frames in one file, as an image on a grid.

The position in the patient alone says where a slice lies; numbers and names of files decide
nothing. The positions hold for tilted gantries and oblique planes, too.

References
----------
DICOM PS3.3, C.7.6.2: ImagePositionPatient is the centre of the first voxel; the first cosines of
ImageOrientationPatient lead along a row, to the next column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...errors import InputError
from ...paths import StrPath
from ..images.headers import SIDE_MM, Frames, require_few_voxels, require_sizes
from ..images.nifti import ImageFile
from .dicom_folder import (
    Instance,
    Series,
    find_series,
    modality_of,
    numbers_in,
    read_whole,
    text_in,
)
from .dicom_packages import highdicom, pydicom, quietly
from .world import grid_from_lps, grid_of, values_of

SLICE_APART = 0.05
"""Share of the distance between slices by which one may lie off its place: headers are rounded."""

COSINES_APART = 1e-3
"""Difference of two cosines that counts as rounding."""

MODALITY = "MR"

BRIGHTNESS = "MONOCHROME2"
"""PhotometricInterpretation of an image whose larger values are brighter."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices of a series in the order of the grid's last axis, one a place.

    Attributes
    ----------
    slices : tuple of Instance
        A single one if all frames are in one file.
    grid : Grid
        Axes: column, row, slice.
    frame_uid : str or None
        DICOM's name of the world.
    n_copies : int
        Files that were left out because they are copies of others.
    """

    slices: tuple[Instance, ...]
    grid: Grid
    frame_uid: str | None
    n_copies: int


def require_series(path: StrPath, name: str) -> tuple[Series, Stack]:
    """Find a series, and see from its headers that it is one volume of an MRI.

    Parameters
    ----------
    path : str or os.PathLike
        See `find_series`.
    name : str
        Opens every message.

    Returns
    -------
    series : Series
        What the headers say.
    stack : Stack
        The order of the slices and the grid that they form.

    Raises
    ------
    InputError
        If it is not: another modality, several orientations or volumes, slices that are missing or
        lie unevenly, a field of view that does not hold the larger part of a brain.
    """
    series = find_series(path, name)
    modality = modality_of(series.first)
    if modality != MODALITY:
        raise InputError(
            f"{name}: expected an MRI ({MODALITY}), got a series {series}; give the MRI, to which "
            "results can be carried by a registration of yours"
        )
    if int(series.first.get("SamplesPerPixel") or 1) != 1:
        raise InputError(
            f"{name}: expected one value per pixel, got colours; give the series itself"
        )
    _require_brightness(series.files, name)
    _require_scaling(series.files, name)
    _require_decoder(series.files[0], name)
    # Some scanners write a number of frames, 1, into each slice.
    frames = [int(file.header.get("NumberOfFrames") or 0) for file in series.files]
    is_enhanced = max(frames) > 1 or (len(frames) == 1 and frames[0] == 1)
    stack = _enhanced(series, name) if is_enhanced else _classic(series, name)
    require_few_voxels(stack.grid.shape, name)
    require_sizes(stack.grid, name, least_side_mm=SIDE_MM[0])
    return series, stack


def read_series(path: StrPath, role: str) -> ImageFile:
    """Read a series of slices, or a file of frames, with rescaled values.

    Parameters
    ----------
    path : str or os.PathLike
        See `find_series`.
    role : str
        What the series is to the user ("T1"); opens every message.

    Returns
    -------
    ImageFile
        Its affine leads to RAS world coordinates, mm.

    Raises
    ------
    InputError
        As `require_series`, or if the pixels cannot be decoded.
    """
    name = f"{role} {path}"
    series, stack = require_series(path, name)
    try:
        with quietly():
            values = _frame_values(stack) if len(stack.slices) == 1 else _slice_values(stack, name)
    except InputError:
        raise
    except Exception:  # each decoder raises errors of its own
        raise InputError(
            f"{name}: its pixels cannot be decoded, a file is damaged; export the series again"
        ) from None
    notices: tuple[str, ...] = ()
    if stack.n_copies:
        notices = (f"The {role} holds copies of slices: {stack.n_copies} were left out.",)
    return ImageFile(
        values=values,
        grid=stack.grid,
        frames=Frames(stack.grid),
        notices=notices,
        sha256=series.sha256,
        frame_uid=stack.frame_uid,
    )


def _classic(series: Series, name: str) -> Stack:
    """Slices, a file each, in the order of their places."""
    files, n_copies = _without_copies(series.files, name)
    for file in files:
        for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            if not file.header.get(tag):
                raise InputError(
                    f"{name}: {file.path.name} does not say where it lies in the patient (no "
                    f"{tag}); export the series itself, no screenshots"
                )
    orientations = _numbers(files, "ImageOrientationPatient", (6,), name)
    spacings = _numbers(files, "PixelSpacing", (2,), name)
    columns, rows = (_numbers(files, keyword, (), name) for keyword in ("Columns", "Rows"))
    sizes = {(int(i), int(j)) for i, j in zip(columns, rows, strict=True)}
    is_turned = bool((np.abs(orientations - orientations[0]) > COSINES_APART).any())
    if is_turned or len(sizes) > 1 or not np.allclose(spacings, spacings[0], rtol=1e-3):
        raise InputError(
            f"{name}: expected slices of one orientation and size, got several, as localisers "
            f"have them ({series}); choose another series"
        )
    along_row, along_column = orientations[0][:3], orientations[0][3:]
    normal = np.cross(along_row, along_column)
    if abs(np.linalg.norm(normal) - 1) > COSINES_APART or abs(along_row @ along_column) > 1e-3:
        raise InputError(
            f"{name}: its rows and columns do not stand at right angles "
            f"(ImageOrientationPatient {np.round(orientations[0], 4).tolist()}); export it again"
        )
    worlds = {_uid(file.header.get("FrameOfReferenceUID")) for file in files}
    if len(worlds) > 1:
        raise InputError(
            f"{name}: expected slices in one frame of reference, got {len(worlds)}, so they were "
            "not taken as one volume; export the series again"
        )
    positions = _numbers(files, "ImagePositionPatient", (3,), name)
    order = np.argsort(positions @ normal, kind="stable")
    step = _require_even(positions[order], normal, name)
    lps = np.eye(4)
    lps[:3] = np.column_stack([
        along_row * spacings[0][1], along_column * spacings[0][0], step, positions[order[0]],
    ])  # fmt: skip
    (size,) = sizes
    return Stack(
        slices=tuple(files[i] for i in order),
        grid=grid_from_lps((*size, len(files)), lps),
        frame_uid=_uid(series.first.get("FrameOfReferenceUID")),
        n_copies=n_copies,
    )


def _numbers(
    files: Sequence[Instance], keyword: str, shape: tuple[int, ...], name: str
) -> NDArray[np.float64]:
    """A field of all files, one along the first axis."""
    return np.array(
        [numbers_in(file.header, keyword, shape, f"{name}: {file.path.name}") for file in files]
    )


def _without_copies(files: Sequence[Instance], name: str) -> tuple[list[Instance], int]:
    """Files of different objects: a folder may hold one twice, under two names."""
    kept: dict[str, Instance] = {}
    for file in files:
        kept.setdefault(text_in(file.header, "SOPInstanceUID", f"{name}: {file.path.name}"), file)
    return list(kept.values()), len(files) - len(kept)


def _require_even(
    positions: NDArray[np.float64], normal: NDArray[np.float64], name: str
) -> NDArray[np.float64]:
    """The step from slice to slice, in mm, if they lie evenly on a line.

    Parameters
    ----------
    positions : (n, 3) float64 array
        Rising along the normal.
    """
    n = len(positions)
    if n < 2:
        raise InputError(
            f"{name}: expected the slices of a volume, got 1; name the folder of the series"
        )
    heights = positions @ normal
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    shared = int((gaps <= SLICE_APART * max(usual, 0)).sum())
    if usual <= 0 or shared:
        raise InputError(
            f"{name}: expected one slice at each place, got {n} slices at {n - shared} places, as "
            "several echoes, times or copies have them; give a series of one volume"
        )
    missing = np.rint(gaps / usual) - 1
    if (np.abs(gaps / usual - 1) > SLICE_APART).any():
        got = f"got distances from {gaps.min():.4g} to {gaps.max():.4g} mm"
        if (np.abs(gaps / usual - np.rint(gaps / usual)) < SLICE_APART).all():
            at = heights[int(np.argmax(missing))]
            raise InputError(
                f"{name}: expected slices {usual:.4g} mm apart, {got}: {int(missing.sum())} of "
                f"{n + int(missing.sum())} are missing, most of them {at - heights[0]:.4g} mm from "
                "the first; export the series again"
            )
        raise InputError(
            f"{name}: expected evenly spaced slices, {got}; resample the series to even slices, "
            "or export it again"
        )
    step = (positions[-1] - positions[0]) / (n - 1)
    off = np.abs(positions - positions[0] - np.arange(n)[:, None] * step).max()
    if off > SLICE_APART * usual:
        raise InputError(
            f"{name}: its slices do not lie on one line, but up to {off:.3g} mm beside it; export "
            "the series again"
        )
    return np.asarray(step)


def _enhanced(series: Series, name: str) -> Stack:
    """All frames in one file."""
    if len(series.files) != 1:
        raise InputError(
            f"{name}: expected one file with all frames, or one slice per file, got "
            f"{len(series.files)} files with {series.n_slices} frames; put the file that is wanted "
            "into a folder of its own"
        )
    (file,) = series.files
    try:
        with quietly():
            image = highdicom.imread(file.path, lazy_frame_retrieval=True)
            geometry = image.get_volume_geometry(rtol=SLICE_APART)
    except Exception:  # of highdicom, whichever header it does not understand
        geometry = None
    if geometry is None:
        raise InputError(
            f"{name}: expected frames that lie evenly, one at each place, got a file of "
            f"{series.n_slices} frames that do not, as several echoes, times or missing frames "
            "have them; give a series of one volume"
        )
    return Stack(
        slices=series.files,
        grid=grid_of(geometry),
        frame_uid=_uid(series.first.get("FrameOfReferenceUID")),
        n_copies=0,
    )


def _slice_values(stack: Stack, name: str) -> NDArray[np.float32]:
    values = np.empty(stack.grid.shape, np.float32)
    for k, file in enumerate(stack.slices):
        header = read_whole(file.path, name)
        pixels = pydicom.pixels.apply_modality_lut(header.pixel_array, header)
        values[:, :, k] = pixels.T
    return values


def _frame_values(stack: Stack) -> NDArray[np.float32]:
    image = highdicom.imread(stack.slices[0].path)
    volume = image.get_volume(
        dtype=np.float32,
        apply_real_world_transform=False,
        apply_presentation_lut=False,
        rtol=SLICE_APART,
    )
    return np.ascontiguousarray(values_of(volume))


def _require_scaling(files: Sequence[Instance], name: str) -> None:
    """See that a slope comes with an intercept: of one alone, no value follows."""
    for file in files:
        held = [key for key in ("RescaleSlope", "RescaleIntercept") if key in file.header]
        if len(held) == 1:
            raise InputError(
                f"{name}: {file.path.name}: expected RescaleSlope and RescaleIntercept, or neither "
                f"of them, got {held[0]} alone; export the series again"
            )


def _require_brightness(files: Sequence[Instance], name: str) -> None:
    """See that larger values are brighter: grey and white matter are told apart by that."""
    for file in files:
        at = f"{name}: {file.path.name}"
        found = text_in(file.header, "PhotometricInterpretation", at)
        if found != BRIGHTNESS:
            raise InputError(
                f"{at}: expected values that are brighter the larger they are ({BRIGHTNESS}), got "
                f"{found}; export the series as {BRIGHTNESS}"
            )


def _require_decoder(file: Instance, name: str) -> None:
    """See that compressed pixels can be decompressed here."""
    syntax = pydicom.uid.UID(
        text_in(file.header.file_meta, "TransferSyntaxUID", f"{name}: {file.path.name}")
    )
    if not syntax.is_encapsulated:
        return
    try:
        is_there = pydicom.pixels.get_decoder(syntax).is_available
    except NotImplementedError:
        is_there = False
    if not is_there:
        raise InputError(
            f"{name}: its pixels are compressed ({syntax.name}), and no decoder for that is "
            "installed: `pip install python-gdcm`, or decompress the series, for instance with "
            "gdcmconv --raw"
        )


def _uid(value: Any) -> str | None:
    return str(value) if value else None
