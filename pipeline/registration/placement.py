"""Whether outlines lie in the atlas's brain: those of another world lie elsewhere.

A segmentation in MNI's or a scanner's coordinates is a file like any other. What tells it from one
in SRI24's is where its tumour lies, and whether any stored tumour overlaps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...atlas import Atlas
from ...errors import InputError
from ...query import Match
from ...solver import TumorMasks

TO_SRI24 = "register them to SRI24 first, or let `glioquery invert` do it"
"""What to do with outlines in another world."""

LEAST_SHARE = 0.75
"""Share of a whole outline inside the atlas's brain below which it is told to lie elsewhere. Five
registered patients have 0.87 to 1.00: an outline may reach over the standard brain's surface."""

MOST_POINTS = 200_000
"""Voxels of an outline that are looked up; of a larger one every n-th."""


@dataclass(frozen=True)
class Placement:
    """Where outlines lie on the atlas.

    Attributes
    ----------
    share : float
        Of the whole outline's voxels, in the atlas's brain, above 0.
    notice : str or None
        A sentence, where the share is small.
    """

    share: float
    notice: str | None


def share_in_brain(masks: TumorMasks, atlas: Atlas) -> float:
    """Share of a whole outline's voxels that lie in the atlas's brain, 0 where it is empty.

    Parameters
    ----------
    masks : TumorMasks
        On any grid in SRI24's world.
    atlas : Atlas

    Returns
    -------
    float
        From 0 to 1.
    """
    voxels = np.argwhere(masks.whole)
    if not len(voxels):
        return 0.0
    points = masks.grid.to_world(voxels[:: max(1, len(voxels) // MOST_POINTS)])
    there = np.rint(atlas.grid.to_voxel(points)).astype(int)
    on_grid = ((there >= 0) & (there < atlas.grid.shape)).all(axis=1)
    return float(atlas.brain[tuple(there[on_grid].T)].sum() / len(points))


def judge_placement(masks: TumorMasks, atlas: Atlas, *, name: str, remedy: str) -> Placement:
    """See that outlines lie in the atlas's brain.

    Parameters
    ----------
    masks : TumorMasks
        On any grid in SRI24's world.
    atlas : Atlas
    name : str
        What to call them.
    remedy : str
        What to do where they lie elsewhere, as a clause.

    Returns
    -------
    Placement

    Raises
    ------
    InputError
        If no voxel of the whole outline lies there.
    """
    share = share_in_brain(masks, atlas)
    if share == 0:
        raise InputError(
            f"{name}: no voxel of the outlines lies in the atlas's brain: they are on a grid of "
            f"{masks.grid}, the atlas on one of {atlas.grid}; {remedy}"
        )
    if share < LEAST_SHARE:
        return Placement(
            share,
            f"{name}: only {share:.0%} of the whole outline lies in the atlas's brain (expected at "
            f"least {LEAST_SHARE:.0%}); {remedy}.",
        )
    return Placement(share, None)


def require_overlap(matches: Sequence[Match], *, name: str, remedy: str) -> None:
    """See that outlines have an answer at all.

    Parameters
    ----------
    matches : sequence of Match
    name, remedy : str
        As in `judge_placement`.

    Raises
    ------
    InputError
        If none of the matches shares a voxel with the outlines.
    """
    if not any(match.dice_core or match.dice_whole for match in matches):
        raise InputError(
            f"{name}: no stored tumour was found that overlaps the outlines, not by a voxel; "
            f"{remedy}, or search a larger database"
        )
