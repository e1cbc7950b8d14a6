"""Scans of one patient as the command line names them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import InputError
from ..images.file_kinds import require_nifti
from ..scans.scan_days import NamedScans, ScanFiles, parse_ahead, parse_day, require_days
from ..scans.treatment_file import read_treatments


def read_scans(
    given: Sequence[str] | None,
    others: Mapping[str, Path | None],
    forecast: str | None,
    treatments: Path | None,
    seg_grid: str = "own",
) -> NamedScans | None:
    """Scans, forecast and treatments from the options; None if no scan is named.

    Parameters
    ----------
    given : sequence of str
        Each as T1,SEG,DAY.
    others : mapping of str to path
        Options, by name, that a scan replaces.
    forecast : str
        Days after the last scan.
    treatments : path
        See `read_treatments`.
    seg_grid : "own" or "t1"
        Which voxels the segmentation of each scan has; see `load_patient`.

    Returns
    -------
    NamedScans or None

    Raises
    ------
    InputError
        If a scan has another form, a file is missing or lists no treatments, or the days make no
        sense.
    """
    if not given:
        for name, value in (("--forecast", forecast), ("--treatments", treatments)):
            if value is not None:
                raise InputError(f"{name} needs two scans or more: name each with --scan")
        return None
    for name, path in others.items():
        if path is not None:
            raise InputError(f"--scan takes the place of {name}: leave {name} out")
    if len(given) < 2:
        raise InputError("--scan was given once: name two scans or more, or use --t1 and --seg")
    scans = sorted((_scan(text, seg_grid) for text in given), key=lambda scan: scan.day)
    require_days([scan.day for scan in scans])
    days = () if forecast is None else parse_ahead(forecast)
    listed = () if treatments is None else read_treatments(treatments, [s.day for s in scans])
    return NamedScans(scans[0], tuple(scans[1:]), days, listed, treatments)


def _scan(text: str, seg_grid: str) -> ScanFiles:
    parts = text.split(",")
    if len(parts) != 3:
        raise InputError(f"--scan: expected T1,SEG,DAY, got {text!r}")
    t1, seg, day = parts
    require_nifti(Path(t1), f"T1 {t1}")
    require_nifti(Path(seg), f"segmentation {seg}")
    return ScanFiles(Path(t1), Path(seg), parse_day(day), seg_grid)
