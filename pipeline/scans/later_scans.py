"""Later scans of a patient: read, checked, and laid on the first one.

The first scan leads: its T1 is registered, and all maps lie on its grid. The T1 of a
later scan is aligned rigidly with it, and the motion enters the affine of that scan's outlines.
Tissue that the tumour has moved between the scans limits this alignment; the result records how
much information the two T1 share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...dbgen.machine.files import sha256_of
from ...errors import InputError
from ...paths import StrPath
from ...solver import TumorMasks
from ...solver.listed_treatments import ListedTreatment
from ..images.labels import LabelConvention
from ..images.nifti import Scan
from ..patient.coregistration import align, measure_agreement, move
from ..patient.lesion import judge_later
from ..patient.named_files import ROLES
from ..patient.patient import MIN_AGREEMENT, Patient
from ..patient.patient_files import PatientFiles, read_patient_files
from .dated_outlines import DatedOutlines, in_order
from .placed_treatments import PlacedTreatment, read_map
from .scan_days import ScanFiles, checked_forecast, require_ahead, require_days, say_day


@dataclass(frozen=True, eq=False)
class LaterScan:
    """A later scan in the world of the first.

    Attributes
    ----------
    outlines : TumorMasks
        Outlines on their own voxels.
    day : float
    agreement : float
        Normalised mutual information of its T1 with the first one, 0 to 1.
    checksums : tuple of (str, str)
        SHA-256 of its T1 and its segmentation.
    notices : tuple of str
    motion : (4, 4) float array or None
        From the world of its files into that of the first scan; None where they share one.
    """

    outlines: TumorMasks
    day: float
    agreement: float
    checksums: tuple[str, str]
    notices: tuple[str, ...] = ()
    motion: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class FollowUp:
    """A patient's later scans, and the days to forecast.

    Attributes
    ----------
    first_day : float
        Day of the first scan.
    later : tuple of LaterScan
    forecast : tuple of float
        Days after the last scan to forecast.
    treatments : tuple of PlacedTreatment
    list_checksum : str or None
        SHA-256 of the file that lists them.
    """

    first_day: float
    later: tuple[LaterScan, ...]
    forecast: tuple[float, ...] = ()
    treatments: tuple[PlacedTreatment, ...] = ()
    list_checksum: str | None = None

    @property
    def notices(self) -> list[str]:
        """Notices about the files."""
        of_scans = [notice for scan in self.later for notice in scan.notices]
        return of_scans + [notice for one in self.treatments for notice in one.notices]

    @property
    def checksums(self) -> dict[str, str]:
        """SHA-256 of each later file by its role.

        `t1_2` and `seg_2` are of the second scan, `treatment_1` is the map of the first treatment,
        `treatments` the list of all.
        """
        of_scans = {
            f"{role}_{number}": checksum
            for number, scan in enumerate(self.later, start=2)
            for role, checksum in zip(("t1", "seg"), scan.checksums, strict=True)
        }
        of_treatments = {
            f"treatment_{number}": one.checksum
            for number, one in enumerate(self.treatments, start=1)
            if one.checksum is not None
        }
        if self.list_checksum is not None:
            of_treatments["treatments"] = self.list_checksum
        return of_scans | of_treatments


def load_follow_up(
    patient: Patient,
    first_day: float,
    later: Sequence[ScanFiles],
    *,
    convention: LabelConvention,
    forecast: Sequence[float] = (),
    treatments: Sequence[ListedTreatment] = (),
    treatment_file: StrPath | None = None,
    keep_islands: bool = False,
) -> FollowUp:
    """Read a patient's later scans and lay them on the first (5 s each).

    Parameters
    ----------
    patient : Patient
        The first scan.
    first_day : float
        Day of the first scan.
    later : sequence of ScanFiles
        Files and day of each later scan.
    convention : LabelConvention
        What the labels of the segmentations mean.
    forecast : sequence of float
        Days after the last scan to forecast.
    treatments : sequence of ListedTreatment
        What was done after the first scan, as `read_treatments` returns it.
    treatment_file : str or os.PathLike, optional
        The file that lists them, for the record of inputs.
    keep_islands : bool
        As `load_patient` takes it for the first scan.

    Returns
    -------
    FollowUp

    Raises
    ------
    InputError
        If a later scan is of no later day, or a day to forecast cannot be, before anything is read;
        if a file is no image of a head, no segmentation or no map of a treatment, a T1 shares too
        little with the first, an outlined tumour lies outside the brain or shrinks untreated, or
        headers leave open where a map lies.
    """
    if forecast:
        require_ahead(forecast)
        last_day = max((one.day for one in later), default=first_day)
        checked_forecast([last_day + after for after in forecast], last_day, first_day)
    require_days([first_day, *(one.day for one in later)])
    earliest = min((one.day for one in later), default=first_day)
    if earliest < first_day:
        raise InputError(
            f"expected later scans than the patient's, of day {say_day(first_day)}, got one of day "
            f"{say_day(earliest)}: load the patient from the earliest scan"
        )
    read = [
        (one, _read(one, convention, keep_islands))
        for one in sorted(later, key=lambda one: one.day)
    ]
    first = DatedOutlines(patient.outlines, first_day)
    in_order(
        [first, *(DatedOutlines(files.outlines, one.day) for one, files in read)],
        [one.day for one in treatments],
    )
    images = [patient.frames, *(files.frames for _, files in read)]
    names = ["T1 of the first scan", *(f"T1 {one.t1}" for one, _ in read)]
    maps = [read_map(one).on_image(images[one.scan - 1], names[one.scan - 1]) for one in treatments]
    laid = tuple(_lay(one, files, patient) for one, files in read)
    motions = (None, *(scan.motion for scan in laid))
    placed = tuple(one.moved(motions[one.listed.scan - 1]) for one in maps)
    listed = None if treatment_file is None else sha256_of(Path(treatment_file))
    return FollowUp(first_day, laid, tuple(forecast), placed, listed)


def _read(one: ScanFiles, convention: LabelConvention, keep_islands: bool) -> PatientFiles:
    paths: dict[str, StrPath | None] = dict.fromkeys(ROLES)
    return read_patient_files(
        paths | {"t1": one.t1, "seg": one.seg},
        convention,
        convention,
        seg_grid=one.seg_grid,
        keep_islands=keep_islands,
    )


def _lay(one: ScanFiles, files: PatientFiles, patient: Patient) -> LaterScan:
    image, outlines, motion = files.image, files.outlines, None
    if image.grid != patient.grid:
        motion = align(image, patient.t1)
        image = Scan(image.values, move(image.grid, motion))
        outlines = TumorMasks(outlines.core, outlines.whole, move(outlines.grid, motion))
    agreement = measure_agreement(patient.t1, image)
    if agreement < MIN_AGREEMENT:
        raise InputError(
            f"T1 {one.t1} of day {say_day(one.day)}: aligned with the first scan's, it shares too "
            f"little with it (normalised mutual information {agreement:.2f}, at least "
            f"{MIN_AGREEMENT}): give scans of one patient"
        )
    scan = f"the scan of day {say_day(one.day)}"
    advice = f"check that T1 and segmentation {one.seg} belong together"
    doubts = judge_later(outlines, patient.brain_with_tumour, patient.grid, scan, advice)
    return LaterScan(
        outlines=outlines,
        day=one.day,
        agreement=agreement,
        checksums=(files.checksums["t1"], files.checksums["seg"]),
        notices=(
            *(f"Scan of day {say_day(one.day)}: {notice}" for notice in files.notices),
            *doubts,
        ),
        motion=motion,
    )
