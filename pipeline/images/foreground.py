"""What an image shows: a brain, whole or cut, a head with its skull, or background."""

from __future__ import annotations

import itertools
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas.regions import bounding_box, largest_component, without_holes
from ...errors import InputError
from .nifti import Scan

BRAIN_ML = (500.0, 2100.0)
"""Plausible foreground volume of a skull-stripped T1. Adult brains with their inner CSF
have 900-1900 ml; a head with skull and scalp has 2500 ml or more even where the field of view
ends at the eyes."""

FOREGROUND_FRACTION = 0.1
"""Least foreground intensity as a share of the 99th percentile of the positive ones: above
background noise and interpolation ripples, below cerebrospinal fluid in all but its darkest
places."""

SPECK_ML = 5.0
"""Smaller regions apart from the brain (vessels, leftovers of the extraction) are ignored."""

BORDER_SHARE = 0.15
"""Largest plausible share of foreground on the faces of the field of view. A brain touches at most
one face with its stem or is cut by the top slice; a head fills the lower face and others, and so
does a brain in a field of view that cuts it."""

CONSTANT_SHARE = 0.5
"""Least share of the field of view's faces with one value, from which on that value is
background."""

DARKEST = 0.1
"""Percentile of the other intensities that becomes 0 if a background has to be made dark."""

BRIGHT_CORNERS = 7
"""Number of bright corners, of eight, from which on a field of view has no air around a head. A
head reaches into two of them, or four with the neck."""

SKULL_DEPTHS_MM = np.arange(2.0, 26.0, 2.0)
"""Shells below the surface in which the scalp is bright and the bone under it dark."""

SKULL_FALL = 0.3
"""Fall of intensity from one shell to a deeper one, in units of the deep inside, that reveals a
scalp. One native case has 1.3 (T1), 0.8 (T1c) and 0.6 (FLAIR); skull-stripped images of five
patients rise to the inside, with falls of at most 0.05, and 0.2 on FLAIR."""


class View(Enum):
    """What an image shows; the values complete "it shows ..."."""

    BRAIN = "a brain"
    CUT_BRAIN = "a brain that the field of view cuts"
    HEAD = "a head with its skull"
    BRIGHT = "no dark background"


def foreground(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Largest connected region of clearly positive intensity, its holes filled.

    In a skull-stripped image this is the brain.
    """
    return without_holes(largest_component(above_background(values)))


def view_of(scan: Scan, shown: NDArray[np.bool_] | None = None) -> View:
    """What an image shows, by its volume, its borders, and the skull below its surface.

    Parameters
    ----------
    scan : Scan
    shown : bool array, optional
        Result of `everything_shown`, if it is known.
    """
    shown = everything_shown(scan) if shown is None else shown
    corners = [
        np.mean(shown[tuple(slice(None, n) if low else slice(-n, None) for low, n in at)]) > 0.5
        for at in (
            [(bool(i >> axis & 1), max(1, side // 20)) for axis, side in enumerate(shown.shape)]
            for i in range(8)
        )
    ]
    if sum(corners) >= BRIGHT_CORNERS:
        return View.BRIGHT
    if shown.sum() * scan.grid.voxel_ml > BRAIN_ML[1]:
        return View.HEAD
    if _border_share(shown) <= BORDER_SHARE:
        return View.BRAIN
    return View.HEAD if _has_skull(scan, shown) else View.CUT_BRAIN


def shows_head(scan: Scan) -> bool:
    """Whether the image shows skull and scalp beside the brain."""
    return view_of(scan) is View.HEAD


def darken_background(
    values: NDArray[np.float32], name: str
) -> tuple[NDArray[np.float32], float | None]:
    """Set a background to 0 that has another value or lies amid the values of the brain.

    Images have one if they were normalised (to mean 0, or to a range), shifted, or padded with a
    grey. A value that fills most of the border is a background.

    Parameters
    ----------
    values : float32 array
        Finite intensities.
    name : str
        Begins every message.

    Returns
    -------
    float32 array
        The values themselves if the background is 0 and all else lies above it. Otherwise 0 in the
        background, with the darkest of all else shifted to 0.
    float or None
        The background's value, if it was set to 0.

    Raises
    ------
    InputError
        If there is nothing but background, or two values as in a mask, or values fall far below 0
        without a constant background.
    """
    level = _level_of_border(values)
    lit = values[values != 0]
    if lit.size == 0:
        raise InputError(f"{name}: it holds no positive intensity; is it the right file?")
    if lit.size < values.size and lit.min() == lit.max():
        raise InputError(
            f"{name}: expected an image, got the values 0 and {lit.max():.4g} alone, as a mask has "
            "them; give the image (a brain mask is given as such)"
        )
    low, high = np.percentile(lit, [1, 99])
    has_negatives = bool(low < -FOREGROUND_FRACTION * high)
    if level is None and has_negatives:
        raise InputError(
            f"{name}: expected intensities from 0, the background, up, got values from {low:.3g} "
            f"to {high:.3g} (percentiles 1 and 99 of all but 0); give the image before it was "
            "normalised, or shift it so that the brain is positive and the background 0"
        )
    if level is None or (level == 0 and not has_negatives):
        return values, None
    regions, _ = ndimage.label(values == level)
    at_border = np.unique(np.concatenate([face.ravel() for face in _faces(regions)]))
    background = np.isin(regions, at_border[at_border > 0])
    if background.all():
        raise InputError(f"{name}: it holds {level:.4g} everywhere; is it the right file?")
    bottom = np.percentile(values[~background], DARKEST)
    darkened = np.where(background, 0, np.maximum(values - bottom, 0)).astype(np.float32)
    return darkened, level


def require_brain(scan: Scan, name: str, shown: NDArray[np.bool_] | None = None) -> None:
    """Check that an image without a skull shows about as much as a brain.

    Parameters
    ----------
    scan : Scan
    name : str
        Begins the message.
    shown : bool array, optional
        Result of `everything_shown`, if it is known.

    Raises
    ------
    InputError
        If it shows less or more.
    """
    shown = everything_shown(scan) if shown is None else shown
    volume_ml = float(shown.sum() * scan.grid.voxel_ml)
    if BRAIN_ML[0] <= volume_ml <= BRAIN_ML[1]:
        return
    border = _border_share(shown)
    cause = (
        f"the field of view cuts it (tissue on {border:.0%} of its border): give an image of the "
        "whole brain"
        if border > BORDER_SHARE
        else f"check the voxel size ({scan.grid}) and the brain extraction"
    )
    raise InputError(
        f"{name}: expected a whole brain (900-1900 ml), but the foreground measures "
        f"{volume_ml:.0f} ml; {cause}"
    )


def above_background(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Where an image is brighter than air, its noise and its ripples."""
    every = values.ravel(order="K")  # as they lie in memory: in a third of the time
    positive = every[every > 0]
    if positive.size == 0:
        return np.zeros(values.shape, bool)
    return values > FOREGROUND_FRACTION * np.percentile(positive, 99)


def everything_shown(scan: Scan) -> NDArray[np.bool_]:
    """Bright regions of at least `SPECK_ML` and all that they enclose in any slice.

    The scalp may be parted from the brain by dark bone and open at the neck; it counts all the
    same, and so does what lies inside its outline.
    """
    above = above_background(scan.values)
    box, shown = bounding_box(above), np.zeros_like(above)
    if above[box].size:
        components, _ = ndimage.label(above[box])
        sizes = np.bincount(components.ravel(order="K"))
        kept = sizes * scan.grid.voxel_ml >= SPECK_ML
        kept[0] = False
        shown[box] = kept[components]
    filled = shown.copy()
    for axis in range(3):
        filled |= without_holes(shown, across=axis)
    return filled


def _faces(values: NDArray[Any]) -> list[NDArray[Any]]:
    # In slices: NumPy's `take` would copy an array whose first axis changes fastest.
    return [np.moveaxis(values, axis, 0)[end] for axis in range(3) for end in (0, -1)]


def _border_share(shown: NDArray[np.bool_]) -> float:
    inner = shown[1:-1, 1:-1, 1:-1]
    return float((shown.sum() - inner.sum()) / max(shown.size - inner.size, 1))


def _level_of_border(values: NDArray[np.floating]) -> float | None:
    """The value that most of the border holds, exactly."""
    border = np.concatenate([face.ravel() for face in _faces(values)])
    levels, counts = np.unique(border, return_counts=True)
    commonest = counts.argmax()
    return float(levels[commonest]) if counts[commonest] >= CONSTANT_SHARE * border.size else None


def _has_skull(scan: Scan, shown: NDArray[np.bool_]) -> bool:
    """Whether intensity falls below the surface of what is shown, as from scalp to bone.

    The field of view's faces are no surface: head or brain continue beyond them.
    """
    spacing = np.array(scan.grid.spacing_mm)
    every = np.maximum(np.rint(2.0 / spacing).astype(int), 1)
    thin = tuple(slice(None, None, n) for n in every)
    around = np.ceil(SKULL_DEPTHS_MM[-1] / (spacing * every)).astype(int)
    padded = np.pad(shown[thin], [(n, n) for n in around], mode="edge")
    depth = ndimage.distance_transform_edt(padded, spacing * every)
    depth = depth[tuple(slice(n, -n) for n in around)]
    values = scan.values[thin]
    deep = values[depth > SKULL_DEPTHS_MM[-1]]
    if deep.size == 0:
        return False
    shells = [
        values[(depth > low) & (depth <= high)] for low, high in itertools.pairwise(SKULL_DEPTHS_MM)
    ]
    profile = np.array([np.median(shell) for shell in shells if shell.size])
    fall = (np.maximum.accumulate(profile) - profile).max()
    return bool(fall > SKULL_FALL * np.median(deep))
