"""Rows of one patient in a cohort's table: scans of several days as one case."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ...errors import InputError
from ...solver.listed_treatments import ListedTreatment
from ..dicom.dicom_path import is_dicom
from ..scans.scan_days import ScanFiles, require_days, say_day
from ..scans.treatment_file import read_treatments
from .case import Case

OF_LATER_SCANS = frozenset({"t1", "seg"})
"""Files of a scan after the first."""


def joined(read: Sequence[tuple[int, Case]]) -> list[tuple[int, Case, list[str]]]:
    """Rows of one id that all have days as one case, led by the first scan.

    Parameters
    ----------
    read : sequence of (line, case)
        Each row of the table as a case of its own.

    Returns
    -------
    list of (line, case, faults)
        In the order of the table.
    """
    rows_of: dict[str, list[tuple[int, Case]]] = {}
    for line, case in read:
        rows_of.setdefault(case.identifier, []).append((line, case))
    cases: list[tuple[int, Case, list[str]]] = []
    for rows in rows_of.values():
        if len(rows) == 1 or any(case.day is None for _, case in rows):
            cases += [(line, case, _alone(case)) for line, case in rows]
            continue
        rows.sort(key=lambda row: row[1].day or 0.0)
        case, faults = _followed([case for _, case in rows])
        cases.append((rows[0][0], case, faults))
    return sorted(cases, key=lambda row: row[0])


def _alone(case: Case) -> list[str]:
    """Faults of a scan that is not one of several."""
    named = {"forecast": case.forecast, "treatments": case.treatment_file}
    return [
        f"{head}: a patient with it has two scans or more, each with a day"
        for head, given in named.items()
        if given
    ]


def _followed(scans: Sequence[Case]) -> tuple[Case, list[str]]:
    """The case of several scans, in the order of their days, and its faults."""
    faults, later = [], []
    first, *others = scans
    if "t1" not in first.scans:
        faults.append("several scans are compared by their t1, which the first one lacks")
    days = [case.day or 0.0 for case in scans]
    try:
        require_days(days)
    except InputError as error:
        faults.append(str(error))
    for case in others:
        scan = f"the scan of day {say_day(case.day or 0.0)}"
        if set(case.scans) != OF_LATER_SCANS or any(map(is_dicom, case.scans.values())):
            faults.append(f"{scan} has NIfTI files of t1 and seg, no others")
        elif case.labels != first.labels:
            faults.append(f"{scan} has other labels than the first")
        else:
            later.append(
                ScanFiles(case.scans["t1"], case.scans["seg"], case.day or 0.0, case.seg_grid)
            )
    forecasts = {case.forecast for case in scans if case.forecast}
    files = {case.treatment_file for case in scans if case.treatment_file}
    for head, given in (("forecast", forecasts), ("treatments", files)):
        if len(given) > 1:
            faults.append(f"{head}: one for all scans of a patient, its rows name {len(given)}")
    file = min(files, default=None)
    treatments: tuple[ListedTreatment, ...] = ()
    if file is not None and not faults:
        try:
            treatments = read_treatments(file, days)
        except InputError as error:
            faults.append(str(error))
    case = dataclasses.replace(
        first,
        others={head: _cells(head, scans) for head in first.others},
        later=tuple(later),
        forecast=min(forecasts, default=()),
        treatment_file=file,
        treatments=treatments,
    )
    return case, faults


def _cells(head: str, scans: Sequence[Case]) -> str:
    """What the rows of a patient say in an unread column: each cell once, in their order."""
    return "; ".join(dict.fromkeys(case.others[head] for case in scans if case.others.get(head)))
