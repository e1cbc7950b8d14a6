"""Pictures by which a radiologist can judge a result: three planes through the patient's tumour."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...solver import TumorDensity
from ..images.nifti import Scan
from ..patient.patient import Patient
from .drawing import drawn, new_figure, own_style, png_of
from .panels import (
    CORE_COLOUR,
    LEVELS,
    WHOLE_COLOUR,
    add_contours,
    add_isolines,
    add_outlines,
    finish,
    level_lines,
    new_panels,
    show_plane,
    white_level,
)
from .planes import tumour_planes

VOLUME_COLOURS = {"standard": "#ffffff", "model": "#ff2a1a", "geodesic": "#ffd92f"}
"""Colours of the planning volumes, by name."""

OUTLINE_LINES = (("outlined whole tumour", WHOLE_COLOUR), ("outlined core", CORE_COLOUR))
"""Legend of the outlines."""

PROBABILITIES = (0.05, 0.5, 0.95)
PROBABILITY_COLOURS = ("#ffffb2", "#fd8d3c", "#ff2a1a")
THUMBNAIL_INCHES = 1.8


@own_style()
def draw_density(
    patient: Patient,
    density: TumorDensity,
    scan: Scan | None = None,
    *,
    title: str = "T1",
    what: str = "map",
    levels: Sequence[float] = LEVELS,
) -> bytes:
    """Draw a density map with isolines and the patient's outlines on one of the scans.

    Parameters
    ----------
    patient : Patient
    density : TumorDensity
        In the patient's world, on any grid.
    scan : Scan, optional
        The registered T1 by default.
    title : str
        Name of the scan.
    what : str
        What the density is.
    levels : sequence of float
        Rising densities of the isolines.

    Returns
    -------
    bytes
        A PNG of three planes through the middle of the whole tumour: above, the scan with the
        outlines alone; below, the map on it.
    """
    scan = patient.t1 if scan is None else scan
    planes = tumour_planes(patient)
    figure, axes = new_panels(2, planes)
    top = white_level(scan)
    for column, plane in enumerate(planes):
        background = plane.sample(scan.values, scan.grid)
        u = plane.sample(density.u, density.grid)
        for row in range(2):
            show_plane(axes[row][column], background, top, plane)
        axis = axes[1][column]
        add_isolines(axis, u, levels, 1.1)
        add_outlines(plane, patient.masks, axes[0][column], axes[1][column])
    axes[0][0].set_ylabel(f"{title}, outlines")
    axes[1][0].set_ylabel(f"{title}, {what}")
    return finish(figure, [*OUTLINE_LINES, *level_lines(levels)])


@own_style()
def draw_thumbnail(patient: Patient, density: TumorDensity) -> bytes:
    """Draw a density map with isolines and outlines on the axial slice of the T1, small; a PNG.

    Parameters
    ----------
    patient : Patient
    density : TumorDensity
        In the patient's world.

    Returns
    -------
    bytes
        A PNG.
    """
    plane = tumour_planes(patient)[0]
    height, width = plane.points_mm.shape[:2]
    figure = new_figure(THUMBNAIL_INCHES * width / height, THUMBNAIL_INCHES)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    background = plane.sample(patient.t1.values, patient.grid)
    axis.imshow(background, cmap="gray", vmin=0, vmax=white_level(patient.t1), aspect="auto")
    u = plane.sample(density.u, density.grid)
    add_isolines(axis, u, LEVELS, 0.8)
    add_outlines(plane, patient.masks, axis)
    axis.set_aspect("equal")
    return png_of(figure)


@own_style()
def draw_volumes(patient: Patient, volumes: Mapping[str, NDArray[np.bool_]], grid: Grid) -> bytes:
    """Draw the borders of planning volumes and of both outlines on the T1; a PNG.

    The volumes lie on any grid in the patient's world, by the names that have a colour.

    Parameters
    ----------
    patient : Patient
    volumes : mapping of str to bool array of the grid's shape
        The volumes by name.
    grid : Grid
        In the patient's world.

    Returns
    -------
    bytes
        A PNG.
    """
    contours = [(volume, [(0.5, VOLUME_COLOURS[name])]) for name, volume in volumes.items()]
    lines = [(f"{name} volume", VOLUME_COLOURS[name]) for name in volumes]
    return _draw_contours(patient, contours, grid, lines)


@own_style()
def draw_exceedance(patient: Patient, probability: NDArray[np.float32], grid: Grid) -> bytes:
    """Draw where a density is exceeded with given probabilities, on the T1; a PNG.

    The map lies on any grid in the patient's world.

    Parameters
    ----------
    patient : Patient
    probability : float array of the grid's shape
        Probability that the density is exceeded, from 0 to 1.
    grid : Grid
        In the patient's world.

    Returns
    -------
    bytes
        A PNG.
    """
    pairs = list(zip(PROBABILITIES, PROBABILITY_COLOURS, strict=True))
    lines = [(f"{p:.0%}", colour) for p, colour in pairs]
    return _draw_contours(patient, [(probability, pairs)], grid, lines)


@own_style()
def draw_overlays(
    patient: Patient,
    density: TumorDensity,
    levels: Sequence[float] = LEVELS,
    *,
    failures: list[str],
) -> dict[str, bytes]:
    """Draw the map on the registered image and, where given, on FLAIR and T1c, by caption.

    A picture that cannot be drawn is left out; the list of failures says why (see `drawn`).

    Parameters
    ----------
    patient : Patient
    density : TumorDensity
        In the patient's world.
    levels : sequence of float
        Densities whose isolines are drawn, between 0 and 1.
    failures : list of str
        List that receives a line for each picture that failed.

    Returns
    -------
    dict of str to bytes
        PNGs by their captions.
    """
    shown = {"T1" if patient.modality == "t1" else "T1c": patient.t1}
    for name, scan in (("FLAIR", patient.flair), ("T1c", patient.t1c)):
        if scan is not None:
            shown[name] = scan
    pictures = {}
    for name, scan in shown.items():
        draw = functools.partial(draw_density, patient, density, scan, title=name, levels=levels)
        png = drawn(f"The picture of the map on {name}", draw, failures)
        if png is not None:
            pictures[f"Outlines and the map of tumour cell density on {name}"] = png
    return pictures


@own_style()
def draw_days(patient: Patient, days: Sequence[tuple[str, TumorDensity]]) -> bytes:
    """Draw densities of several days on the axial slice of the T1, on one scale; a PNG.

    The densities lie in the patient's world, each with the title of its panel.
    """
    plane = tumour_planes(patient)[0]
    figure, (axes,) = new_panels(1, [plane] * len(days))
    top = white_level(patient.t1)
    background = plane.sample(patient.t1.values, patient.grid)
    for axis, (name, density) in zip(axes, days, strict=True):
        show_plane(axis, background, top, plane)
        add_isolines(axis, plane.sample(density.u, density.grid), LEVELS, 1.1)
        name = name.replace(", ", "\n")  # or it would run into the letter of the side
        corner = axis.text(0.98, 0.98, name, transform=axis.transAxes, color="white", fontsize=9)
        corner.set(ha="right", va="top")
    add_outlines(plane, patient.masks, axes[0])
    return finish(figure, [*OUTLINE_LINES, *level_lines(LEVELS)])


def _draw_contours(
    patient: Patient,
    contours: Sequence[tuple[NDArray[Any], Sequence[tuple[float, str]]]],
    grid: Grid,
    lines: Sequence[tuple[str, str]],
) -> bytes:
    planes = tumour_planes(patient)
    figure, axes = new_panels(1, planes)
    top = white_level(patient.t1)
    for axis, plane in zip(axes[0], planes, strict=True):
        show_plane(axis, plane.sample(patient.t1.values, patient.grid), top, plane)
        add_outlines(plane, patient.masks, axis)
        for values, levels in contours:
            add_contours(axis, plane.sample(values, grid), levels, 1.1)
    return finish(figure, [*lines, *OUTLINE_LINES])
