"""Whether outlines lie in the atlas's brain; outlines of another world lie elsewhere.

A segmentation in MNI's or a scanner's coordinates is a file like any other. Only the place of its
tumour, and its overlap with stored tumours, distinguish it from one in SRI24's coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...atlas import Atlas
from ...errors import InputError
from ...query import Match
from ...solver import TumorMasks
from ..images.resampling import share_inside

TO_SRI24 = "register them to SRI24 first, or let `glioquery invert` do it"
"""What to do with outlines in another world."""

LEAST_SHARE = 0.75
"""Share of a whole outline inside the atlas's brain below which there is a notice. Five
registered patients have 0.87 to 1.00: an outline may reach over the standard brain's surface."""

MOST_POINTS = 200_000
"""Most voxels of an outline that are looked up; a larger one is sampled evenly."""


@dataclass(frozen=True)
class Placement:
    """Where outlines lie on the atlas.

    Attributes
    ----------
    share : float
        Share of the whole outline's voxels that lie in the atlas's brain, above 0.
    notice : str or None
        A sentence if the share is small.
    """

    share: float
    notice: str | None


def share_in_brain(masks: TumorMasks, atlas: Atlas) -> float:
    """Share of a whole outline's voxels that lie in the atlas's brain; 0 for an empty one.

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
    points = masks.grid.to_world(voxels[:: -(-len(voxels) // MOST_POINTS)])
    return share_inside(points, atlas.brain, atlas.grid)


def judge_placement(masks: TumorMasks, atlas: Atlas, *, name: str, remedy: str) -> Placement:
    """See that outlines lie in the atlas's brain.

    Parameters
    ----------
    masks : TumorMasks
        On any grid in SRI24's world.
    atlas : Atlas
    name : str
        Name of the outlines in messages.
    remedy : str
        What to do if they lie elsewhere, as a clause.

    Returns
    -------
    Placement

    Raises
    ------
    InputError
        If the whole outline is empty, or no voxel of it lies there.
    """
    if not masks.whole.any():
        raise InputError(
            f"{name}: nothing of the outlines is left on a grid of {masks.grid}: they are too "
            "small for its voxels; give the outline of a tumour"
        )
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


def require_overlap(matches: Sequence[Match], masks: TumorMasks, *, name: str, remedy: str) -> None:
    """See that some stored tumour overlaps the outlines.

    Parameters
    ----------
    matches : sequence of Match
    masks : TumorMasks
        The outlines. The Dice of two empty ones may count as 1 and shows no overlap.
    name, remedy : str
        As in `judge_placement`.

    Raises
    ------
    InputError
        If none of the matches shares a voxel with the outlines.
    """
    has_core, has_whole = masks.core.any(), masks.whole.any()
    if not any(
        (has_core and match.dice_core) or (has_whole and match.dice_whole) for match in matches
    ):
        raise InputError(
            f"{name}: no stored tumour overlaps the outlines, not even by a voxel; "
            f"{remedy}, or search a larger database"
        )
