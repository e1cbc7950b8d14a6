"""Segments of a DICOM segmentation, by their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.grid import flip_lps
from ...errors import InputError
from ..images.headers import require_few_voxels, require_sizes
from .dicom_folder import numbers_in, text_in
from .dicom_packages import highdicom, pydicom, quietly
from .planes import even_step, fits, gaps_between, normal_of, step_of_slices
from .world import grid_of, values_of

MEASURES, SPACING = "PixelMeasuresSequence", "SpacingBetweenSlices"


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
    header: Any, numbers: Mapping[str, int], image: Grid, name: str
) -> tuple[dict[str, NDArray[np.bool_]], Grid]:
    """Read segments; where the file leaves a frame out, nothing is in it.

    Parameters
    ----------
    header : pydicom.Dataset
        The whole object; it becomes highdicom's.
    numbers : mapping of str to int
        Numbers by label, some of `segment_numbers`.
    image : Grid
        If the object does not say how far its frames are apart, and they lie on slices of this
        image, then they are as far apart as these.
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
        If the frames do not lie evenly, if their distance is unknown or not the one that the object
        says, if the voxels are not of a head's size, or if frames cannot be decoded.
    """
    try:
        with quietly():
            _settle_spacing(header, image, name)
            file = highdicom.seg.Segmentation.from_dataset(header, copy=False)
            volume = file.get_volume(segment_numbers=list(numbers.values()), combine_segments=False)
    except InputError:
        raise
    except Exception:  # of highdicom, pydicom or a decoder, whatever they meet
        raise InputError(
            f"{name}: its segments cannot be read as one volume: its frames do not lie evenly, or "
            "it is damaged; export it again"
        ) from None
    grid = grid_of(volume)
    require_few_voxels(grid.shape, name)
    require_sizes(grid, name, least_side_mm=0)
    values = values_of(volume) >= 0.5
    return {label: values[..., i] for i, label in enumerate(numbers)}, grid


def _settle_spacing(header: Any, image: Grid, name: str) -> None:
    """See that the frames lie as far apart as an object says.

    Where it does not say so, their distance is written into it: highdicom would guess one.
    """
    groups = (*header.SharedFunctionalGroupsSequence, *header.PerFrameFunctionalGroupsSequence)
    measures = [group.PixelMeasuresSequence[0] for group in groups if MEASURES in group]
    planes = _frame_corners(header, name)
    normal = normal_of(planes, name)
    gaps = gaps_between(planes, normal)
    if all(item.get(SPACING) for item in measures):
        for stated in {abs(float(numbers_in(item, SPACING, (), name))) for item in measures}:
            if not fits(gaps, stated):
                raise InputError(
                    f"{name}: expected frames {stated:.4g} mm apart, as its {SPACING} says, got "
                    f"distances from {gaps.min():.4g} to {gaps.max():.4g} mm; export it again"
                )
        return
    step = step_of_slices(planes, normal, image)
    if step is None:
        step = even_step(gaps)
    if step is None:
        raise InputError(
            f"{name}: expected SpacingBetweenSlices, or frames on slices of the image, or evenly "
            "spaced ones, got one plane or uneven ones, so their thickness is unknown; export it "
            "with that field, or name the series it was drawn on (--seg-reference)"
        )
    for item in measures:
        item.SpacingBetweenSlices = pydicom.valuerep.format_number_as_ds(step)


def _frame_corners(header: Any, name: str) -> list[NDArray[np.float64]]:
    """The outer corners of each frame, (4, 3) in mm, in RAS world coordinates."""
    (shared,) = header.SharedFunctionalGroupsSequence
    pixels = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * [header.Columns, header.Rows] - 0.5
    corners = []
    for frame in header.PerFrameFunctionalGroupsSequence:
        position, orientation, measures = (
            (frame if group in frame else shared)[group].value[0]
            for group in ("PlanePositionSequence", "PlaneOrientationSequence", MEASURES)
        )
        first = numbers_in(position, "ImagePositionPatient", (3,), name)
        row_and_column = numbers_in(orientation, "ImageOrientationPatient", (2, 3), name)
        spacing = numbers_in(measures, "PixelSpacing", (2, 1), name)[::-1]
        corners.append(flip_lps(first + pixels @ (row_and_column * spacing)))
    return corners
