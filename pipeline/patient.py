"""A patient's files, read, checked and brought into one world.

All that can be told from the files is checked first. Then, where they need it, come the steps that
take time: the patient's own images are aligned (`coregistration`), the brain is found (`brain`).
Neither resamples an image that is measured later: motions enter affines, and only the outlines'
version on the T1's grid is interpolated, from the segmentation's own voxels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray

from ..atlas import Grid
from ..solver import TumorMasks
from .brain import extract_brain
from .coregistration import align, measure_agreement, move
from .foreground import (
    BRAIN_ML,
    above_background,
    foreground,
    require_brain,
    require_intensities,
    shows_head,
)
from .labels import LabelConvention, label_convention, outlines_from_labels
from .learned_brain import extract_learned
from .nifti import InputError, NiftiFile, Scan, read_nifti
from .transform import AtlasTransform

__all__ = ["InputError", "Patient", "Scan", "load_patient"]

MIN_IN_BRAIN = 0.5
"""Share of an outlined tumour inside the brain, or the field of view, below which the images are
no pair."""

MOST_SHEAR = 1e-3
"""Largest cosine between two voxel axes; headers are rounded, ITK's images have right angles."""

SAME_GRID_VOXELS = 0.05
"""Corners of two files' grids nearer than this are of one grid: headers are rounded."""

MIN_AGREEMENT = 0.06
"""Normalised mutual information of two aligned images of one head. In the native case the T1 and
the stripped T1 have 0.33, T1 and FLAIR 0.09; somebody else's T1 has 0.04."""

Step = Callable[[str], None]
"""Told the name of each step as it begins."""


@dataclass(frozen=True, eq=False)
class Patient:
    """A patient's scans and outlines in native space.

    Attributes
    ----------
    t1 : Scan
        T1-weighted image that is registered, 0 outside the brain: without contrast where given,
        else with (see `modality`). The results lie on its grid.
    modality : "t1" or "t1c"
        What `t1` holds.
    masks : TumorMasks
        Core (may be empty) and whole tumour on the grid of `t1`.
    flair, t1c : Scan or None
        Further images for pictures, each on its own grid, in the world of `t1`.
    checksums : mapping of str to str
        SHA-256 of each input file by its role: t1, t1c, flair, seg, brain_mask, seg_reference,
        recurrence.
    notices : tuple of str
        What the user should know although it is no error.
    drawn : TumorMasks or None
        The outlines as they were drawn, in the world of `t1`, where the segmentation has a grid
        of its own; `masks` are these, interpolated.
    seg_grid : Grid or None
        The segmentation's own grid in its own world, where it has one.
    brain_mask : bool array or None
        The brain on the grid of `t1`: given, found, or what an image without skull shows; None
        stands for the last.
    brain_drawn : Scan or None
        The same on the voxels it was drawn on, in the world of `t1`, where those are others.
    recurrence : TumorMasks or None
        Outlines of a follow-up scan on the grid of `t1`.
    convention : LabelConvention or None
        What the segmentation's labels mean; None where no file was read.
    timings_s : mapping of str to float
        Seconds a step of the preparation.
    """

    t1: Scan
    modality: Literal["t1", "t1c"]
    masks: TumorMasks
    flair: Scan | None
    t1c: Scan | None
    checksums: Mapping[str, str]
    notices: tuple[str, ...]
    drawn: TumorMasks | None = None
    seg_grid: Grid | None = None
    brain_mask: NDArray[np.bool_] | None = None
    brain_drawn: Scan | None = None
    recurrence: TumorMasks | None = None
    convention: LabelConvention | None = None
    timings_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def grid(self) -> Grid:
        """The grid of the registered image and of the outlines."""
        return self.t1.grid

    @property
    def outlines(self) -> TumorMasks:
        """The outlines on the voxels they were drawn on: what is carried to the atlas, once."""
        return self.masks if self.drawn is None else self.drawn

    @cached_property
    def brain(self) -> NDArray[np.bool_]:
        """The brain on the grid of `t1`: the mask, or what the image shows, its holes filled."""
        return foreground(self.t1.values) if self.brain_mask is None else self.brain_mask

    @property
    def brain_with_tumour(self) -> NDArray[np.bool_]:
        """The brain, to which the outlined tumour belongs however dark it is."""
        return self.brain | self.masks.whole

    def brain_on(self, grid: Grid) -> NDArray[np.bool_]:
        """The brain with the tumour on another grid in the world of `t1`."""
        brain = self.brain_drawn or Scan(self.brain.astype(np.float32), self.grid)
        outlines, carry = self.outlines, AtlasTransform.identity()
        if brain.grid != grid:
            brain = carry.image_to_patient(brain, grid, averaged=True)
        if outlines.grid != grid:
            outlines = carry.masks_to_patient(outlines, grid)
        return (brain.values >= 0.5) | outlines.whole


def load_patient(
    *,
    t1: str | Path | None = None,
    t1c: str | Path | None = None,
    flair: str | Path | None = None,
    seg: str | Path,
    brain_mask: str | Path | None = None,
    seg_reference: str | Path | None = None,
    recurrence: str | Path | None = None,
    labels: str | None = None,
    core_labels: Sequence[int] | None = None,
    whole_labels: Sequence[int] | None = None,
    step: Step = lambda name: None,
) -> Patient:
    """Read a patient's files, check them, align what lies apart and find the brain.

    Skull-stripped images on one grid are ready as they are. Otherwise this takes 5-10 s an image
    that has a grid of its own, and 15-20 s for a brain.

    Parameters
    ----------
    t1, t1c : path
        T1-weighted image without and with contrast; at least one of them. The T1 is registered
        where both are given.
    flair : path, optional
        Shown in pictures only. Like a T1c beside a T1, it is aligned rigidly where it lies on
        another grid; on the same grid it is taken to be aligned.
    seg : path
        Label image. Without a reference it lies in the registered image's world, on any grid.
    brain_mask : path, optional
        1 in the brain, in the registered image's world. Without it, a head with its skull gets
        the mask of a stripped reference, or else the one that `learned_brain` or `brain` finds.
    seg_reference : path, optional
        The image on whose grid the segmentation lies, another one of the same head, with skull
        or without; it is aligned rigidly to the registered image.
    recurrence : path, optional
        Label image of a follow-up scan, of the same convention, in the registered image's world,
        to which that scan has been co-registered; on any grid.
    labels : str
        Name of a convention, see `CONVENTIONS` in `labels`.
    core_labels, whole_labels : sequence of int
        In place of a named convention.
    step : callable
        Told the name of each long step as it begins.

    Raises
    ------
    InputError
        One line that says what was expected, what came and what to do.
    RegistrationError
        If ANTs fails.
    """
    convention = label_convention(labels, core_labels=core_labels, whole_labels=whole_labels)
    modality: Literal["t1", "t1c"] = "t1" if t1 is not None else "t1c"
    main = t1 if t1 is not None else t1c
    if main is None:
        raise InputError("a T1-weighted image is needed for the registration: give a T1 or a T1c")
    paths = {
        "t1": t1,
        "t1c": t1c,
        "flair": flair,
        "seg": seg,
        "brain_mask": brain_mask,
        "seg_reference": seg_reference,
        "recurrence": recurrence,
    }
    files = {k: read_nifti(p, _ROLES[k]) for k, p in paths.items() if p is not None}
    names = {k: f"{_ROLES[k]} {paths[k]}" for k in files}
    for role, file in files.items():
        for other in (modality, "seg_reference"):
            if other in files and _is_same_grid(file.grid, files[other].grid):
                files[role] = replace(file, grid=files[other].grid)
                break

    scan = _scan(files[modality], names[modality])
    require_intensities(scan.values, names[modality])
    seg_grid = files["seg"].grid
    _require_right_angles(seg_grid, names["seg"])
    drawn = outlines_from_labels(files["seg"].values, seg_grid, convention, name=names["seg"])
    mask = brain_drawn = None
    if brain_mask is not None:
        mask, brain_drawn = _read_mask(files["brain_mask"], names["brain_mask"], scan)
    later, share_seen = None, 1.0
    if recurrence is not None:
        later, share_seen = _read_recurrence(
            files["recurrence"], names["recurrence"], scan.grid, convention
        )
    apart = {
        role: _scan(files[role], names[role])
        for role in ("seg_reference", "flair", "t1c")
        if role in files and role != modality
    }
    reference = apart.get("seg_reference")
    if reference is None:
        _require_overlap(scan, names[modality], drawn, names["seg"])
    elif reference.grid != seg_grid:
        raise InputError(
            f"{names['seg_reference']}: the segmentation must lie on its grid, but it has "
            f"{_geometry(reference.grid)}, where the segmentation has {_geometry(seg_grid)}; name "
            "the image that was segmented"
        )
    elif files["seg_reference"].sha256 == files[modality].sha256:
        del apart["seg_reference"]
    else:
        require_intensities(reference.values, names["seg_reference"])
    is_head = mask is None and shows_head(scan)
    if not is_head:
        scan = Scan(scan.values if mask is None else np.where(mask, scan.values, 0), scan.grid)
        require_brain(scan, names[modality])

    notices = [] if seg_reference or seg_grid == scan.grid else [_apart(seg_grid, scan, modality)]
    timings: dict[str, float] = {}
    own = [role for role, image in apart.items() if image.grid != scan.grid]
    if own:
        began = time.perf_counter()
        step("align images")
        head = _scan(files[modality], names[modality])
        with ThreadPoolExecutor(2) as pool:
            motions = pool.map(lambda role: align(apart[role], head), own)
            for role, motion in zip(own, motions, strict=True):
                apart[role] = Scan(apart[role].values, move(apart[role].grid, motion))
                doubt = _doubt_of(apart[role], head, names[role], names[modality])
                if role == "seg_reference":
                    drawn = TumorMasks(drawn.core, drawn.whole, move(seg_grid, motion))
                    if doubt:
                        raise InputError(doubt)
                elif doubt:
                    notices.append(doubt)
        timings["align images"] = round(time.perf_counter() - began, 3)
    if is_head:
        began = time.perf_counter()
        step("extract brain")
        reference = apart.get("seg_reference")
        if reference is not None and not shows_head(reference):
            brain_drawn = Scan(foreground(reference.values).astype(np.float32), reference.grid)
            mask = _carry_mask(brain_drawn, scan.grid)
            source = "that of the segmentation's reference"
        else:
            mask, source = extract_learned(scan), "found by a network (deepbet)"
            if mask is None:
                mask, source = extract_brain(scan), "found with the help of the atlas"
        scan = Scan(np.where(mask, scan.values, 0).astype(np.float32), scan.grid)
        require_brain(scan, names[modality])
        notices.append(
            f"The {_ROLES[modality]} shows a head with its skull; its brain is {source}. Look at "
            "the pictures, or give a brain mask."
        )
        timings["extract brain"] = round(time.perf_counter() - began, 3)

    masks, has_own_grid = drawn, drawn.grid != scan.grid
    if has_own_grid:
        masks = AtlasTransform.identity().masks_to_patient(drawn, scan.grid)
    brain = foreground(scan.values) if mask is None else mask
    notices += _header_notices(files)
    if not masks.core.any():
        notices.append(
            "The segmentation has no core (no enhancing or necrotic tumour): the score is the "
            "Dice of the whole tumour alone."
        )
    notices += _place_notices(
        drawn, brain, scan.grid, "the outlined tumour",
        "check that segmentation and image belong together, and name the image that was segmented "
        "as the segmentation's reference (--seg-reference)",
    )  # fmt: skip
    if later is not None:
        if share_seen < 1:
            notices.append(
                f"Only {share_seen:.0%} of the recurrence lies in the field of view of the "
                "registered image: the coverage is that of this part."
            )
        notices += _place_notices(
            later, brain, scan.grid, "the recurrence",
            "co-register the follow-up scan to the registered image first",
        )  # fmt: skip
    return Patient(
        t1=scan,
        modality=modality,
        masks=masks,
        flair=apart.get("flair"),
        t1c=apart.get("t1c"),
        checksums={role: file.sha256 for role, file in files.items()},
        notices=tuple(notices),
        drawn=drawn if has_own_grid else None,
        seg_grid=seg_grid if has_own_grid else None,
        brain_mask=brain,
        brain_drawn=brain_drawn,
        recurrence=later,
        convention=convention,
        timings_s=timings,
    )


_ROLES = {
    "t1": "T1",
    "t1c": "T1c",
    "flair": "FLAIR",
    "seg": "segmentation",
    "brain_mask": "brain mask",
    "seg_reference": "segmentation's reference",
    "recurrence": "recurrence",
}


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
    _require_right_angles(file.grid, name)
    return Scan(values, file.grid)


def _require_right_angles(grid: Grid, name: str) -> None:
    axes = grid.affine[:3, :3] / grid.spacing_mm
    if not np.allclose(axes.T @ axes, np.eye(3), atol=MOST_SHEAR):
        raise InputError(
            f"{name}: expected voxel axes at right angles, got a sheared grid, which neither the "
            "registration nor distances in mm can take; resample the image first"
        )


def _is_same_grid(grid: Grid, other: Grid) -> bool:
    if grid.shape != other.shape:
        return False
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(grid.shape) - 1)
    apart = other.to_voxel(grid.to_world(corners)) - corners
    return bool(np.abs(apart).max() < SAME_GRID_VOXELS)


def _read_mask(file: NiftiFile, name: str, scan: Scan) -> tuple[NDArray[np.bool_], Scan | None]:
    """A brain mask on the registered image's grid, and on its own where that is another."""
    found = np.unique(file.values)
    if len(found) > 2 or found[0] != 0 or not np.isfinite(found).all():
        raise InputError(
            f"{name}: expected 0 outside and one other value inside the brain, got "
            f"{len(found)} values from {found[0]:g} to {found[-1]:g}; threshold it first"
        )
    mask = file.values > 0
    volume_ml = float(mask.sum() * file.grid.voxel_ml)
    if not BRAIN_ML[0] <= volume_ml <= BRAIN_ML[1]:
        raise InputError(
            f"{name}: expected a brain (900-1900 ml), but the mask measures {volume_ml:.0f} ml"
        )
    drawn = None if file.grid == scan.grid else Scan(mask.astype(np.float32), file.grid)
    carried = mask if drawn is None else _carry_mask(drawn, scan.grid)
    lit = float(above_background(scan.values)[carried].mean()) if carried.any() else 0.0
    if carried.sum() * scan.grid.voxel_ml < 0.8 * volume_ml or lit < 0.8:
        raise InputError(
            f"{name}: it does not lie on the brain of the image ({lit:.0%} of what it covers "
            "there is bright); both must share one world frame, as a mask made from that image does"
        )
    return carried, drawn


def _read_recurrence(
    file: NiftiFile, name: str, grid: Grid, convention: LabelConvention
) -> tuple[TumorMasks, float]:
    """A follow-up segmentation on the registered image's grid, and the share that is seen there."""
    masks = outlines_from_labels(file.values, file.grid, convention, name=name)
    if file.grid == grid:
        return masks, 1.0
    share = _share_in_view(masks, grid)
    if share < MIN_IN_BRAIN:
        raise InputError(
            f"{name}: only {share:.0%} of it lies in the field of view of the registered image "
            f"({_geometry(grid)}, where it has {_geometry(file.grid)}); co-register the follow-up "
            "scan to that image first"
        )
    carried = AtlasTransform.identity().masks_to_patient(masks, grid)
    if not carried.whole.any():
        raise InputError(
            f"{name}: it vanishes on the voxels of the registered image ({_geometry(grid)}, where "
            f"it has {_geometry(file.grid)}); it is too small to be covered there"
        )
    return carried, share


def _share_in_view(masks: TumorMasks, grid: Grid) -> float:
    voxels = grid.to_voxel(masks.grid.to_world(np.argwhere(masks.whole)))
    inside = ((voxels > -0.5) & (voxels < np.array(grid.shape) - 0.5)).all(axis=1)
    return float(inside.mean())


def _carry_mask(mask: Scan, grid: Grid) -> NDArray[np.bool_]:
    return AtlasTransform.identity().image_to_patient(mask, grid).values >= 0.5


def _geometry(grid: Grid) -> str:
    return f"{grid}, axes {''.join(aff2axcodes(grid.affine))}"


def _apart(seg_grid: Grid, scan: Scan, modality: str) -> str:
    return (
        f"The segmentation lies on another grid ({_geometry(seg_grid)}) than the "
        f"{_ROLES[modality]} ({_geometry(scan.grid)}); their headers' frames were taken for one. "
        "If they are not, name the image that was segmented as its reference."
    )


def _require_overlap(scan: Scan, name: str, masks: TumorMasks, seg_name: str) -> None:
    share = _share_in_view(masks, scan.grid)
    if share < MIN_IN_BRAIN:
        raise InputError(
            f"{seg_name}: only {share:.0%} of the outlined tumour lies in the field of "
            f"view of the {name} ({_geometry(scan.grid)}); name the image that was segmented as "
            "the segmentation's reference (--seg-reference), so that it can be aligned"
        )


def _doubt_of(moved: Scan, fixed: Scan, name: str, fixed_name: str) -> str:
    """Why two aligned images may not be of one head; empty where they may."""
    found = measure_agreement(fixed, moved)
    if found >= MIN_AGREEMENT:
        return ""
    return (
        f"{name}: aligned with the {fixed_name}, it shares too little with it (normalised mutual "
        f"information {found:.2f}, at least {MIN_AGREEMENT}): are they of one head?"
    )


def _header_notices(files: Mapping[str, NiftiFile]) -> list[str]:
    return [
        f"The {_ROLES[role]} declares no orientation (sform and qform codes are 0): left and right "
        "were taken as nibabel assumes them and may be exchanged."
        for role, file in files.items()
        if not file.has_orientation
    ] + [
        f"The {_ROLES[role]} declares two frames that differ (sform and qform): the sform was "
        "taken, other programs may take the qform."
        for role, file in files.items()
        if file.has_two_frames
    ]


def _place_notices(
    masks: TumorMasks, brain: NDArray[np.bool_], grid: Grid, what: str, advice: str
) -> list[str]:
    """What to tell of outlines that lie partly outside the brain; mostly outside is an error."""
    at = np.rint(grid.to_voxel(masks.grid.to_world(np.argwhere(masks.whole)))).astype(int)
    seen = ((at >= 0) & (at < grid.shape)).all(axis=1)
    share = float(brain[tuple(at[seen].T)].sum() / len(at))
    if share < MIN_IN_BRAIN:
        raise InputError(f"only {share:.0%} of {what} lies inside the brain of the image; {advice}")
    if share < 0.8:
        return [f"Only {share:.0%} of {what} lies inside the brain of the image; {advice}."]
    return []
