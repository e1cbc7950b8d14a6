"""What a NIfTI header says about its image, and what holds where it contradicts itself.

A header states the same things more than once: the voxel size in pixdim and in the sform, the place
in the sform and in the qform. `RULES` says for every pair of such facts what happens if they
disagree. No code reads this table: the functions here and in `nifti` and `labels` act by it, a test
makes a file for each rule, and `docs/inputs.md` shows it.

References
----------
NIfTI-1.1, https://nifti.nimh.nih.gov/nifti-1: `nifti1.h`, which defines every field.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Literal

import nibabel as nib
import numpy as np
from nibabel.quaternions import quat2mat
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.grid import sizes_as_text
from ...atlas.header_frames import FRAMES_APART_MM, require_one_size
from ...errors import InputError

QUATERNION_EXCESS = 1e-4
"""Excess over 1 of a quaternion's squared length that counts as rounding; about 1 degree."""

SIDE_MM = (50.0, 400.0)
"""Limits for the sides of a field of view that holds a head or the larger part of a brain."""

VOXEL_MM = (0.15, 20.0)
"""Limits for the sides of a voxel. A tenth of a millimetre or ten centimetres come from another
unit."""

MAX_VOXELS = 512**3
"""Most voxels of an image: 0.5 mm in 256 mm. An inversion of such an image takes some 5 GB."""

UNITS = {1: ("metres", 1000.0), 3: ("micrometres", 0.001)}
"""Units by the code in xyzt_units: name, and millimetres in one. Any other code stands for mm."""

QUIET = logging.Logger("glioquery.quiet", logging.CRITICAL)
"""Receives nibabel's remarks about a header; the rules here judge headers."""

Verdict = Literal["accepted", "notice", "refused"]


@dataclass(frozen=True)
class Rule:
    """A rule for two facts of a header, or of two headers.

    Attributes
    ----------
    facts : str
    when : str
        How the facts meet.
    verdict : "accepted", "notice" or "refused"
        Whether work continues without a notice, with one, or not at all.
    what : str
        What happens then.
    """

    facts: str
    when: str
    verdict: Verdict
    what: str


RULES = (
    Rule("sform, qform", "less than 0.5 mm apart at every corner", "accepted", "the sform"),
    Rule("sform, qform", "farther apart", "notice", "the sform; see below for two files"),
    Rule("sform, qform", "one mirrors the other", "refused", "left and right are unknown"),
    Rule("sform, pixdim", "voxel sizes within 0.5 %, or pixdim is 0", "accepted", "the sform"),
    Rule("sform, pixdim", "voxel sizes differ by more", "refused", "volumes are unknown"),
    Rule("sform, its code", "declared, but it spans no volume", "refused", "even beside a qform"),
    Rule("qform, quaternion", "longer than 1 by rounding", "accepted", "made 1 long"),
    Rule("qform, quaternion", "longer than that, with an sform", "notice", "the sform"),
    Rule("qform, quaternion", "longer than that, and no sform", "refused", "it is no rotation"),
    Rule("sform_code, qform_code", "both 0", "notice", "pixdim; left and right may be exchanged"),
    Rule("sform_code, qform_code", "above 5, where NIfTI ends", "accepted", "as declared"),
    Rule(
        "frame, origin",
        "no rotation, and an origin of 0: the header was probably lost",
        "notice",
        "axes may be wrong",
    ),
    Rule("xyzt_units, sizes", "metres or micrometres", "notice", "converted to mm"),
    Rule("xyzt_units, sizes", "none, or an unknown code", "accepted", "mm"),
    Rule("sizes, a head", "a side over 400 mm, an image's under 50 mm", "refused", "before work"),
    Rule("sizes, a head", "a voxel's side under 0.15 mm or over 20 mm", "refused", "before work"),
    Rule("dim, memory", "more than 512^3 voxels", "refused", "before the data are read"),
    Rule("dim, data", "fewer data than dim says", "refused", "the file is truncated"),
    Rule("dim, data", "more data, by a slice at most", "accepted", "padding"),
    Rule("dim, data", "more data than that", "refused", "dim is wrong"),
    Rule("dim, volumes", "further axes of length 1", "accepted", "dropped"),
    Rule("dim, volumes", "several volumes", "refused", "a file holds one volume"),
    Rule("vox_offset, data", "0", "accepted", "the voxels begin behind the header"),
    Rule("vox_offset, data", "inside the header, and not 0", "refused", "their place is unknown"),
    Rule("vox_offset, data", "NaN or infinite", "refused", "their place is unknown"),
    Rule("datatype, bitpix", "they differ", "accepted", "the datatype"),
    Rule("scl_slope, scl_inter", "a slope of 0 or NaN", "accepted", "no scaling"),
    Rule("scl_slope, scl_inter", "a slope, and no finite intercept", "refused", "values unknown"),
    Rule("scl_slope, labels", "scaled values within 0.01 of integers", "accepted", "rounded"),
    Rule("scl_slope, labels", "farther from them", "refused", "no segmentation"),
    Rule("cal_min and cal_max, data", "any", "accepted", "never read"),
    Rule("intent, descrip, slice timing", "any", "accepted", "never read"),
)  # fmt: skip
"""Within one file; pairs of files: `PAIR_RULES` in `frames`."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Where a header says that its image lies.

    Attributes
    ----------
    grid : Grid
        Grid in the frame that is used.
    other : Grid or None
        Grid by the qform, if that lies `FRAMES_APART_MM` or more from the sform, which is used.
    is_lost : bool
        Whether the header declares no frame, or the one that programs write after they lost the
        true header: no rotation, and the origin in the first voxel.
    """

    grid: Grid
    other: Grid | None = None
    is_lost: bool = False


@dataclass(frozen=True, eq=False)
class Header:
    """The content of a header, free of contradictions.

    Attributes
    ----------
    frames : Frames
    dtype : dtype
        Type of the voxels on disk.
    offset : int
        Bytes before the voxels.
    notices : tuple of str
        What the user should know although it is no error; each continues "The <file> ".
    """

    frames: Frames
    dtype: np.dtype
    offset: int
    notices: tuple[str, ...]


def read_header(
    raw: bytes, name: str, *, grid: Grid | None = None
) -> tuple[Header, nib.Nifti1Header]:
    """Read a header and judge it, as `RULES` says, as far as that needs no data.

    Parameters
    ----------
    raw : bytes
        The beginning of a NIfTI file, see `file_kinds.require_nifti`.
    name : str
        Begins every message.
    grid : Grid, optional
        Grid of the image's shape that replaces the header's frames and sizes.

    Returns
    -------
    Header
    nibabel's header
        Header with which to read the data.

    Raises
    ------
    InputError
        If it is truncated, or refused as `RULES` says.
    """
    kind = nib.Nifti2Header if raw[4:7] == b"n+2" else nib.Nifti1Header
    if len(raw) < kind.sizeof_hdr:
        raise InputError(
            f"{name}: expected a NIfTI header of {kind.sizeof_hdr} bytes, got {len(raw)}, the file "
            "is truncated; copy or export it again"
        )
    said = kind(raw[: kind.sizeof_hdr], check=False)
    if not np.isfinite(float(said["vox_offset"])):
        raise InputError(
            f"{name}: its header says that the voxels begin at byte {said['vox_offset']}; export "
            "the image again"
        )
    fixed = said.copy()
    try:
        fixed.check_fix(logger=QUIET)
        fixed.get_slope_inter()
        shape, dtype = fixed.get_data_shape(), fixed.get_data_dtype()
    except HeaderDataError as error:
        reason = "; ".join(str(error).split("\n"))
        raise InputError(
            f"{name}: its NIfTI header is broken ({reason}); export the image again"
        ) from None
    if len(shape) < 3 or min(shape) < 1 or any(n != 1 for n in shape[3:]):
        raise InputError(
            f"{name}: expected one 3-D volume, got an array of {' x '.join(map(str, shape))}; "
            "extract the volume that you want"
        )
    if dtype.kind not in "buif":
        raise InputError(f"{name}: expected real numbers, got voxels of type {dtype}")
    x, y, z = (int(n) for n in shape[:3])
    require_few_voxels((x, y, z), name)
    if grid is None:
        frames, notices = _frames(said, fixed, (x, y, z), name)
    elif grid.shape == (x, y, z):
        frames, notices = Frames(grid), ()
    else:
        raise InputError(
            f"{name}: expected the shape of the image whose voxels it is said to have, "
            f"{' x '.join(map(str, grid.shape))}, got {x} x {y} x {z}; leave --seg-grid out"
        )
    offset = max(int(fixed.get_data_offset()), fixed.single_vox_offset)
    fixed.set_data_offset(offset)  # the voxels are read where the length was counted from
    return Header(frames, dtype, offset, notices), fixed


def require_few_voxels(shape: tuple[int, int, int], name: str) -> None:
    """See that an array fits into memory.

    Raises
    ------
    InputError
        If it has more than `MAX_VOXELS` voxels.
    """
    if math.prod(shape) > MAX_VOXELS:
        raise InputError(
            f"{name}: expected at most {MAX_VOXELS:,} voxels (512 x 512 x 512), got "
            f"{' x '.join(map(str, shape))}; resample the image to coarser voxels, or crop it to "
            "the head"
        )


def require_sizes(grid: Grid, name: str, *, least_side_mm: float) -> None:
    """See that a grid is of a head's size.

    Raises
    ------
    InputError
        If its voxels or its field of view are not.
    """
    spacing = np.array(grid.spacing_mm)
    sides = spacing * grid.shape
    if (spacing < VOXEL_MM[0]).any() or (spacing > VOXEL_MM[1]).any():
        raise InputError(
            f"{name}: expected voxels from {VOXEL_MM[0]:g} to {VOXEL_MM[1]:g} mm a side, got a "
            f"voxel size of {sizes_as_text(spacing)} mm; its header's numbers are in another unit "
            "or wrong: correct the voxel size"
        )
    if (sides < least_side_mm).any() or (sides > SIDE_MM[1]).any():
        least = f"from {least_side_mm:g} to" if least_side_mm else "up to"
        raise InputError(
            f"{name}: expected a field of view {least} {SIDE_MM[1]:g} mm a side, got "
            f"{sizes_as_text(sides)} mm (voxel size {sizes_as_text(spacing)} mm); correct the "
            "voxel size in its header, or crop it to the head"
        )


def _frames(
    said: nib.Nifti1Header, fixed: nib.Nifti1Header, shape: tuple[int, int, int], name: str
) -> tuple[Frames, tuple[str, ...]]:
    """The frames that a header declares, and notices about them."""
    unit, scale = UNITS.get(int(said["xyzt_units"]) % 8, ("mm", 1.0))
    notices = []
    if scale != 1:
        notices.append(f"gives its sizes in {unit}; they were converted to mm, as all results are.")
    sizes = np.abs(np.asarray(said["pixdim"][1:4], np.float64)) * scale
    qform = _qform(said, scale) if _code(said, "qform_code") else None
    if _code(said, "sform_code"):
        affine = np.eye(4)
        affine[:3] = [said["srow_x"], said["srow_y"], said["srow_z"]]
        affine[:3] *= scale
        grid = _grid(shape, affine, name)
        require_one_size(grid, "sform", sizes, name)
        if _code(said, "qform_code") and qform is None:
            notices.append("declares a qform that is no rotation; glioquery uses the sform.")
    elif _code(said, "qform_code"):
        if qform is None:
            raise InputError(
                f"{name}: its header declares a qform alone, and that is no rotation (quaternion "
                f"{said['quatern_b']:g}, {said['quatern_c']:g}, {said['quatern_d']:g}, voxel size "
                f"{sizes_as_text(sizes)} mm); export the image again"
            )
        grid = _grid(shape, qform, name)
    else:
        affine = fixed.get_base_affine()
        affine[:3] *= scale
        notices.append(
            "declares no orientation (sform and qform codes are 0): left and right are as nibabel "
            "assumes them, and may be exchanged."
        )
        return Frames(_grid(shape, affine, name), is_lost=True), tuple(notices)
    is_lost = _is_plain(grid.affine)
    if is_lost:
        notices.append(
            "has a header without rotation and with its origin in the first voxel, as after the "
            "loss of the true header: its axes and its sides may be wrong."
        )
    other = None if qform is None else _grid(shape, qform, name)
    if other is None or grid.apart_mm(other) < FRAMES_APART_MM:
        return Frames(grid, is_lost=is_lost), tuple(notices)
    if np.linalg.det(grid.affine[:3, :3]) * np.linalg.det(other.affine[:3, :3]) < 0:
        raise InputError(
            f"{name}: its header contradicts itself about left and right: the axes are "
            f"{axes_of(grid)} by the sform and {axes_of(other)} by the qform; write the right "
            "frame into both, or export the image again"
        )
    notices.append(
        f"declares two frames that differ (sform and qform, {grid.apart_mm(other):.3g} mm apart "
        "at a corner): glioquery uses the sform, other programs may use the qform."
    )
    return Frames(grid, other, is_lost), tuple(notices)


def axes_of(grid: Grid) -> str:
    """Directions of the array's axes, as letters R or L, A or P, S or I."""
    return "".join(nib.aff2axcodes(grid.affine))


def _grid(shape: tuple[int, int, int], affine: NDArray[np.float64], name: str) -> Grid:
    try:
        return Grid(shape, affine)
    except ValueError as error:
        raise InputError(
            f"{name}: {error}; the header's orientation is broken, export the image again"
        ) from None


def _qform(said: nib.Nifti1Header, scale: float) -> NDArray[np.float64] | None:
    """The qform's affine in mm; None where its quaternion, offsets or voxel sizes make none."""
    vector = np.array([said[f"quatern_{axis}"] for axis in "bcd"], np.float64)
    square = float(vector @ vector)
    sizes = np.abs(np.asarray(said["pixdim"][1:4], np.float64)) * scale
    offsets = np.array([said[f"qoffset_{axis}"] for axis in "xyz"], np.float64)
    if not square <= 1 + QUATERNION_EXCESS or not (np.isfinite(sizes) & (sizes > 0)).all():
        return None
    if not np.isfinite(offsets).all():
        return None
    if square > 1:
        vector, square = vector / np.sqrt(square), 1.0
    sizes[2] *= -1 if said["pixdim"][0] == -1 else 1
    affine = np.eye(4)
    affine[:3, :3] = quat2mat([np.sqrt(1 - square), *vector]) * sizes
    affine[:3, 3] = offsets * scale
    return affine


def _is_plain(affine: NDArray[np.float64]) -> bool:
    off_diagonal = affine[:3, :3] - np.diag(np.diag(affine[:3, :3]))
    return not affine[:3, 3].any() and not off_diagonal.any()


def _code(said: nib.Nifti1Header, field: str) -> int:
    return max(int(said[field]), 0)
