"""A patient's files, read and checked before any long work begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray
from scipy import ndimage

from ..atlas import Grid
from ..solver import TumorMasks
from .labels import label_convention, outlines_from_labels
from .nifti import InputError, NiftiFile, Scan, read_nifti

__all__ = ["InputError", "Patient", "Scan", "load_patient"]

BRAIN_ML = (500.0, 2100.0)
"""Foreground volume of a skull-stripped T1 that is believed. Adult brains with their inner CSF
have 900-1900 ml; a head with skull and scalp has 2500 ml or more even where the field of view
ends at the eyes."""

FOREGROUND_FRACTION = 0.1
"""Of the 99th percentile of the positive intensities: above background noise and interpolation
ripples, below cerebrospinal fluid in all but its darkest places."""

SPECK_ML = 5.0
"""Smaller regions apart from the brain (vessels, leftovers of the extraction) are passed over."""

BORDER_SHARE = 0.15
"""Largest believed share of foreground on the faces of the field of view. A brain touches at most
one face with its stem or is cut by the top slice; a head fills the lower face and others."""


@dataclass(frozen=True, eq=False)
class Patient:
    """A patient's scans and outlines in native space.

    Attributes
    ----------
    t1 : Scan
        Skull-stripped T1-weighted image that is registered: without contrast where given, else
        with (see `modality`). The results lie on its grid.
    modality : "t1" or "t1c"
        What `t1` holds.
    masks : TumorMasks
        Core (may be empty) and whole tumour on the grid of `t1`.
    flair, t1c : Scan or None
        Further images for pictures, each on its own grid in the same world frame.
    checksums : mapping of str to str
        SHA-256 of each input file by its role: t1, t1c, flair, seg.
    notices : tuple of str
        What the user should know although it is no error.
    """

    t1: Scan
    modality: Literal["t1", "t1c"]
    masks: TumorMasks
    flair: Scan | None
    t1c: Scan | None
    checksums: Mapping[str, str]
    notices: tuple[str, ...]

    @property
    def grid(self) -> Grid:
        """The grid of the registered image and of the outlines."""
        return self.t1.grid


def load_patient(
    *,
    t1: str | Path | None = None,
    t1c: str | Path | None = None,
    flair: str | Path | None = None,
    seg: str | Path,
    labels: str | None = None,
    core_labels: Sequence[int] | None = None,
    whole_labels: Sequence[int] | None = None,
) -> Patient:
    """Read a patient's files and check all that can be checked without registering them.

    Parameters
    ----------
    t1, t1c : path
        Skull-stripped T1-weighted image without and with contrast; at least one of them. The T1
        is registered where both are given.
    flair : path, optional
        Skull-stripped or not; shown in pictures only.
    seg : path
        Label image on the grid of the registered image.
    labels : str
        Name of a convention, see `CONVENTIONS` in `labels`.
    core_labels, whole_labels : sequence of int
        In place of a named convention.

    Raises
    ------
    InputError
        One line that says what was expected, what came and what to do.
    """
    convention = label_convention(labels, core_labels=core_labels, whole_labels=whole_labels)
    modality: Literal["t1", "t1c"] = "t1" if t1 is not None else "t1c"
    main = t1 if t1 is not None else t1c
    if main is None:
        raise InputError("a T1-weighted image is needed for the registration: give a T1 or a T1c")
    paths = {"t1": t1, "t1c": t1c, "flair": flair, "seg": seg}
    files = {k: read_nifti(p, _ROLES[k]) for k, p in paths.items() if p is not None}

    name = f"{_ROLES[modality]} {main}"
    scan = _scan(files[modality], name)
    _require_brain(scan, name)
    _require_same_grid(files["seg"], seg, scan.grid, name)
    masks = outlines_from_labels(
        files["seg"].values, scan.grid, convention, name=f"segmentation {seg}"
    )

    others: dict[str, Scan] = {}
    for role in ("flair", "t1c"):
        if role in files and role != modality:
            other = f"{_ROLES[role]} {paths[role]}"
            others[role] = _scan(files[role], other)
            _require_overlap(others[role], other, masks)
    return Patient(
        t1=scan,
        modality=modality,
        masks=masks,
        flair=others.get("flair"),
        t1c=others.get("t1c"),
        checksums={role: file.sha256 for role, file in files.items()},
        notices=tuple(_notices(files, scan, masks)),
    )


_ROLES = {"t1": "T1", "t1c": "T1c", "flair": "FLAIR", "seg": "segmentation"}


def foreground(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Largest connected region of clearly positive intensity, its holes filled.

    Of a skull-stripped image this is the brain.
    """
    above = _above_background(values)
    components, n = ndimage.label(above)
    if n > 1:
        sizes = np.bincount(components.ravel())
        sizes[0] = 0
        above = components == sizes.argmax()
    return ndimage.binary_fill_holes(above)


def _above_background(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    positive = values[values > 0]
    if positive.size == 0:
        return np.zeros(values.shape, bool)
    return values > FOREGROUND_FRACTION * np.percentile(positive, 99)


def _scan(file: NiftiFile, name: str) -> Scan:
    values = file.values.astype(np.float32)
    if not np.isfinite(values).all():
        n = int(np.size(values) - np.isfinite(values).sum())
        raise InputError(
            f"{name}: expected finite intensities, got {n} voxels of NaN or infinity; "
            "replace them by 0 or export the image again"
        )
    if not (values > 0).any():
        raise InputError(f"{name}: it holds no positive intensity; is it the right file?")
    return Scan(values, file.grid)


def _require_brain(scan: Scan, name: str) -> None:
    head = _everything_shown(scan)
    volume_ml = head.sum() * scan.grid.voxel_ml
    inner = tuple(slice(1, -1) for _ in range(3))
    on_border = (head.sum() - head[inner].sum()) / max(head.size - head[inner].size, 1)
    low, high = BRAIN_ML
    if volume_ml > high or on_border > BORDER_SHARE:
        raise InputError(
            f"{name}: expected a skull-stripped image, but its foreground measures "
            f"{volume_ml:.0f} ml (a brain: 900-1900 ml) and covers {on_border:.0%} of the border "
            "of the field of view, like a head with its skull; extract the brain first, for "
            "instance with HD-BET or SynthStrip"
        )
    if volume_ml < low:
        raise InputError(
            f"{name}: expected a whole brain (900-1900 ml), but the foreground measures "
            f"{volume_ml:.0f} ml; check the voxel size ({scan.grid}) and the brain extraction"
        )


def _everything_shown(scan: Scan) -> NDArray[np.bool_]:
    """Bright regions of at least `SPECK_ML` and all that they enclose in any slice.

    The scalp may be parted from the brain by dark bone and open at the neck; it counts all the
    same, and so does what lies inside its outline.
    """
    above = _above_background(scan.values)
    components, n = ndimage.label(above)
    sizes = np.bincount(components.ravel(), minlength=n + 1)
    kept = sizes * scan.grid.voxel_ml >= SPECK_ML
    kept[0] = False
    shown = kept[components]
    in_slice = np.zeros((3, 3, 3), bool)
    in_slice[1, :, 1] = in_slice[1, 1, :] = True
    filled = shown.copy()
    for axis in range(3):
        filled |= ndimage.binary_fill_holes(shown, np.moveaxis(in_slice, 0, axis))
    return filled


def _require_same_grid(file: NiftiFile, path: str | Path, grid: Grid, name: str) -> None:
    if file.grid == grid:
        return
    where = ""
    if file.grid.shape == grid.shape:
        corners = np.stack(np.meshgrid(*[(0, n - 1) for n in grid.shape]), -1).reshape(-1, 3)
        shift = np.abs(file.grid.to_world(corners) - grid.to_world(corners)).max()
        where = f" (of one shape, but their voxels lie up to {shift:.3g} mm apart)"
    raise InputError(
        f"segmentation {path}: it must lie on the grid of the {name}, but it has "
        f"{_geometry(file.grid)}, where that image has {_geometry(grid)}{where}; resample it with "
        "a label interpolator"
    )


def _geometry(grid: Grid) -> str:
    return f"{grid}, axes {''.join(aff2axcodes(grid.affine))}"


def _require_overlap(scan: Scan, name: str, masks: TumorMasks) -> None:
    points = masks.grid.to_world(np.argwhere(masks.whole))
    voxels = scan.grid.to_voxel(points)
    inside = ((voxels > -0.5) & (voxels < np.array(scan.grid.shape) - 0.5)).all(axis=1)
    if inside.mean() < 0.5:
        raise InputError(
            f"{name}: only {inside.mean():.0%} of the outlined tumour lies in its field of view "
            f"({_geometry(scan.grid)}); it must share the T1's world frame, co-register it first"
        )


def _notices(files: Mapping[str, NiftiFile], scan: Scan, masks: TumorMasks) -> list[str]:
    notices = [
        f"The {_ROLES[role]} declares no orientation (sform and qform codes are 0): left and right "
        "were taken as nibabel assumes them and may be exchanged."
        for role, file in files.items()
        if not file.has_orientation
    ]
    if not masks.core.any():
        notices.append(
            "The segmentation has no core (no enhancing or necrotic tumour): the score is the "
            "Dice of the whole tumour alone."
        )
    in_brain = float((scan.values[masks.whole] > 0).mean())
    if in_brain < 0.8:
        notices.append(
            f"Only {in_brain:.0%} of the outlined tumour lies inside the brain of the T1: do "
            "segmentation and image belong together?"
        )
    return notices
