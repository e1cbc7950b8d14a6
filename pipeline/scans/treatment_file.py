"""The file that lists treatments, checked before an image is read."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError
from ...paths import StrPath
from ...solver.listed_treatments import ListedTreatment, days_since_seed, list_treatments
from ..images.file_kinds import require_nifti
from .scan_days import parse_day, require_one_count, say_day

MAPS = {"resection": "mask of the resection", "radiotherapy": "map of doses"}
"""Name of a treatment's map, for people."""


def read_treatments(
    path: StrPath, days: Sequence[float] | None = None
) -> tuple[ListedTreatment, ...]:
    """Read a list of treatments, and check that its maps are images.

    Parameters
    ----------
    path : str or os.PathLike
        TOML with tables `[[treatment]]`; maps are relative to it.
    days : sequence of float, optional
        Days of a patient's scans, from which the list counts; by default it counts from the seed.

    Returns
    -------
    tuple of ListedTreatment
        In the order of their days.

    Raises
    ------
    InputError
        If it is no such list, a treatment is not after the first scan, or the seed, or dates stand
        beside numbers.
    """
    path = Path(path)
    name = f"treatments {path}"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            f"{name}: expected a TOML file with tables [[treatment]] ({error})"
        ) from None
    others = set(content) - {"treatment"}
    if others:
        raise InputError(f"{name}: expected tables [[treatment]] alone, got {min(others)!r}")
    try:
        listed = list_treatments(
            content.get("treatment"),
            folder=path.parent,
            day_of=days_since_seed if days is None else _calendar_day,
            n_scans=1 if days is None else len(days),
        )
        if days is not None:
            require_one_count([*days, *(one.day for one in listed)])
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    begin, named = (0.0, "the seed") if days is None else (min(days), "the first scan")
    for one in listed:
        if not one.day > begin:
            raise InputError(
                f"{name}: a {one.kind} of day {say_day(one.day)} is not after {named}, of day "
                f"{say_day(begin)}: the growth up to it is that of an untreated tumour"
            )
        if one.map is not None:
            require_nifti(one.map, f"{MAPS[one.kind]} {one.map}")
    return listed


def _calendar_day(value: object) -> float:
    return parse_day(value.isoformat() if isinstance(value, datetime.date) else str(value))
