"""Scans of one patient as the command line names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ..images.file_kinds import require_nifti
from ..scans.scan_days import MOST_DAYS, ScanFiles, parse_day, require_days
from .options import decimals


@dataclass(frozen=True)
class NamedScans:
    """The scans in the order of their days, and the days after the last that are foretold."""

    first: ScanFiles
    later: tuple[ScanFiles, ...]
    forecast: tuple[float, ...]


def read_scans(
    given: Sequence[str] | None, others: Mapping[str, Path | None], forecast: str | None
) -> NamedScans | None:
    """What `--scan` and `--forecast` say; None where no scan is named.

    Parameters
    ----------
    given : sequence of str
        Each as T1,SEG,DAY.
    others : mapping of str to path
        Options, by name, whose place a scan takes.
    forecast : str
        Days after the last scan.

    Raises
    ------
    InputError
        If a scan is not named so, a file is missing, or the days make no sense.
    """
    if not given:
        if forecast is not None:
            raise InputError("--forecast is of two scans or more: name each with --scan")
        return None
    for name, path in others.items():
        if path is not None:
            raise InputError(f"--scan takes the place of {name}: leave {name} out")
    if len(given) < 2:
        raise InputError("--scan is given once: name two scans or more, or use --t1 and --seg")
    scans = sorted((_scan(text) for text in given), key=lambda scan: scan.day)
    require_days([scan.day for scan in scans])
    days = () if forecast is None else tuple(sorted(set(decimals(forecast))))
    if len(days) > MOST_DAYS or (days and days[0] <= 0):
        raise InputError(
            f"--forecast: at most {MOST_DAYS} numbers of days after the last scan, each above 0; "
            f"got {forecast}"
        )
    return NamedScans(scans[0], tuple(scans[1:]), days)


def _scan(text: str) -> ScanFiles:
    parts = text.split(",")
    if len(parts) != 3:
        raise InputError(f"--scan: expected T1,SEG,DAY, got {text!r}")
    t1, seg, day = parts
    require_nifti(Path(t1), f"T1 {t1}")
    require_nifti(Path(seg), f"segmentation {seg}")
    return ScanFiles(Path(t1), Path(seg), parse_day(day))
