"""A cohort's cases: the rows of a table, one for each scan, checked before any work."""

from __future__ import annotations

import dataclasses
import difflib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import ExtraError, InputError
from ...paths import StrPath
from ..dicom.dicom_path import is_dicom, require_extra
from ..dicom.named_structures import StructureNames, structure_names
from ..images.labels import label_convention
from ..names import checked_identifier, subject_label
from ..patient.named_files import (
    IMAGES,
    OUTLINES,
    SEG_GRIDS,
    follow_up_convention,
    seg_convention,
)
from ..results.table_file import Table, listed, read_table
from ..scans.scan_days import ScanFiles, parse_day, require_days

SCANS = ("t1", "t1c", "flair", "seg", "brain_mask", "seg_reference", "recurrence")
"""Files of a patient, as `load_patient` takes them."""

TISSUES = ("tissue_gm", "tissue_wm", "tissue_csf")
"""Maps of a patient's own tissue: all three or none."""

STRUCTURES = ("core_structures", "whole_structures")
"""Names of structures with commas, for outlines in DICOM."""

COLUMNS = (
    "id", *SCANS, *TISSUES, "labels", "recurrence_labels", "seg_grid", *STRUCTURES, "dicom", "day",
)  # fmt: skip
"""The known columns of a table; the others are copied to the cohort's summary."""

NOTHING = frozenset({"n/a", "na", "nan", "none", "null"})
"""Words for an empty cell, in lower case, of BIDS, R, pandas, Python and databases."""


OF_LATER_SCANS = frozenset({"t1", "seg"})
"""Files of a scan after the first."""


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
        """All files by role; `t1_2` and `seg_2` belong to the second scan."""
        later = {
            f"{role}_{number}": path
            for number, scan in enumerate(self.later, start=2)
            for role, path in (("t1", scan.t1), ("seg", scan.seg))
        }
        return {**self.scans, **later}

    @property
    def tissue(self) -> tuple[Path, Path, Path] | None:
        """Maps of grey matter, white matter and fluid, where they are given."""
        if TISSUES[0] not in self.scans:
            return None
        gm, wm, csf = (self.scans[role] for role in TISSUES)
        return gm, wm, csf


@dataclass(frozen=True)
class CaseTable:
    """The cases of a table.

    Attributes
    ----------
    cases : tuple of Case
        In the order of the rows.
    notices : tuple of str
        Notices for the user.
    """

    cases: tuple[Case, ...]
    notices: tuple[str, ...]


def read_cases(path: StrPath, *, labels: str | None = None) -> CaseTable:
    """Read a cohort's table and check all its rows.

    Parameters
    ----------
    path : str or os.PathLike
        `COLUMNS` in any order; all but id, seg and one of t1 and t1c may be left out. Cells may be
        empty, or one of `NOTHING`, if a T1 or T1c remains. Paths are relative to the file; `~` and
        `$NAME` are expanded as in a shell. Rows of one id that have a day are scans of one patient.
        `table_file` says what a table may look like.
    labels : str, optional
        Convention of the rows that name none.

    Returns
    -------
    CaseTable

    Raises
    ------
    InputError
        If the table has faults; the message lists them with their lines in the file.
    """
    path = Path(path)
    name = f"cases {path}"
    table = read_table(path, COLUMNS, name)
    _require_columns(table, name)
    faults: list[str] = []
    read: list[tuple[int, Case]] = []
    for line, cells in table.rows:
        case, found = _read_case(cells, path.parent, labels)
        faults += [f"line {line}: {fault}" for fault in found]
        read.append((line, case))
    cases: list[Case] = []
    seen: dict[str, str] = {}
    for line, case, found in _joined(read):
        label = case.subject.lower()  # some file systems know no capitals
        if label in seen:
            found.append(
                f"the ids {case.identifier!r} and {seen[label]!r} share the label {label!r}, of "
                "letters and digits alone, that names the folder"
                if seen[label] != case.identifier
                else f"the id {case.identifier!r} occurs twice: give each of its scans a day"
            )
        seen.setdefault(label, case.identifier)
        faults += [f"line {line}: {fault}" for fault in found]
        cases.append(case)
    if faults:
        raise InputError(f"{name}: {listed(faults)}")
    return CaseTable(tuple(cases), (*table.notices, *_tell_others(table.heads)))


def _require_columns(table: Table, name: str) -> None:
    heads = set(table.heads)
    if not {"id", "seg"} <= heads or not {"t1", "t1c"} & heads:
        raise InputError(
            f"{name}: expected a head with id, seg and t1 or t1c, among {', '.join(COLUMNS)}, "
            "separated by commas, semicolons or tabs; got "
            f"{', '.join(map(repr, table.heads)) or 'none'}"
        )
    if not table.rows:
        raise InputError(f"{name}: no row follows the head; give each patient a row")


def _tell_others(heads: Sequence[str]) -> list[str]:
    """Name the columns that are not read: one of them may be a known one, misspelt."""
    others = [head for head in heads if head not in COLUMNS]
    if not others:
        return []
    near = [
        f"{head!r} for {match!r}"
        for head in others
        for match in difflib.get_close_matches(head.lower(), COLUMNS, n=1, cutoff=0.8)
    ]
    doubt = f" Did you write {' and '.join(near)}?" if near else ""
    return [
        f"Copied to the summary, and not read otherwise: {', '.join(map(repr, others))}.{doubt}"
    ]


def _read_case(
    cells: Mapping[str, str], folder: Path, labels: str | None
) -> tuple[Case, list[str]]:
    faults = []
    identifier = cells["id"]
    try:
        checked_identifier(identifier)
    except InputError as error:
        faults.append(str(error))
    given = {key: text for key, text in cells.items() if text and text.lower() not in NOTHING}
    scans = {role: _path(folder, given[role]) for role in (*SCANS, *TISSUES) if role in given}
    if "t1" not in scans and "t1c" not in scans:
        faults.append("neither t1 nor t1c is given")
    if "seg" not in scans:
        faults.append("no seg is given")
    missing = [role for role in TISSUES if role not in scans]
    if 0 < len(missing) < len(TISSUES):
        faults.append(f"tissue maps are three or none, {' and '.join(missing)} missing")
    faults += [
        f"{role}: {fault}" for role, path in scans.items() if (fault := fault_of(role, path))
    ]
    known, follow_up, structures = "", given.get("recurrence_labels"), None
    try:
        structures = structure_names(
            *(given[head].split(",") if head in given else None for head in STRUCTURES)
        )
        seg, own = scans.get("seg"), given.get("labels")
        if seg is not None and is_dicom(seg):
            meant = seg_convention(seg, own)
            _require_structures(structures)
        else:
            meant = label_convention(own or labels)
            known = meant.name
        if follow_up is not None:
            follow_up = follow_up_convention(
                follow_up, meant, scans.get("recurrence"), option="recurrence_labels"
            ).name
    except InputError as error:
        faults.append(str(error))
    seg_grid = given.get("seg_grid", "own").lower()
    if seg_grid not in SEG_GRIDS:
        faults.append(f"seg_grid: expected one of {', '.join(SEG_GRIDS)}, got {seg_grid!r}")
    dicom = _path(folder, given["dicom"]) if "dicom" in given else None
    if dicom is not None and not is_dicom(scans.get("t1", scans.get("t1c", folder / "none"))):
        faults.append("dicom: outputs refer to the series that is registered, which is no DICOM")
    others = {head: text for head, text in cells.items() if head not in COLUMNS}
    day = None
    if "day" in given:
        try:
            day = parse_day(given["day"])
        except InputError as error:
            faults.append(str(error))
    case = Case(identifier, scans, known, others, seg_grid, follow_up, structures, dicom, day=day)
    return case, faults


def _require_structures(structures: StructureNames | None) -> None:
    if structures is None:
        raise InputError(
            "whole_structures: the segmentation is DICOM, name the structures of the whole tumour, "
            "and under core_structures those of the core"
        )


def _joined(read: Sequence[tuple[int, Case]]) -> list[tuple[int, Case, list[str]]]:
    """Rows of one id that all have days as one case, led by the first scan; with their faults."""
    rows_of: dict[str, list[tuple[int, Case]]] = {}
    for line, case in read:
        rows_of.setdefault(case.identifier, []).append((line, case))
    joined: list[tuple[int, Case, list[str]]] = []
    for rows in rows_of.values():
        if len(rows) == 1 or any(case.day is None for _, case in rows):
            joined += [(line, case, []) for line, case in rows]
            continue
        rows.sort(key=lambda row: row[1].day or 0.0)
        (line, first), *others = rows
        case, faults = _with_later(first, [case for _, case in others])
        joined.append((line, case, faults))
    return sorted(joined, key=lambda row: row[0])


def _with_later(first: Case, others: Sequence[Case]) -> tuple[Case, list[str]]:
    faults, later = [], []
    if "t1" not in first.scans:
        faults.append("several scans are compared by their t1, which the first one lacks")
    try:
        require_days([case.day or 0.0 for case in (first, *others)])
    except InputError as error:
        faults.append(str(error))
    for case in others:
        if set(case.scans) != OF_LATER_SCANS or is_dicom(case.scans["t1"]):
            faults.append(f"the scan of day {case.day:g} has NIfTI files of t1 and seg, no others")
        elif case.labels != first.labels:
            faults.append(f"the scan of day {case.day:g} has other labels than the first")
        else:
            later.append(ScanFiles(case.scans["t1"], case.scans["seg"], case.day or 0.0))
    return dataclasses.replace(first, later=tuple(later)), faults


def _path(folder: Path, text: str) -> Path:
    """The absolute path that a cell names."""
    # Path.expanduser raises where there is no such user; a path without one is reported as such.
    expanded = os.path.expandvars(os.path.expanduser(text))  # noqa: PTH111
    return (folder / expanded).absolute()


def fault_of(role: str, path: Path) -> str | None:
    """Why a path cannot be read; a series is checked when its turn comes."""
    if role in (*IMAGES, *OUTLINES) and is_dicom(path):
        try:
            require_extra()
        except ExtraError as error:
            return str(error)
        return None
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return f"no file {path}"
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"
    if stat.S_ISDIR(mode):
        return f"{path} is a folder; name the file in it"
    if not stat.S_ISREG(mode):
        return f"{path} is no plain file"
    if not os.access(path, os.R_OK):
        return f"cannot read {path}: permission is denied"
    return None
