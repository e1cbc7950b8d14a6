"""Whether outlines lie in a brain, and a brain that is extended to hold them.

A brain mask may leave the tumour out, as a hole or as a bite at the surface. What was outlined is
brain; but outlines that lie apart from it come from another image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

from ...atlas import Grid
from ...errors import InputError
from ...solver import TumorMasks

MIN_IN_BRAIN = 0.5
"""Share of an outlined tumour inside the brain, or the field of view, below which the images are
no pair."""

MIN_IN_HULL = 0.75
"""The same inside the brain's convex hull, where the brain itself leaves the tumour out. A tumour
at the surface may bulge out of the hull of what is left."""

ADDED_SHARE = 0.05
"""Of an outlined tumour outside the brain, from which on the brain is one that left it out."""

TOLD_SHARE = 0.2
"""Of a recurrence outside the brain, from which on it is told."""


def judge_tumour(
    masks: TumorMasks, brain: NDArray[np.bool_], grid: Grid, advice: str
) -> tuple[bool, list[str]]:
    """Whether the outlined tumour has to be added to the brain, and what to tell.

    Parameters
    ----------
    masks : TumorMasks
        On any grid of the brain's world.
    brain : bool array of the grid's shape
    grid : Grid
    advice : str
        What to do where they do not belong together.

    Raises
    ------
    InputError
        If most of it lies outside the brain and the brain does not reach around it either.
    """
    share = _share_inside(masks, brain, grid)
    if share >= 1 - ADDED_SHARE:
        return False, []
    if share < MIN_IN_BRAIN and _share_in_hull(masks, brain, grid) < MIN_IN_HULL:
        raise InputError(
            f"only {share:.0%} of the outlined tumour lies inside the brain of the image; {advice}"
        )
    outside_ml = (1 - share) * float(masks.whole.sum()) * masks.grid.voxel_ml
    return True, [
        f"Only {share:.0%} of the outlined tumour lies inside the brain of the image, as where a "
        f"brain mask leaves the tumour out: the other {outside_ml:.3g} ml were added to the brain, "
        f"and the holes around them filled. If that is not the cause, {advice}."
    ]


def judge_recurrence(masks: TumorMasks, brain: NDArray[np.bool_], grid: Grid) -> list[str]:
    """What to tell of a recurrence that lies partly outside the brain.

    Raises
    ------
    InputError
        If most of it does.
    """
    share = _share_inside(masks, brain, grid)
    said = (
        f"nly {share:.0%} of the recurrence lies inside the brain of the image; co-register the "
        "follow-up scan to the registered image first"
    )
    if share < MIN_IN_BRAIN:
        raise InputError(f"o{said}")
    return [f"O{said}."] if share < 1 - TOLD_SHARE else []


def add_tumour(brain: NDArray[np.bool_], whole: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The brain with a tumour, and with the holes that both enclose."""
    return ndimage.binary_fill_holes(brain | whole)


def _share_inside(masks: TumorMasks, brain: NDArray[np.bool_], grid: Grid) -> float:
    points = masks.grid.to_world(np.argwhere(masks.whole))
    at = np.rint(grid.to_voxel(points)).astype(int)
    seen = ((at >= 0) & (at < grid.shape)).all(axis=1)
    return float(brain[tuple(at[seen].T)].sum() / len(at))


def _share_in_hull(masks: TumorMasks, brain: NDArray[np.bool_], grid: Grid) -> float:
    surface = np.argwhere(brain & ~ndimage.binary_erosion(brain))
    hull = ConvexHull(surface, qhull_options="QJ")
    points = grid.to_voxel(masks.grid.to_world(np.argwhere(masks.whole)))
    points = points[:: max(1, len(points) // 5000)]
    inside = (points @ hull.equations[:, :3].T + hull.equations[:, 3] <= 0.5).all(axis=1)
    return float(inside.mean())
