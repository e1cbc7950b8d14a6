"""Whether outlines lie in a brain, and a brain that is extended to hold them.

A brain mask may leave the tumour out, as a hole or as a bite at the surface. An outlined tumour is
part of the brain, but outlines that lie apart from it come from another image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.ndimage import distance_transform_edt
from scipy.spatial import ConvexHull, KDTree

from ...atlas import Grid
from ...atlas.regions import bounding_box, without_holes
from ...errors import InputError
from ...solver import TumorMasks
from ..images.resampling import share_inside

MIN_IN_BRAIN = 0.5
"""Share of an outlined tumour inside the brain, or the field of view, below which the images do not
belong together."""

MIN_IN_HULL = 0.75
"""The same inside the brain's convex hull, where the brain itself leaves the tumour out. A tumour
at the surface may bulge out of the hull of what is left."""

MOST_OF_BRAIN = 0.6
"""Largest share of the brain that a tumour fills. The largest, with oedema, fill a third."""

ADDED_SHARE = 0.05
"""Share of an outlined tumour outside the brain from which on the brain mask left it out."""

TOLD_SHARE = 0.2
"""Share of a recurrence, or of a later scan's tumour, outside the brain from which on there is a
notice."""


def judge_tumour(
    masks: TumorMasks, brain: NDArray[np.bool_], grid: Grid, advice: str
) -> tuple[bool, list[str]]:
    """Whether the outlined tumour has to be added to the brain, and notices.

    Parameters
    ----------
    masks : TumorMasks
        Outlines on any grid of the brain's world.
    brain : bool array of the grid's shape
    grid : Grid
    advice : str
        What to do if outlines and brain do not belong together.

    Raises
    ------
    InputError
        If most of the tumour lies outside the brain, and outside its convex hull, too; or if it
        fills most of the brain.
    """
    share = _share_inside(masks, brain, grid)
    filled = share * masks.whole_ml / float(brain.sum() * grid.voxel_ml)
    if filled > MOST_OF_BRAIN:
        raise InputError(
            f"the outlined tumour fills {filled:.0%} of the brain of the image, as the mask of a "
            f"brain does (expected at most {MOST_OF_BRAIN:.0%}); give the outlines of the tumour"
        )
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


def judge_later(
    masks: TumorMasks, brain: NDArray[np.bool_], grid: Grid, scan: str, advice: str
) -> list[str]:
    """Notices about the outlines of a later scan that lie partly outside the first scan's brain.

    Parameters
    ----------
    masks : TumorMasks
        Outlines on any grid of the brain's world.
    brain : bool array of the grid's shape
        The first scan's brain, its tumour included.
    grid : Grid
    scan : str
        How messages call the later scan.
    advice : str
        What to do.

    Raises
    ------
    InputError
        If most of the tumour lies outside.
    """
    share = _share_inside(masks, brain, grid)
    said = f"nly {share:.0%} of the tumour outlined in {scan} lies inside the brain; {advice}"
    if share < MIN_IN_BRAIN:
        raise InputError(f"o{said}")
    return [f"O{said}."] if share < 1 - TOLD_SHARE else []


def judge_recurrence(masks: TumorMasks, brain: NDArray[np.bool_], grid: Grid) -> list[str]:
    """Notices about a recurrence that lies partly outside the brain.

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


def add_tumour(
    brain: NDArray[np.bool_], whole: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """The brain with a tumour that a mask left out, and with what lies between the two.

    Masks leave a rim out, too, which may open to the surface. If the tumour then lies apart, the
    two are closed near it (dilated and eroded) by the width of the gap between them.

    Parameters
    ----------
    brain, whole : bool arrays of one shape
    spacing_mm : tuple of three float
        Distance between voxel centres along each array axis.

    Returns
    -------
    bool array
    """
    joined = without_holes(brain | whole)
    if _share_apart(joined, whole) <= ADDED_SHARE:
        return joined
    gap_mm = _gap(joined, whole, spacing_mm)
    margin = np.ceil(3 * gap_mm / np.array(spacing_mm)).astype(int) + 1
    box = bounding_box(whole, margin)
    dilated = distance_transform_edt(~joined[box], sampling=spacing_mm) <= gap_mm
    beyond = np.pad(dilated, 1, constant_values=True)  # no erosion from the box's own faces
    eroded = distance_transform_edt(beyond, sampling=spacing_mm)[1:-1, 1:-1, 1:-1] > gap_mm
    near = distance_transform_edt(~whole[box], sampling=spacing_mm) <= 2 * gap_mm
    joined[box] |= eroded & near
    return without_holes(joined)


def doubts_of_place(brain: NDArray[np.bool_], whole: NDArray[np.bool_]) -> list[str]:
    """Notices about a tumour that does not hang together with the brain.

    Parameters
    ----------
    brain, whole : bool arrays of one shape
        The brain with its tumour; voxels that share a face hang together.
    """
    share = _share_apart(brain, whole)
    if share <= ADDED_SHARE:
        return []
    return [
        f"{share:.0%} of the outlined tumour lies apart from the brain, and no cells are predicted "
        "around it. Look at the brain in the pictures, and give a brain mask that holds brain and "
        "tumour in one piece."
    ]


def _share_apart(brain: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    """Share of a tumour in the brain that is not in its largest piece."""
    pieces, n = ndimage.label(brain)
    inside = pieces[whole & brain]
    if n < 2 or not inside.size:
        return 0.0
    return float((inside != _largest(pieces)).mean())


def _gap(
    brain: NDArray[np.bool_], whole: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> float:
    """Least distance between the brain's largest piece and the tumour's voxels apart from it."""
    pieces, _ = ndimage.label(brain)
    largest = pieces == _largest(pieces)
    rim, surface = (
        np.argwhere(part & ~ndimage.binary_erosion(part)) * spacing_mm
        for part in (largest, whole & ~largest)
    )
    return float(KDTree(rim).query(surface)[0].min())


def _largest(pieces: NDArray[np.integer]) -> int:
    """The number of the piece with most voxels."""
    return int(np.bincount(pieces.ravel())[1:].argmax()) + 1


def _share_inside(masks: TumorMasks, brain: NDArray[np.bool_], grid: Grid) -> float:
    return share_inside(masks.grid.to_world(np.argwhere(masks.whole)), brain, grid)


def _share_in_hull(masks: TumorMasks, brain: NDArray[np.bool_], grid: Grid) -> float:
    surface = np.argwhere(brain & ~ndimage.binary_erosion(brain))
    hull = ConvexHull(surface, qhull_options="QJ")
    points = grid.to_voxel(masks.grid.to_world(np.argwhere(masks.whole)))
    points = points[:: max(1, len(points) // 5000)]
    inside = (points @ hull.equations[:, :3].T + hull.equations[:, 3] <= 0.5).all(axis=1)
    return float(inside.mean())
