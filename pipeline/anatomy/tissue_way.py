"""The ways to find a patient's tissue; the option is checked here."""

from __future__ import annotations

from typing import Literal, cast, get_args

from ...errors import InputError

TissueWay = Literal["auto", "atlas"]


def checked_tissue_way(way: str) -> TissueWay:
    """Check the way to find the tissue.

    Raises
    ------
    InputError
        If it is none of the ways.
    """
    if way not in get_args(TissueWay):
        raise InputError(f"tissue-from is {', '.join(get_args(TissueWay))}; got {way!r}")
    return cast(TissueWay, way)
