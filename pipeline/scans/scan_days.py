"""The scans and their days, checked before an image is read."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ...errors import InputError
from ...solver.listed_treatments import ListedTreatment
from ..names import forecast_label

MOST_DAYS = 20
"""Most days that are forecast; each is a map."""

MOST_APART_DAYS = 36525.0
"""Most days from the first day of a patient to the last, 100 years."""

FIRST_DATE = datetime.date(1900, 1, 1)
"""Days of the calendar from this one on are dates in messages; a count of days stays below."""


@dataclass(frozen=True)
class ScanFiles:
    """The files of one scan.

    Attributes
    ----------
    t1, seg : path
        T1 image and segmentation, NIfTI.
    day : float
        Day of the scan, counted from one day for all scans of the patient.
    seg_grid : "own" or "t1"
        Which voxels the segmentation has: those of its header, or those of this scan's T1; see
        `load_patient`.
    """

    t1: Path
    seg: Path
    day: float
    seg_grid: str = "own"


@dataclass(frozen=True)
class NamedScans:
    """The files of several scans of one patient, and what is asked of them.

    Attributes
    ----------
    first : ScanFiles
    later : tuple of ScanFiles
        Later scans, in the order of their days.
    forecast : tuple of float
        Days after the last scan that are forecast.
    treatments : tuple of ListedTreatment
        What was done after the first scan.
    treatment_file : Path or None
        The file that lists them.
    """

    first: ScanFiles
    later: tuple[ScanFiles, ...]
    forecast: tuple[float, ...]
    treatments: tuple[ListedTreatment, ...]
    treatment_file: Path | None = None

    @property
    def files(self) -> list[Path]:
        """Files of all scans, the list of treatments, and its maps."""
        scans = (path for scan in (self.first, *self.later) for path in (scan.t1, scan.seg))
        listed = (self.treatment_file, *(one.map for one in self.treatments))
        return [*scans, *(path for path in listed if path is not None)]


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


def say_day(day: float) -> str:
    """A day as it was given: a number, or the date that `parse_day` made a number of."""
    if FIRST_DATE.toordinal() <= day <= datetime.date.max.toordinal() and day == int(day):
        return datetime.date.fromordinal(int(day)).isoformat()
    return f"{day:g}"


def parse_ahead(text: str) -> tuple[float, ...]:
    """Days to forecast, counted from the last scan, given as 90,180; in rising order.

    Raises
    ------
    InputError
        If they are no numbers, or have more than three decimals, which the names of files can tell
        apart; or as `require_ahead`.
    """
    try:
        days = sorted({float(part) for part in text.split(",")})
    except ValueError:
        days = []
    _require_ahead(days, is_fit=all(day == round(day, 3) for day in days), said=repr(text))
    return tuple(days)


def require_ahead(days: Sequence[float]) -> None:
    """See that days to forecast, counted from the last scan, can be.

    Raises
    ------
    InputError
        If there are none or more than `MOST_DAYS`, or one is not above 0 or lies beyond
        `MOST_APART_DAYS`.
    """
    _require_ahead(days, is_fit=True, said=", ".join(map(str, days)) or "none")


def _require_ahead(days: Sequence[float], *, is_fit: bool, said: str) -> None:
    is_ahead = all(0 < day <= MOST_APART_DAYS for day in days)
    if not (0 < len(days) <= MOST_DAYS and is_ahead and is_fit):
        raise InputError(
            f"a forecast names at most {MOST_DAYS} numbers of days after the last scan, each above "
            f"0, with at most three decimals and up to {MOST_APART_DAYS:g}, as in 90,180; got "
            f"{said}"
        )


def checked_forecast(
    days: Sequence[float], last_day: float, first_day: float = 0.0
) -> tuple[float, ...]:
    """Days of a forecast, rising.

    Parameters
    ----------
    days : sequence of float
        Days, counted as those of the scans.
    last_day, first_day : float
        Days of the last and of the first scan.

    Raises
    ------
    InputError
        If one is not after the last scan, two share the name of their maps, or they are too many.
    """
    kept = tuple(sorted(set(days)))
    if len(kept) > MOST_DAYS:
        raise InputError(f"a forecast has at most {MOST_DAYS} days, got {len(kept)}")
    for day in kept:
        if not day > last_day:
            raise InputError(
                f"a forecast is of days after the last scan, which is of day {say_day(last_day)}; "
                f"got {say_day(day)}"
            )
    for before, after in pairwise(kept):
        if forecast_label(before - first_day) == forecast_label(after - first_day):
            raise InputError(
                f"two days of a forecast lie at least 0.001 days apart, got {before} and {after}"
            )
    return kept


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
                f"two scans are of day {say_day(before)}: rates take scans of different days, give "
                "one scan for each day"
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
            f"expected days of one patient, got {say_day(min(days))} and {say_day(max(days))}, "
            "over 100 years apart: give all days as dates, or all as numbers"
        )
