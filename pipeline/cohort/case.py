"""A patient of a cohort, with the files of one scan or of several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...solver.listed_treatments import ListedTreatment
from ..dicom.named_structures import StructureNames
from ..names import subject_label
from ..scans.scan_days import NamedScans, ScanFiles

TISSUES = ("tissue_gm", "tissue_wm", "tissue_csf")
"""Maps of a patient's own tissue: all three or none."""


@dataclass(frozen=True)
class Case:
    """A patient: a row of the table, or several with days.

    Attributes
    ----------
    identifier : str
        The user's name for the patient.
    scans : mapping of str to Path
        Files by role, of `SCANS` and `TISSUES`, as far as they are given.
    labels : str
        Name of the segmentation's label convention; empty for DICOM.
    others : mapping of str to str
        The row's cells under further heads, as they stand; no part of the request.
    seg_grid : "own" or "t1"
        The voxels that the segmentation has; see `load_patient`.
    recurrence_labels : str or None
        Name of the recurrence's label convention, if it differs from the segmentation's.
    structures : StructureNames or None
        Names of the outlines' structures in DICOM files.
    dicom : Path or None
        Folder for DICOM outputs.
    participant : str or None
        Label in a BIDS dataset, with that of a session if there is one (`01_ses-pre`).
    day : float or None
        Day of the first scan, if the table gives it.
    later : tuple of ScanFiles
        Later scans, in the order of their days.
    forecast : tuple of float
        Days after the last scan that are forecast.
    treatment_file : Path or None
        File that lists the treatments.
    treatments : tuple of ListedTreatment
        What was done after the first scan.
    """

    identifier: str
    scans: Mapping[str, Path]
    labels: str
    others: Mapping[str, str] = field(default_factory=dict)
    seg_grid: str = "own"
    recurrence_labels: str | None = None
    structures: StructureNames | None = None
    dicom: Path | None = None
    participant: str | None = None
    day: float | None = None
    later: tuple[ScanFiles, ...] = ()
    forecast: tuple[float, ...] = ()
    treatment_file: Path | None = None
    treatments: tuple[ListedTreatment, ...] = ()

    @property
    def subject(self) -> str:
        """BIDS label in file names."""
        return self.participant or subject_label(self.identifier)

    @property
    def place(self) -> str:
        """Folder of the result below the cohort's; in a BIDS dataset, the one for anatomy."""
        if self.participant is None:
            return f"sub-{self.subject}"
        return f"sub-{self.participant}/anat".replace("_", "/")

    @property
    def files(self) -> dict[str, Path]:
        """All files by role.

        `t1_2` and `seg_2` are of the second scan, `treatment_2` is the map of the second treatment.
        """
        later = {
            f"{role}_{number}": path
            for number, scan in enumerate(self.later, start=2)
            for role, path in (("t1", scan.t1), ("seg", scan.seg))
        }
        treated = {
            f"treatment_{number}": one.map
            for number, one in enumerate(self.treatments, start=1)
            if one.map is not None
        }
        if self.treatment_file is not None:
            treated["treatments"] = self.treatment_file
        return {**self.scans, **later, **treated}

    @property
    def named_scans(self) -> NamedScans | None:
        """All scans, where there are several."""
        if not self.later:
            return None
        first = ScanFiles(self.scans["t1"], self.scans["seg"], self.day or 0.0, self.seg_grid)
        return NamedScans(first, self.later, self.forecast, self.treatments, self.treatment_file)

    @property
    def tissue(self) -> tuple[Path, Path, Path] | None:
        """Maps of grey matter, white matter and fluid, where they are given."""
        if TISSUES[0] not in self.scans:
            return None
        gm, wm, csf = (self.scans[role] for role in TISSUES)
        return gm, wm, csf
