"""The option `brain`: how to find the brain of a head, checked before any file is read."""

from __future__ import annotations

import importlib.util
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, cast, get_args

from ...errors import ExtraError, InputError

BrainWay = Literal["auto", "network", "atlas"]
"""How the brain of a head is found: by the network of the extra `brain`, by the atlas, or by the
first of these that is installed and finds one."""


def checked_way(way: str) -> BrainWay:
    """See that a way to find the brain is known and installed.

    Raises
    ------
    InputError
        If it is not one of `BrainWay`.
    ExtraError
        If it is the network, and deepbet is not installed.
    """
    if way not in get_args(BrainWay):
        raise InputError(f"brain is {', '.join(get_args(BrainWay))}; got {way!r}")
    if way == "network" and network_version() is None:
        raise ExtraError(
            "brain: the network needs deepbet: `pip install 'glioquery[brain]'`, or find the brain "
            "by the atlas (auto, atlas)"
        )
    return cast(BrainWay, way)


def network_version() -> str | None:
    """Version of deepbet; None where it is not installed."""
    if importlib.util.find_spec("deepbet") is None:
        return None
    try:
        return version("deepbet")
    except PackageNotFoundError:  # a copy of its code, which no installer knows of
        return "unknown"
