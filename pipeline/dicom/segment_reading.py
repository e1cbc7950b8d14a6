"""Segments of a DICOM segmentation, by their labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...errors import InputError
from .dicom_packages import highdicom, quietly
from .world import grid_of, values_of


def segment_labels(header: Any) -> list[str]:
    """Labels of all segments, in the order of the file."""
    return [str(segment.SegmentLabel) for segment in header.get("SegmentSequence", ())]


def read_segments(
    path: Path, labels: Sequence[str], name: str
) -> tuple[dict[str, NDArray[np.bool_]], Grid]:
    """Read segments; where the file leaves a frame out, nothing is in it.

    Parameters
    ----------
    path : Path
    labels : sequence of str
        Some of `segment_labels`.
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
            numbers = {segment_labels(file)[i]: n for i, n in enumerate(file.segment_numbers)}
            volume = file.get_volume(
                segment_numbers=[numbers[label] for label in labels], combine_segments=False
            )
    except Exception:  # of highdicom, pydicom or a decoder, whatever they meet
        raise InputError(
            f"{name}: its segments cannot be read as one volume: its frames do not lie evenly, or "
            "it is damaged; export it again"
        ) from None
    values = values_of(volume) >= 0.5
    return {label: values[..., i] for i, label in enumerate(labels)}, grid_of(volume)
