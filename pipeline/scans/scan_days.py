"""The scans and their days, checked before an image is read."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError

MOST_DAYS = 20
"""Most days that are foretold; each is a map."""

MOST_APART_DAYS = 36525.0
"""Most days from the first day of a patient to the last, 100 years."""


@dataclass(frozen=True)
class ScanFiles:
    """The files of one scan.

    Attributes
    ----------
    t1, seg : path
        T1 image and segmentation, NIfTI.
    day : float
        Day of the scan, counted from one day for all scans of the patient.
    """

    t1: Path
    seg: Path
    day: float


def parse_day(text: str) -> float:
    """The day of a scan: a number, or a date as in 2024-03-01, as days of the calendar.

    Raises
    ------
    InputError
        If it is neither.
    """
    try:
        return float(datetime.date.fromisoformat(text).toordinal())
    except ValueError:
        pass
    try:
        day = float(text)
    except ValueError:
        day = math.nan
    if not math.isfinite(day):
        raise InputError(
            f"the day of a scan is a number of days, or a date as in 2024-03-01; got {text!r}"
        )
    return day


def parse_ahead(text: str) -> tuple[float, ...]:
    """Days to foretell, counted from the last scan, given as 90,180; in rising order.

    Raises
    ------
    InputError
        If they are not numbers above 0, or more than `MOST_DAYS`.
    """
    try:
        days = sorted({float(part) for part in text.split(",")})
    except ValueError:
        days = []
    if not (0 < len(days) <= MOST_DAYS and all(0 < day < math.inf for day in days)):
        raise InputError(
            f"a forecast names at most {MOST_DAYS} numbers of days after the last scan, each above "
            f"0, as in 90,180; got {text!r}"
        )
    return tuple(days)


def require_days(days: Sequence[float]) -> None:
    """See that each scan has a day of its own.

    Raises
    ------
    InputError
        If two are equal, one is not a finite number, or dates stand beside numbers.
    """
    for day in days:
        if not math.isfinite(day):
            raise InputError(f"the day of a scan is a finite number, got {day}")
    require_one_count(days)
    for before, after in zip(sorted(days), sorted(days)[1:], strict=False):
        if after == before:
            raise InputError(
                f"two scans are of day {before:g}: rates take scans of different days, give one "
                "scan for each day"
            )


def require_one_count(days: Sequence[float]) -> None:
    """See that all days of a patient are counted from one day.

    A date, whose day is counted from the year 1, lies far from a number of days.

    Raises
    ------
    InputError
        If they lie farther apart than a life is long.
    """
    if days and max(days) - min(days) > MOST_APART_DAYS:
        raise InputError(
            f"expected days of one patient, got {min(days):g} and {max(days):g}, over 100 years "
            "apart: give all days as dates, or all as numbers"
        )
