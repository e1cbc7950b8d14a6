"""A cohort's cases: the rows of a table, one for each scan, checked before any work."""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import ExtraError, InputError
from ...paths import StrPath
from ..dicom.dicom_path import is_dicom, require_extra
from ..dicom.named_structures import StructureNames, structure_names
from ..images.labels import label_convention
from ..names import checked_identifier
from ..patient.named_files import (
    IMAGES,
    OUTLINES,
    SEG_GRIDS,
    follow_up_convention,
    seg_convention,
)
from ..results.dicom_places import require_dicom_places
from ..results.table_file import TableFile, listed, read_table
from ..scans.scan_days import parse_ahead, parse_day
from .case import TISSUES, Case
from .case_scans import joined

SCANS = ("t1", "t1c", "flair", "seg", "brain_mask", "seg_reference", "recurrence")
"""Files of a patient, as `load_patient` takes them."""

STRUCTURES = ("core_structures", "whole_structures")
"""Names of structures with commas, for outlines in DICOM."""

COLUMNS = (
    "id", *SCANS, *TISSUES, "labels", "recurrence_labels", "seg_grid", *STRUCTURES, "dicom", "day",
    "forecast", "treatments",
)  # fmt: skip
"""The known columns of a table; the others are copied to the cohort's summary."""

NOTHING = frozenset({"n/a", "na", "nan", "none", "null"})
"""Words for an empty cell, in lower case, of BIDS, R, pandas, Python and databases."""


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
        Their forecast (days after the last scan) and treatments (a file) stand in one of these
        rows. `table_file` says what a table may look like.
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
    writers: dict[Path, str] = {}
    for line, case, found in joined(read):
        label = case.subject.lower()  # some file systems know no capitals
        if label in seen:
            found.append(
                f"the ids {case.identifier!r} and {seen[label]!r} share the label {label!r}, of "
                "letters and digits alone, that names the folder"
                if seen[label] != case.identifier
                else f"the id {case.identifier!r} occurs twice: give each of its scans a day"
            )
        seen.setdefault(label, case.identifier)
        if case.dicom is not None:
            place = case.dicom.resolve()
            if place in writers:
                found.append(f"dicom: the files of {writers[place]!r} are written there, too")
            writers.setdefault(place, case.identifier)
            try:
                require_dicom_places(case.dicom, case.files.values())
            except InputError as error:
                found.append(f"dicom: {error}")
        faults += [f"line {line}: {fault}" for fault in found]
        cases.append(case)
    if faults:
        raise InputError(f"{name}: {listed(faults)}")
    return CaseTable(tuple(cases), (*table.notices, *_tell_others(table.heads)))


def _require_columns(table: TableFile, name: str) -> None:
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
    treatment_file = _path(folder, given["treatments"]) if "treatments" in given else None
    if dicom is not None and not is_dicom(scans.get("t1", scans.get("t1c", folder / "none"))):
        faults.append("dicom: outputs refer to the series that is registered, which is no DICOM")
    others = {head: text for head, text in cells.items() if head not in COLUMNS}
    day: float | None = None
    forecast: tuple[float, ...] = ()
    try:
        day = parse_day(given["day"]) if "day" in given else None
        forecast = parse_ahead(given["forecast"]) if "forecast" in given else ()
    except InputError as error:
        faults.append(str(error))
    case = Case(
        identifier,
        scans,
        known,
        others,
        seg_grid,
        follow_up,
        structures,
        dicom,
        day=day,
        forecast=forecast,
        treatment_file=treatment_file,
    )
    return case, faults


def _require_structures(structures: StructureNames | None) -> None:
    if structures is None:
        raise InputError(
            "whole_structures: the segmentation is DICOM, name the structures of the whole tumour, "
            "and under core_structures those of the core"
        )


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
