"""A patient: the files' contents brought into one world.

`patient_files` checks first what the files alone show. The slow steps follow where the files need
them: `coregistration` aligns the patient's own images, and `brain` finds the brain. Neither
resamples an image that is measured later: motions enter affines. Only the outlines' version on the
T1's grid is interpolated, from the segmentation's own voxels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...errors import InputError
from ...paths import StrPath
from ...solver import TumorMasks
from ...solver.own_settings import own_arithmetic
from ..dicom.named_structures import structure_names
from ..images.field import Field
from ..images.foreground import (
    View,
    everything_shown,
    foreground,
    require_brain,
    view_of,
)
from ..images.headers import Frames
from ..images.labels import LabelConvention
from ..images.nifti import Scan
from ..images.resampling import image_in_order_of, in_order_of, resample_image, resample_masks
from ..steps import Step, Steps, silent
from .brain_option import BrainWay, checked_way
from .coregistration import align, measure_agreement, move
from .found_brain import BrainSource, find_brain
from .islands import Islands
from .lesion import add_tumour, doubts_of_place, judge_recurrence, judge_tumour
from .named_files import ROLES, follow_up_convention, seg_convention
from .patient_files import (
    PatientFiles,
    advise,
    read_patient_files,
)

__all__ = ["InputError", "Patient", "Scan", "load_patient"]

MIN_AGREEMENT = 0.06
"""Normalised mutual information of two aligned images of one head. In the native case the T1 and
the stripped T1 have 0.33, T1 and FLAIR 0.09; somebody else's T1 has 0.04."""


@dataclass(frozen=True, eq=False)
class Patient:
    """A patient's scans and outlines in native space.

    Attributes
    ----------
    t1 : Scan
        T1-weighted image that is registered, 0 outside the brain: without contrast where given,
        else with (see `modality`). The results lie on its grid.
    modality : "t1" or "t1c"
        Kind of image in `t1`.
    masks : TumorMasks
        Core (may be empty) and whole tumour on the grid of `t1`.
    flair, t1c : Scan or None
        Further images for pictures, each on its own grid, in the world of `t1`.
    checksums : mapping of str to str
        SHA-256 of each input file by its role: t1, t1c, flair, seg, brain_mask, seg_reference,
        recurrence.
    notices : tuple of str
        Notices for the user.
    drawn : TumorMasks or None
        The outlines as they were drawn, in the world of `t1`, if the segmentation has a grid of its
        own; `masks` are their interpolation.
    seg_grid : Grid or None
        The segmentation's own grid in its own world, if it has one.
    brain_mask : bool array or None
        The given or found brain on the grid of `t1`, or what an image without skull shows; None
        if no file was read.
    brain_drawn : Scan or None
        The brain mask on the voxels on which it was drawn, in the world of `t1`, if they differ.
    brain_source : BrainSource or None
        Source of the brain; None if no file was read.
    recurrence : TumorMasks or None
        Outlines of a follow-up scan on the grid of `t1`.
    convention : LabelConvention or None
        What the segmentation's labels mean; None where no file was read.
    recurrence_convention : LabelConvention or None
        What the recurrence's labels mean; None where none was read.
    frames : Frames or None
        What the header of `t1` says about its place; None where no file was read.
    islands : Islands or None
        Islands of the outlines; None if no file was read.
    timings_s : mapping of str to float
        Seconds of each step of the preparation.

    Raises
    ------
    InputError
        If there is no voxel of a tumour in `masks`, or outlines lie on another grid than `t1`.
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
    brain_source: BrainSource | None = None
    recurrence: TumorMasks | None = None
    convention: LabelConvention | None = None
    recurrence_convention: LabelConvention | None = None
    frames: Frames | None = None
    islands: Islands | None = None
    timings_s: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.masks.whole.any():
            raise InputError(
                f"the outlined tumour vanishes on the voxels of the registered image ({self.grid}):"
                " it is too small to be covered there, or nothing was outlined"
            )
        for name, masks in (("outlines", self.masks), ("recurrence", self.recurrence)):
            if masks is not None and masks.grid != self.grid:
                raise InputError(
                    f"{name}: expected on the grid of the registered image, {self.grid}, got "
                    f"{masks.grid}"
                )

    @property
    def grid(self) -> Grid:
        """The grid of the registered image and of the outlines."""
        return self.t1.grid

    @property
    def outlines(self) -> TumorMasks:
        """The outlines on the voxels on which they were drawn, which are carried to the atlas."""
        return self.masks if self.drawn is None else self.drawn

    @cached_property
    def brain(self) -> NDArray[np.bool_]:
        """The brain on the grid of `t1`: the mask, or the image's foreground, with holes filled."""
        return foreground(self.t1.values) if self.brain_mask is None else self.brain_mask

    @cached_property
    def brain_with_tumour(self) -> NDArray[np.bool_]:
        """The brain with the outlined tumour, however dark the tumour is."""
        return self.brain | self.masks.whole

    @cached_property
    def field(self) -> Field:
        """The part of `grid` around the brain with the tumour, and around a recurrence."""
        held = self.brain_with_tumour
        if self.recurrence is not None:
            held = held | self.recurrence.core | self.recurrence.whole
        return Field.around(held, self.grid)

    @cached_property
    def brain_as_drawn(self) -> NDArray[np.bool_]:
        """The brain with the tumour on the grid of `outlines`."""
        return self.brain_on(self.outlines.grid)

    @cached_property
    def field_as_drawn(self) -> Field:
        """The part of the grid of `outlines` around the brain with the tumour."""
        return Field.around(self.brain_as_drawn, self.outlines.grid)

    def brain_on(self, grid: Grid) -> NDArray[np.bool_]:
        """The brain with the tumour on another grid in the world of `t1`.

        Parameters
        ----------
        grid : Grid

        Returns
        -------
        bool array of the grid's shape
        """
        brain = self.brain_drawn or Scan(self.brain.astype(np.float32), self.grid)
        brain = image_in_order_of(grid, brain)
        outlines = in_order_of(grid, self.outlines)
        if brain.grid != grid:
            brain = resample_image(brain, grid, averaged=True)
        if outlines.grid != grid:
            outlines = resample_masks(outlines, grid)
        return (brain.values >= 0.5) | outlines.whole


@own_arithmetic()
def load_patient(
    *,
    t1: StrPath | None = None,
    t1c: StrPath | None = None,
    flair: StrPath | None = None,
    seg: StrPath,
    brain_mask: StrPath | None = None,
    seg_reference: StrPath | None = None,
    seg_grid: str = "own",
    recurrence: StrPath | None = None,
    recurrence_labels: str | None = None,
    labels: str | None = None,
    core_labels: Sequence[int] | None = None,
    whole_labels: Sequence[int] | None = None,
    core_structures: Sequence[str] | None = None,
    whole_structures: Sequence[str] | None = None,
    keep_islands: bool = False,
    brain: BrainWay = "auto",
    step: Step = silent,
) -> Patient:
    """Read a patient's files, check them, align images that lie apart, and find the brain.

    Skull-stripped images on one grid are ready as they are. Otherwise this takes 5-10 s an image
    that has a grid of its own, and 15-20 s for a brain.

    Parameters
    ----------
    t1, t1c : path
        T1-weighted image without and with contrast; at least one of them. The T1 is registered
        where both are given. Each image is a NIfTI file or the folder of a DICOM series; FOLDER#3
        is series number 3 of a folder.
    flair : path, optional
        Image for the pictures alone. Like a T1c beside a T1, it is aligned rigidly if it lies on
        another grid; on the same grid it counts as aligned.
    seg : path
        Label image, or a DICOM SEG or RTSTRUCT. Without a reference it lies in the registered
        image's world, on any grid.
    brain_mask : path, optional
        1 in the brain, in the registered image's world. Without it, the brain of a head with its
        skull comes from a stripped reference, or else is found as `brain` says.
    seg_reference : path, optional
        The image on whose grid the segmentation lies, another one of the same head, with skull
        or without; it is aligned rigidly to the registered image.
    seg_grid : "own" or "t1"
        Which voxels the segmentation has. own: those of its header. t1: those of the registered
        image, whatever the header says; the two must have one shape.
    recurrence : path, optional
        Label image of a follow-up scan, or its structures in DICOM, in the registered image's
        world, to which that scan has been co-registered; on any grid.
    recurrence_labels : str, optional
        Name of the convention of its labels; by default that of the segmentation.
    labels : str
        Name of the convention of the segmentation's labels: brats2021, brats2023 or
        brats2024-post.
    core_labels, whole_labels : sequence of int
        Labels of both outlines, in place of a named convention.
    core_structures, whole_structures : sequence of str, optional
        Names of the structures of the core, and of the whole tumour with it, in a DICOM SEG or
        RTSTRUCT; they replace labels.
    keep_islands : bool
        Whether components of the outlines that are small and far from the rest stay part of them
        (see `islands`).
    brain : "auto", "network" or "atlas"
        How the brain of a head is found: by the network of the extra `brain`, by the atlas, or by
        the first of these that is installed and finds one.
    step : callable
        Called with the name of each long step as it begins.

    Returns
    -------
    Patient
        Patient with the outlines on the grid of the registered image.

    Raises
    ------
    InputError
        If files or options do not fit; the message says what was expected, what came and what to
        do.
    ExtraError
        If you ask for the network or give a DICOM file, and the extra that it needs is not
        installed.
    RegistrationError
        If ANTs fails.
    """
    brain_way = checked_way(brain)
    structures = structure_names(core_structures, whole_structures)
    convention = seg_convention(seg, labels, core_labels=core_labels, whole_labels=whole_labels)
    follow_up = follow_up_convention(recurrence_labels, convention, recurrence)
    files = read_patient_files(
        {
            "t1": t1,
            "t1c": t1c,
            "flair": flair,
            "seg": seg,
            "brain_mask": brain_mask,
            "seg_reference": seg_reference,
            "recurrence": recurrence,
        },
        convention,
        follow_up,
        structures=structures,
        seg_grid=seg_grid,
        keep_islands=keep_islands,
    )
    name, grid = files.names[files.modality], files.image.grid
    mask, brain_drawn = files.brain_mask, files.brain_drawn
    everything = everything_shown(files.image) if mask is None else None
    view = view_of(files.image, everything) if mask is None else View.BRAIN
    if view is View.BRIGHT:
        raise InputError(
            f"{name}: expected dark air around a head or 0 around a brain, but the corners of the "
            "field of view are as bright as tissue; set the background to 0, or give an image of "
            "the whole head"
        )
    if view is not View.HEAD:
        image = files.image if mask is None else _within(files.image, mask)
        require_brain(image, name, everything)
    advice = f"check that they belong together, and {advise(files.outlines.grid, grid)}"
    if view is View.HEAD and "seg_reference" not in files.others:  # before its brain is looked for
        judge_tumour(files.outlines, foreground(files.image.values), grid, advice)

    others, drawn = dict(files.others), files.outlines
    source = BrainSource("image" if mask is None else "mask")
    notices, steps = list(files.notices), Steps(step)
    if view is View.CUT_BRAIN:
        notices.append(
            f"The {ROLES[files.modality]} shows {view.value}: the registration uses the visible "
            "part, and says nothing about the rest."
        )
    if any(image.grid != grid for image in others.values()):
        with steps("align images"):
            others, drawn, doubts = _align(files)
        notices += doubts
    if view is View.HEAD:
        with steps("extract brain"):
            found = find_brain(files.image, others.get("seg_reference"), brain_way)
        mask, brain_drawn, source = found.mask, found.drawn, found.source
        require_brain(_within(files.image, mask), name)
        notices.append(
            f"The {ROLES[files.modality]} shows {view.value}; its brain is {found.told}. Look at "
            "the pictures, or give a brain mask."
        )

    masks = drawn = in_order_of(grid, drawn)
    has_own_grid = drawn.grid != grid
    if has_own_grid:
        masks = resample_masks(drawn, grid)
    shown = foreground(files.image.values) if mask is None else mask
    is_left_out, told = judge_tumour(drawn, shown, grid, advice)
    notices += told
    if is_left_out:
        shown = add_tumour(shown, masks.whole, grid.spacing_mm)
        if brain_drawn is not None:
            outlined = resample_masks(drawn, brain_drawn.grid)
            both = add_tumour(
                brain_drawn.values >= 0.5, outlined.whole, brain_drawn.grid.spacing_mm
            )
            brain_drawn = Scan(both.astype(np.float32), brain_drawn.grid)
    notices += doubts_of_place(shown, masks.whole)
    is_on_0 = mask is None and _is_mostly_0(files.image.values[~shown])
    scan = files.image if is_on_0 else _within(files.image, shown)
    if files.recurrence is not None:
        notices += judge_recurrence(files.recurrence, shown, grid)
    return Patient(
        t1=scan,
        modality=files.modality,
        masks=masks,
        flair=others.get("flair"),
        t1c=others.get("t1c"),
        checksums=files.checksums,
        notices=tuple(notices),
        drawn=drawn if has_own_grid else None,
        seg_grid=files.outlines.grid if has_own_grid else None,
        brain_mask=shown,
        brain_drawn=brain_drawn,
        brain_source=source,
        recurrence=files.recurrence,
        convention=convention,
        recurrence_convention=None if files.recurrence is None else follow_up,
        frames=files.frames,
        islands=files.islands,
        timings_s=steps.seconds,
    )


def _is_mostly_0(background: NDArray[np.float32]) -> bool:
    """Whether a background has no noise or ripples, so that the dark rim of the brain may stay."""
    return not background.size or float(np.mean(background == 0)) >= 0.5


def _within(image: Scan, mask: NDArray[np.bool_]) -> Scan:
    return Scan(np.where(mask, image.values, np.float32(0)), image.grid)


def _align(files: PatientFiles) -> tuple[dict[str, Scan], TumorMasks, list[str]]:
    """The further images and the outlines in the registered image's world, and notices."""
    others, outlines, doubts = dict(files.others), files.outlines, []
    own = [role for role, image in others.items() if image.grid != files.image.grid]
    with ThreadPoolExecutor(2) as pool:
        motions = pool.map(lambda role: align(files.others[role], files.image), own)
        for role, motion in zip(own, motions, strict=True):
            others[role] = Scan(others[role].values, move(others[role].grid, motion))
            agreement = measure_agreement(files.image, others[role])
            if agreement < MIN_AGREEMENT:
                doubts.append(
                    f"{files.names[role]}: aligned with the {files.names[files.modality]}, it "
                    "shares too little with it (normalised mutual information "
                    f"{agreement:.3f}, at least {MIN_AGREEMENT}): are they of one head? If so, "
                    "give an image of the same contrast in its place"
                )
                if role == "seg_reference":  # all that follows hangs on it
                    raise InputError(doubts[-1])
            if role == "seg_reference":
                outlines = TumorMasks(outlines.core, outlines.whole, move(outlines.grid, motion))
    return others, outlines, doubts
