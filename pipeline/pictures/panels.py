"""Panels of slices: how an image, a density and outlines are shown on a plane, and their legend.

Every panel is sampled in world coordinates, so that orientation, oblique axes and anisotropic
voxels are right by construction. Radiological convention: the patient's right is on the left of
axial and coronal panels, anterior on the left of sagittal ones; letters say so on each panel.
Warm colours show the model, cool ones the outlines of the scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas.regions import bounding_box
from ...solver import TumorMasks
from ..images.nifti import Scan
from .drawing import (
    Axes,
    Figure,
    Line2D,
    ListedColormap,
    new_figure,
    png_of,
    to_hex,
    to_rgb,
)
from .planes import ACROSS, LETTERS, Plane

LEVELS = (0.01, 0.1, 0.2, 0.6)
"""Densities whose isolines are drawn by default."""

LEVEL_COLOURS = ("#ffffb2", "#fecc5c", "#fd8d3c", "#ff2a1a")
"""Colours from the lowest level to the highest; other numbers of levels have colours between
them."""

WHOLE_COLOUR, CORE_COLOUR = "#35d0ff", "#7dff5a"
PANEL_INCHES = 3.1
LEGEND_INCHES = 0.45
"""Height below the panels, for a legend of two rows."""


def new_panels(n_rows: int, planes: Sequence[Plane]) -> tuple[Figure, list[list[Axes]]]:
    """Rows of black panels, one for each plane, and the figure that holds them."""
    heights = max(plane.points_mm.shape[0] for plane in planes)
    widths = [plane.points_mm.shape[1] for plane in planes]
    scale = PANEL_INCHES / heights
    size = (sum(widths) * scale + 0.35, n_rows * PANEL_INCHES + LEGEND_INCHES)
    figure = new_figure(*size, facecolor="black")
    grid = figure.add_gridspec(
        n_rows,
        len(planes),
        width_ratios=widths,
        left=0.35 / size[0],
        right=1,
        bottom=LEGEND_INCHES / size[1],
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


BEHIND_TEXT: Any = {"boxstyle": "square,pad=0.1", "facecolor": "#00000080", "edgecolor": "none"}
"""Shade behind text, which may lie on a bright head."""


def show_plane(axis: Axes, image: NDArray[Any], top: float, plane: Plane) -> None:
    """Show an image on a plane, intensities from 0 to `top`, with the letters of its sides."""
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
            bbox=BEHIND_TEXT,
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
            bbox=BEHIND_TEXT,
            ha="left",
            va="bottom",
        )
    axis.text(
        0.02,
        0.98,
        f"{plane.name}\n{ACROSS[plane.name]} = {round(plane.position_mm)} mm",
        transform=axis.transAxes,
        color="#cccccc",
        fontsize=7,
        bbox=BEHIND_TEXT,
        ha="left",
        va="top",
    )


def add_isolines(axis: Axes, u: NDArray[np.float32], levels: Sequence[float], width: float) -> None:
    """Draw a density: colours where it reaches the lowest level, and a line at each level."""
    axis.imshow(
        np.ma.masked_less(u, levels[0]),
        cmap=density_colours(levels),
        vmin=0,
        vmax=1,
        interpolation="nearest",
        aspect="equal",
    )
    lines = zip(levels, level_lines(levels), strict=True)
    add_contours(axis, u, [(level, colour) for level, (_, colour) in lines], width)


def add_outlines(plane: Plane, masks: TumorMasks, *axes: Axes) -> None:
    """Draw the outlines of core and whole tumour on a plane, in one panel or several."""
    for mask, colour in ((masks.whole, WHOLE_COLOUR), (masks.core, CORE_COLOUR)):
        outlined = plane.sample(mask, masks.grid)
        for axis in axes:
            add_contour(axis, outlined, colour, 0.9)


def add_contour(axis: Axes, share: NDArray[Any], colour: str, width: float) -> None:
    """Draw the line around what has at least half of each voxel, where there is one."""
    add_contours(axis, share, [(0.5, colour)], width)


def add_contours(
    axis: Axes, image: NDArray[Any], lines: Sequence[tuple[float, str]], width: float
) -> None:
    """Draw the lines where an image reaches levels, given with their colours, where there are any.

    The levels rise. Lines are searched for in the part of the image that holds them all.
    """
    low, high = image.min(), image.max()
    lines = [line for line in lines if low < line[0] <= high]  # matplotlib warns if there is none
    if not lines:
        return
    *part, _ = bounding_box(image[..., None] >= lines[0][0], margin=1)
    rows, columns = (np.arange(side.start, side.stop) for side in part)
    levels, colours = zip(*lines, strict=True)
    axis.contour(columns, rows, image[tuple(part)], levels=levels, colors=colours, linewidths=width)


def finish(figure: Figure, lines: Sequence[tuple[str, str]]) -> bytes:
    """A figure as PNG, with a legend of texts and colours below the panels.

    The legend has as many columns as the figure is wide, and the figure grows with its rows.
    """
    handles = [Line2D([], [], color=colour, linewidth=2, label=text) for text, colour in lines]
    for n_columns in range(len(handles), 0, -1):
        legend = figure.legend(
            handles=handles,
            loc="lower center",
            ncols=n_columns,
            fontsize=8,
            frameon=True,
            facecolor="black",
            labelcolor="white",
            edgecolor="none",
            handlelength=1.4,
            columnspacing=1.4,
        )
        extent = legend.get_window_extent()
        if extent.width <= figure.bbox.width or n_columns == 1:
            break
        legend.remove()
    _make_room(figure, extent.y1 / figure.dpi - LEGEND_INCHES)
    return png_of(figure)


def _make_room(figure: Figure, inches: float) -> None:
    """Make a figure higher below its panels, which keep their size."""
    if inches <= 0:
        return
    before = figure.get_figheight()
    figure.set_figheight(before + inches)
    for axis in figure.axes:
        x, y, width, height = axis.get_position(original=True).bounds
        share = before / (before + inches)
        axis.set_position((x, (y * before + inches) / (before + inches), width, height * share))


def white_level(scan: Scan) -> float:
    """Intensity that is shown white: bright enhancement and fat must not darken the brain."""
    values = scan.values.ravel(order="K")  # as they lie in memory: in a third of the time
    positive = values[values > 0]
    return float(np.percentile(positive, 99.5)) if positive.size else 1.0


def density_colours(levels: Sequence[float] = LEVELS) -> ListedColormap:
    """Colours of densities 0 to 1, at each of the rising levels that of its isoline.

    The fewer cells, the more of the scan shows through.
    """
    steps = np.linspace(0, 1, 256)
    colours = np.empty((256, 4))
    for i, channel in enumerate(_level_channels(len(levels)).T):
        colours[:, i] = np.interp(steps, levels, channel)
    colours[:, 3] = 0.08 + 0.42 * np.sqrt(steps)
    return ListedColormap(colours)


def level_lines(levels: Sequence[float]) -> list[tuple[str, str]]:
    """Text and colour of each level in the legend."""
    colours = [to_hex(channels) for channels in _level_channels(len(levels))]
    return [(f"density {x:g}", colour) for x, colour in zip(levels, colours, strict=True)]


def _level_channels(n: int) -> NDArray[np.float64]:
    """Red, green and blue of n levels."""
    at = np.linspace(0, len(LEVEL_COLOURS) - 1, n)
    known = np.array([to_rgb(colour) for colour in LEVEL_COLOURS])
    return np.stack([np.interp(at, np.arange(len(known)), channel) for channel in known.T], axis=1)
