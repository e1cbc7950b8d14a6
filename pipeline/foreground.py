"""What an image shows: a brain, a head with its skull, or background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .nifti import InputError, Scan

BRAIN_ML = (500.0, 2100.0)
"""Foreground volume of a skull-stripped T1 that is believed. Adult brains with their inner CSF
have 900-1900 ml; a head with skull and scalp has 2500 ml or more even where the field of view
ends at the eyes."""

FOREGROUND_FRACTION = 0.1
"""Of the 99th percentile of the positive intensities: above background noise and interpolation
ripples, below cerebrospinal fluid in all but its darkest places."""

SPECK_ML = 5.0
"""Smaller regions apart from the brain (vessels, leftovers of the extraction) are passed over."""

BORDER_SHARE = 0.15
"""Largest believed share of foreground on the faces of the field of view. A brain touches at most
one face with its stem or is cut by the top slice; a head fills the lower face and others."""


def foreground(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Largest connected region of clearly positive intensity, its holes filled.

    Of a skull-stripped image this is the brain.
    """
    above = above_background(values)
    components, n = ndimage.label(above)
    if n > 1:
        sizes = np.bincount(components.ravel())
        sizes[0] = 0
        above = components == sizes.argmax()
    return ndimage.binary_fill_holes(above)


def shows_head(scan: Scan) -> bool:
    """Whether more is seen than a brain: skull and scalp, by volume or at the borders."""
    head = _everything_shown(scan)
    inner = tuple(slice(1, -1) for _ in range(3))
    on_border = (head.sum() - head[inner].sum()) / max(head.size - head[inner].size, 1)
    return bool(head.sum() * scan.grid.voxel_ml > BRAIN_ML[1] or on_border > BORDER_SHARE)


def require_intensities(values: NDArray[np.floating], name: str) -> None:
    """Check that an image has intensities from 0 up, as scanners make them.

    Raises
    ------
    InputError
        If it falls below 0 by more than ripples, as an image that was normalised to mean 0 does: 0
        is no background then, and half the brain would be taken for it.
    """
    low, high = np.percentile(values[values != 0], [1, 99])
    if low < -FOREGROUND_FRACTION * high:
        raise InputError(
            f"{name}: expected intensities from 0, the background, up, got values from {low:.3g} "
            f"to {high:.3g} (percentiles 1 and 99 of all but 0); give the image before it was "
            "normalised, or shift it so that the brain is positive and the background 0"
        )


def require_brain(scan: Scan, name: str) -> None:
    """Check that an image without a skull shows about as much as a brain.

    Raises
    ------
    InputError
        If it shows less or more.
    """
    volume_ml = float(_everything_shown(scan).sum() * scan.grid.voxel_ml)
    if not BRAIN_ML[0] <= volume_ml <= BRAIN_ML[1]:
        raise InputError(
            f"{name}: expected a whole brain (900-1900 ml), but the foreground measures "
            f"{volume_ml:.0f} ml; check the voxel size ({scan.grid}) and the brain extraction"
        )


def above_background(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Where an image is brighter than air, its noise and its ripples."""
    positive = values[values > 0]
    if positive.size == 0:
        return np.zeros(values.shape, bool)
    return values > FOREGROUND_FRACTION * np.percentile(positive, 99)


def _everything_shown(scan: Scan) -> NDArray[np.bool_]:
    """Bright regions of at least `SPECK_ML` and all that they enclose in any slice.

    The scalp may be parted from the brain by dark bone and open at the neck; it counts all the
    same, and so does what lies inside its outline.
    """
    above = above_background(scan.values)
    components, n = ndimage.label(above)
    sizes = np.bincount(components.ravel(), minlength=n + 1)
    kept = sizes * scan.grid.voxel_ml >= SPECK_ML
    kept[0] = False
    shown = kept[components]
    in_slice = np.zeros((3, 3, 3), bool)
    in_slice[1, :, 1] = in_slice[1, 1, :] = True
    filled = shown.copy()
    for axis in range(3):
        filled |= ndimage.binary_fill_holes(shown, np.moveaxis(in_slice, 0, axis))
    return filled
