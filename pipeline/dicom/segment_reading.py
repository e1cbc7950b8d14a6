"""Segments of a DICOM segmentation, by their labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...errors import InputError
from .dicom_folder import numbers_in, text_in
from .dicom_packages import highdicom, quietly
from .world import grid_of, values_of


def segment_numbers(header: Any, name: str) -> list[tuple[str, int]]:
    """Label and number of each segment, in the order of the file.

    The background of a label map, which its padding value names, is none.

    Raises
    ------
    InputError
        If a segment has no label or no number.
    """
    every = [
        (
            text_in(segment, "SegmentLabel", name),
            int(numbers_in(segment, "SegmentNumber", (), name)),
        )
        for segment in header.get("SegmentSequence", ())
    ]
    background = header.get("PixelPaddingValue")
    return [(label, number) for label, number in every if number != background]


def read_segments(
    path: Path, numbers: Mapping[str, int], name: str
) -> tuple[dict[str, NDArray[np.bool_]], Grid]:
    """Read segments; where the file leaves a frame out, nothing is in it.

    Parameters
    ----------
    path : Path
    numbers : mapping of str to int
        Numbers by label, some of `segment_numbers`.
    name : str
        Opens the messages.

    Returns
    -------
    dict of str to bool array
        Masks by label; in a segment of probabilities, the voxels of at least 0.5.
    Grid
        Grid of all masks.

    Raises
    ------
    InputError
        If the frames do not lie evenly, or cannot be decoded.
    """
    try:
        with quietly():
            file = highdicom.seg.segread(path)
            volume = file.get_volume(segment_numbers=list(numbers.values()), combine_segments=False)
    except Exception:  # of highdicom, pydicom or a decoder, whatever they meet
        raise InputError(
            f"{name}: its segments cannot be read as one volume: its frames do not lie evenly, or "
            "it is damaged; export it again"
        ) from None
    values = values_of(volume) >= 0.5
    return {label: values[..., i] for i, label in enumerate(numbers)}, grid_of(volume)
