"""Pictures that a radiologist can judge a result by: three planes through the tumour.

Every panel is sampled in world coordinates, so that orientation, oblique axes and anisotropic
voxels are right by construction. Radiological convention: the patient's right is on the left of
axial and coronal panels, anterior on the left of sagittal ones; letters say so on each panel.
Warm colours show the model, cool ones what was outlined on the scan.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...atlas import Atlas, Grid, load_atlas
from ...solver import TumorDensity, TumorMasks
from ..alignment.transform import AtlasTransform
from ..images.nifti import Scan
from ..patient.patient import Patient
from .drawing import (
    Axes,
    Figure,
    Line2D,
    ListedColormap,
    drawn,
    new_figure,
    own_style,
    png_of,
    to_hex,
    to_rgb,
)
from .planes import ACROSS, LETTERS, STEP_MM, Plane, centre_of, planes_through, tumour_planes

LEVELS = (0.01, 0.1, 0.2, 0.6)
"""Densities whose isolines are drawn unless others are chosen."""

LEVEL_COLOURS = ("#ffffb2", "#fecc5c", "#fd8d3c", "#ff2a1a")
"""From the lowest level to the highest; those of other numbers of levels lie between them."""

WHOLE_COLOUR, CORE_COLOUR = "#35d0ff", "#7dff5a"
STANDARD_COLOUR, MODEL_COLOUR = "#ffffff", "#ff2a1a"
PROBABILITIES = (0.05, 0.5, 0.95)
PROBABILITY_COLOURS = ("#ffffb2", "#fd8d3c", "#ff2a1a")
BRAIN_COLOUR, TISSUE_COLOUR = "#ffd34d", "#35d0ff"
CHECKER_MM = 20.0
PANEL_INCHES = 3.1
THUMBNAIL_INCHES = 1.8


@own_style()
def draw_density(
    patient: Patient,
    density: TumorDensity,
    scan: Scan | None = None,
    *,
    title: str = "T1",
    levels: Sequence[float] = LEVELS,
    planes: Sequence[Plane] | None = None,
) -> bytes:
    """Draw a density map with iso-lines and the patient's outlines on one of the scans.

    Parameters
    ----------
    patient : Patient
    density : TumorDensity
        In the patient's world, on any grid.
    scan : Scan, optional
        The registered T1 by default.
    title : str
        Names the scan.
    levels : sequence of float
        Rising densities of the isolines.
    planes : sequence of Plane, optional
        Three; by default those through the middle of the whole tumour.

    Returns
    -------
    bytes
        A PNG: above, the scan with the outlines alone; below, the map on it.
    """
    scan = patient.t1 if scan is None else scan
    planes = tumour_planes(patient) if planes is None else planes
    figure, axes = _panels(2, planes)
    top = white_level(scan)
    for column, plane in enumerate(planes):
        background = plane.sample(scan.values, scan.grid)
        u = plane.sample(density.u, density.grid)
        for row in range(2):
            _show(axes[row][column], background, top, plane)
        axis = axes[1][column]
        _isolines(axis, u, levels, 1.1)
        for row in range(2):
            _outlines(axes[row][column], plane, patient.masks)
    axes[0][0].set_ylabel(f"{title}, outlines")
    axes[1][0].set_ylabel(f"{title}, map")
    lines = [
        ("outlined whole tumour", WHOLE_COLOUR),
        ("outlined core", CORE_COLOUR),
        *_level_lines(levels),
    ]
    return _finish(figure, lines)


@own_style()
def draw_thumbnail(patient: Patient, density: TumorDensity) -> bytes:
    """Draw a density map with iso-lines and outlines on the axial slice of the T1, small; a PNG."""
    plane = tumour_planes(patient)[0]
    height, width = plane.points_mm.shape[:2]
    figure = new_figure(THUMBNAIL_INCHES * width / height, THUMBNAIL_INCHES)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    background = plane.sample(patient.t1.values, patient.grid)
    axis.imshow(background, cmap="gray", vmin=0, vmax=white_level(patient.t1), aspect="auto")
    u = plane.sample(density.u, density.grid)
    _isolines(axis, u, LEVELS, 0.8)
    _outlines(axis, plane, patient.masks)
    axis.set_aspect("equal")
    return png_of(figure)


@own_style()
def draw_volumes(patient: Patient, standard: NDArray[np.bool_], model: NDArray[np.bool_]) -> bytes:
    """Draw the borders of two planning volumes and of both outlines on the T1; a PNG.

    The volumes lie on the patient's grid.
    """
    contours = [(standard, 0.5, STANDARD_COLOUR), (model, 0.5, MODEL_COLOUR)]
    lines = [("standard volume", STANDARD_COLOUR), ("model's volume", MODEL_COLOUR)]
    return _draw_contours(patient, contours, patient.grid, lines)


@own_style()
def draw_exceedance(patient: Patient, probability: NDArray[np.float32], grid: Grid) -> bytes:
    """Draw where a density is exceeded with given probabilities, on the T1; a PNG.

    The map lies on any grid in the patient's world.
    """
    pairs = list(zip(PROBABILITIES, PROBABILITY_COLOURS, strict=True))
    contours = [(probability, level, colour) for level, colour in pairs]
    return _draw_contours(patient, contours, grid, [(f"{p:.0%}", c) for p, c in pairs])


def _draw_contours(
    patient: Patient,
    contours: Sequence[tuple[NDArray, float, str]],
    grid: Grid,
    lines: Sequence[tuple[str, str]],
) -> bytes:
    planes = tumour_planes(patient)
    figure, axes = _panels(1, planes)
    for axis, plane in zip(axes[0], planes, strict=True):
        _show(axis, plane.sample(patient.t1.values, patient.grid), white_level(patient.t1), plane)
        _outlines(axis, plane, patient.masks)
        for values, level, colour in contours:
            _contour(axis, plane.sample(values, grid), level, colour, 1.1)
    outlined = [("outlined whole tumour", WHOLE_COLOUR), ("outlined core", CORE_COLOUR)]
    return _finish(figure, [*lines, *outlined])


@own_style()
def draw_overlays(
    patient: Patient,
    density: TumorDensity,
    levels: Sequence[float] = LEVELS,
    *,
    failures: list[str],
) -> dict[str, bytes]:
    """Draw the map on the registered image and, where given, on FLAIR and T1c, by caption.

    What cannot be drawn is left out, and told in the list of failures (see `drawn`).
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
            pictures[f"Predicted tumour cell density on {name}"] = png
    return pictures


@own_style()
def draw_registration(
    patient: Patient,
    transform: AtlasTransform,
    masks: TumorMasks | None = None,
    atlas: Atlas | None = None,
) -> bytes:
    """Draw how the patient's brain lies on the atlas, in atlas space.

    Parameters
    ----------
    patient : Patient
    transform : AtlasTransform
    masks : TumorMasks, optional
        The patient's outlines on the atlas, if they have been carried there already.
    atlas : Atlas, optional

    Returns
    -------
    bytes
        A PNG of three rows: the atlas T1 with the patient's brain edge, the patient's T1 carried
        to the atlas with the atlas's brain and white-matter edges, a checkerboard of both.
    """
    atlas = load_atlas() if atlas is None else atlas
    masks = transform.masks_to_atlas(patient.masks, atlas.grid) if masks is None else masks
    brain = (patient.t1.values > 0).astype(np.float32)
    planes = planes_through(centre_of(masks.whole, masks.grid), atlas.t1 > 0, atlas.t1_grid)
    figure, axes = _panels(3, planes)
    atlas_top, patient_top = white_level(Scan(atlas.t1, atlas.t1_grid)), white_level(patient.t1)
    atlas_brain = (atlas.t1 > 0).astype(np.float32)
    for column, plane in enumerate(planes):
        shape = plane.points_mm.shape[:2]
        flat = transform.patient_from_atlas(plane.points_mm.reshape(-1, 3))
        there = Plane(plane.name, flat.reshape(*shape, 3), plane.position_mm)
        fixed = plane.sample(atlas.t1, atlas.t1_grid) / atlas_top
        moved = there.sample(patient.t1.values, patient.grid) / patient_top
        for row, image in enumerate((fixed, moved, _checkerboard(fixed, moved))):
            _show(axes[row][column], image, 1.0, plane)
        moved_brain = there.sample(brain, patient.grid)
        _contour(axes[0][column], moved_brain, 0.5, BRAIN_COLOUR, 1.0)
        _contour(axes[1][column], plane.sample(atlas_brain, atlas.t1_grid), 0.5, BRAIN_COLOUR, 1.0)
        _contour(axes[1][column], plane.sample(atlas.wm, atlas.grid), 0.5, TISSUE_COLOUR, 0.6)
        for row in range(3):
            _contour(
                axes[row][column],
                plane.sample(masks.whole, masks.grid),
                0.5,
                LEVEL_COLOURS[-1],
                0.9,
            )
    for row, label in enumerate(("atlas", "patient on atlas", "checkerboard")):
        axes[row][0].set_ylabel(label)
    lines = [
        ("brain edge of the other image", BRAIN_COLOUR),
        ("white-matter edge of the atlas", TISSUE_COLOUR),
        ("outlined whole tumour (left out of the metric)", LEVEL_COLOURS[-1]),
    ]
    return _finish(figure, lines)


@own_style()
def draw_on_atlas(
    atlas: Atlas, density: TumorDensity | None = None, *, centre: TumorDensity | None = None
) -> bytes:
    """Draw the atlas: T1 and tissue edges, or the iso-lines of a density on the T1, as PNG.

    The planes go through the middle of the density, or of `centre` where that is given.
    """
    scan = Scan(atlas.t1, atlas.t1_grid)
    middle = density if centre is None else centre
    seen = atlas.brain if middle is None else middle.u >= min(LEVELS[2], middle.u.max())
    planes = planes_through(centre_of(seen, atlas.grid), atlas.t1 > 0, atlas.t1_grid)
    figure, axes = _panels(1, planes)
    for axis, plane in zip(axes[0], planes, strict=True):
        _show(axis, plane.sample(scan.values, scan.grid), white_level(scan), plane)
        if density is None:
            _contour(axis, plane.sample(atlas.wm, atlas.grid), 0.5, TISSUE_COLOUR, 0.8)
            _contour(axis, plane.sample(atlas.csf, atlas.grid), 0.5, CORE_COLOUR, 0.8)
            continue
        u = plane.sample(density.u, density.grid)
        _isolines(axis, u, LEVELS, 1.1)
    lines = [("white matter", TISSUE_COLOUR), ("cerebrospinal fluid", CORE_COLOUR)]
    if density is not None:
        lines = _level_lines(LEVELS)
    return _finish(figure, lines)


def white_level(scan: Scan) -> float:
    """Intensity that is shown white: bright enhancement and fat must not darken the brain."""
    positive = scan.values[scan.values > 0]
    return float(np.percentile(positive, 99.5)) if positive.size else 1.0


def _panels(n_rows: int, planes: Sequence[Plane]) -> tuple[Figure, list[list[Axes]]]:
    heights = max(plane.points_mm.shape[0] for plane in planes)
    widths = [plane.points_mm.shape[1] for plane in planes]
    scale = PANEL_INCHES / heights
    legend = 0.45
    size = (sum(widths) * scale + 0.35, n_rows * PANEL_INCHES + legend)
    figure = new_figure(*size, facecolor="black")
    grid = figure.add_gridspec(
        n_rows,
        len(planes),
        width_ratios=widths,
        left=0.35 / size[0],
        right=1,
        bottom=legend / size[1],
        top=1,
        wspace=0.01,
        hspace=0.01,
    )
    axes = [[figure.add_subplot(grid[r, c]) for c in range(len(planes))] for r in range(n_rows)]
    for row in axes:
        for axis in row:
            axis.set_facecolor("black")
            axis.set_xticks([])
            axis.set_yticks([])
            for spine in axis.spines.values():
                spine.set_visible(False)
            axis.yaxis.label.set_fontsize(9)
            axis.yaxis.label.set_color("white")
    return figure, axes


def _show(axis: Axes, image: NDArray, top: float, plane: Plane) -> None:
    axis.imshow(image, cmap="gray", vmin=0, vmax=top, interpolation="nearest", aspect="equal")
    axis.set_anchor("C")
    places = {0: (0.02, 0.5), 1: (0.98, 0.5), 2: (0.5, 0.98), 3: (0.5, 0.02)}
    for i, (x, y) in places.items():
        axis.text(
            x,
            y,
            LETTERS[plane.name][i],
            transform=axis.transAxes,
            color="white",
            fontsize=9,
            fontweight="bold",
            ha=("left", "right", "center", "center")[i],
            va=("center", "center", "top", "bottom")[i],
        )
    if plane.name != "sagittal":
        axis.text(
            0.02,
            0.02,
            "radiological:\npatient's right\non the left",
            transform=axis.transAxes,
            color="#999999",
            fontsize=5.5,
            ha="left",
            va="bottom",
        )
    axis.text(
        0.02,
        0.98,
        f"{plane.name}\n{ACROSS[plane.name]} = {plane.position_mm:.0f} mm",
        transform=axis.transAxes,
        color="#cccccc",
        fontsize=7,
        ha="left",
        va="top",
    )


def density_colours(levels: Sequence[float] = LEVELS) -> ListedColormap:
    """Colours of densities 0 to 1, at each of the rising levels that of its isoline.

    The fewer cells, the more of the scan shows through.
    """
    steps = np.linspace(0, 1, 256)
    colours = np.empty((256, 4))
    for i, channel in enumerate(_level_channels(len(levels)).T):
        colours[:, i] = np.interp(steps, levels, channel)
    colours[:, 3] = 0.08 + 0.42 * np.sqrt(steps)
    colours[0, 3] = 0
    return ListedColormap(colours)


def _level_channels(n: int) -> NDArray[np.float64]:
    """Red, green and blue of n levels."""
    at = np.linspace(0, len(LEVEL_COLOURS) - 1, n)
    known = np.array([to_rgb(colour) for colour in LEVEL_COLOURS])
    return np.stack([np.interp(at, np.arange(len(known)), channel) for channel in known.T], axis=1)


def _level_lines(levels: Sequence[float]) -> list[tuple[str, str]]:
    """What the legend says of each level, and in which colour."""
    colours = [to_hex(channels) for channels in _level_channels(len(levels))]
    return [(f"density {x:g}", colour) for x, colour in zip(levels, colours, strict=True)]


def _isolines(axis: Axes, u: NDArray[np.float32], levels: Sequence[float], width: float) -> None:
    axis.imshow(
        np.where(u >= levels[0], u, 0),
        cmap=density_colours(levels),
        vmin=0,
        vmax=1,
        interpolation="nearest",
        aspect="equal",
    )
    for level, (_, colour) in zip(levels, _level_lines(levels), strict=True):
        _contour(axis, u, level, colour, width)


def _outlines(axis: Axes, plane: Plane, masks: TumorMasks) -> None:
    _contour(axis, plane.sample(masks.whole, masks.grid), 0.5, WHOLE_COLOUR, 0.9)
    _contour(axis, plane.sample(masks.core, masks.grid), 0.5, CORE_COLOUR, 0.9)


def _contour(axis: Axes, image: NDArray, level: float, colour: str, width: float) -> None:
    if image.min() < level <= image.max():  # matplotlib warns where there is no line to draw
        axis.contour(image, levels=[level], colors=[colour], linewidths=width)


def _checkerboard(a: NDArray, b: NDArray) -> NDArray:
    square = int(CHECKER_MM / STEP_MM)
    rows, columns = np.indices(a.shape) // square
    return np.where((rows + columns) % 2 == 0, a, b)


def _finish(figure: Figure, lines: Sequence[tuple[str, str]]) -> bytes:
    handles = [Line2D([], [], color=colour, linewidth=2, label=text) for text, colour in lines]
    figure.legend(
        handles=handles,
        loc="lower center",
        ncols=len(handles),
        fontsize=8,
        frameon=True,
        facecolor="black",
        labelcolor="white",
        edgecolor="none",
        handlelength=1.4,
        columnspacing=1.4,
    )
    return png_of(figure)
