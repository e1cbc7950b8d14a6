"""A tumour's outlines on several days, checked against each other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import InputError
from ...solver import TumorMasks
from .scan_days import require_days, say_day

SHRUNK = 0.95
"""Share of the earlier whole volume below which a tumour has shrunk: two people who outline one
tumour differ by less."""

STILL = 1.05
"""Multiple of the first whole volume below which the last one says little about the rates."""


@dataclass(frozen=True, eq=False)
class DatedOutlines:
    """The outlines of one scan.

    Attributes
    ----------
    masks : TumorMasks
    day : float
        Day of the scan, counted from one day for all scans of the patient.
    """

    masks: TumorMasks
    day: float

    @property
    def whole_ml(self) -> float:
        """Volume of the whole tumour, millilitres."""
        return self.masks.whole_ml


def in_order(
    scans: Sequence[DatedOutlines], treated: Sequence[float] = ()
) -> tuple[DatedOutlines, ...]:
    """Scans in the order of their days.

    Parameters
    ----------
    scans : sequence of DatedOutlines
    treated : sequence of float
        Days on which treatments begin.

    Raises
    ------
    InputError
        If there are fewer than two, two are of one day, or a tumour has shrunk before a treatment.
    """
    if len(scans) < 2:
        raise InputError(f"rates in real days take two scans or more, got {len(scans)}")
    require_days([scan.day for scan in scans])
    ordered = tuple(sorted(scans, key=lambda scan: scan.day))
    for before, after in itertools.pairwise(ordered):
        if min(treated, default=math.inf) <= after.day:
            break
        if after.whole_ml < SHRUNK * before.whole_ml:
            raise InputError(
                f"the whole tumour shrinks by {1 - after.whole_ml / before.whole_ml:.0%} from day "
                f"{say_day(before.day)} to day {say_day(after.day)}, and no growth does that: see "
                "that the days and the outlines belong together, and list treatments, if there "
                "were any"
            )
    return ordered


def doubts_of_change(days: Sequence[float], whole_ml: Sequence[float]) -> list[str]:
    """Notices about scans between which a tumour hardly changed.

    Parameters
    ----------
    days : sequence of float
        Days of the scans, rising.
    whole_ml : sequence of float
        Volume of the whole tumour in each.
    """
    first_ml, last_ml = whole_ml[0], whole_ml[-1]
    if last_ml >= STILL * first_ml:
        return []
    return [
        f"The whole tumour measures {first_ml:.1f} ml on day {say_day(days[0])} and "
        f"{last_ml:.1f} ml on day {say_day(days[-1])}: that is less than outlines of one tumour "
        "differ, and says no more of the rates than that they are low."
    ]
