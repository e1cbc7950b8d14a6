"""What a database covers: its growths, its sizes and where its tumours began."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Atlas
from ...dbgen import Database
from ...solver.declarations import Parameter
from .drawing import Axes, LogNorm, new_figure, own_style, plain_log_ticks, png_of
from .planes import AXES, LETTERS

COLOURS = "viridis"
WHOLE_COLOUR, CORE_COLOUR = "#2a788e", "#fd8d3c"
BRAIN_COLOUR, TISSUE_COLOUR = "#444444", "#eeeeee"
N_BINS = 24
LEAST_ML = 0.05
"""Left end of the volumes' axis where a core is empty or next to it."""
MARGIN_MM = 14.0


@own_style()
def draw_database(database: Database) -> bytes:
    """Draw the coverage of a database.

    Parameters
    ----------
    database : Database

    Returns
    -------
    bytes
        A PNG. Above: the identifiable pair lambda and rho T of every tumour, coloured by its
        volume; the volumes of both outlines; the values of the model's own parameters that are
        varied. Below: the origins of the runs in three projections along the axes of the world, on
        the atlas's brain.
    """
    atlas = database.atlas
    values = database.parameters
    figure = new_figure(11, 8, facecolor="white", layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(1, 0.95))
    above, below = parts
    varied = [one for one in database.declared.parameters if np.ptp(values[one.name].values) > 0]
    widths = (1.25, *[1.0] * (1 + len(varied)))
    growth, sizes, *more = above.subplots(1, len(widths), width_ratios=widths)
    for axis, one in zip(more, varied, strict=True):
        _draw_values(axis, one, values[one.name].values)
    _draw_growth(growth, values.lambda_mm.values, values.rho_t.values, values.whole_ml.values)
    _draw_sizes(sizes, values.whole_ml.values, values.core_ml.values)
    _, first_of_run = np.unique(values.run, return_index=True)
    runs = values.isel(sample=first_of_run)
    origins = np.stack([runs[f"origin_{a}_mm"].values for a in "xyz"], axis=-1)
    extent = np.ptp(np.argwhere(atlas.brain), axis=0)
    panel_widths = [extent[width] for width, _, _ in AXES.values()]
    panels = below.subplots(1, 3, width_ratios=panel_widths)
    for axis, name in zip(panels, AXES, strict=True):
        _draw_origins(axis, name, origins, atlas)
    below.suptitle("Origins of the runs, projected on the brain", fontsize=10)
    samplers = dict.fromkeys(part.space.sampler for part in database.parts)
    figure.suptitle(
        f"{database.n_samples:,} tumours in {len(first_of_run):,} runs: "
        f"{database.header['plan']['model']['name']}, sampler {', '.join(samplers)}",
        fontsize=12,
        parse_math=False,
    )
    return png_of(figure)


def _point_size(n: int) -> float:
    """Area of a point: visible for few, not a blot for many."""
    return float(np.clip(4000 / n, 1.0, 14.0))


def _draw_growth(
    axis: Axes, lambda_mm: NDArray[Any], rho_t: NDArray[Any], whole_ml: NDArray[Any]
) -> None:
    points = axis.scatter(
        lambda_mm,
        rho_t,
        c=np.maximum(whole_ml, LEAST_ML),
        s=_point_size(len(rho_t)),
        cmap=COLOURS,
        norm=LogNorm(),
        linewidths=0,
    )
    axis.set(xscale="log", yscale="log", xlabel="lambda = sqrt(dw / rho), mm", ylabel="rho T")
    axis.axvline(2, color="#999999", linewidth=0.8, linestyle=":")
    axis.text(
        2, 0.99, " one voxel", transform=axis.get_xaxis_transform(), va="top", fontsize=7,
        color="#777777",
    )  # fmt: skip
    axis.set_title("Growths: the pair that one scan can tell", fontsize=10)
    bar = axis.figure.colorbar(points, ax=axis, label="volume of the whole outline, ml")
    for ticks in (axis.xaxis, axis.yaxis, bar.ax.yaxis):
        plain_log_ticks(ticks)


def _draw_sizes(axis: Axes, whole_ml: NDArray[Any], core_ml: NDArray[Any]) -> None:
    core_ml, whole_ml = np.maximum(core_ml, LEAST_ML), np.maximum(whole_ml, LEAST_ML)
    least = min(core_ml.min(), whole_ml.min())
    edges = np.geomspace(least, max(whole_ml.max() * 1.001, 2 * least), N_BINS + 1)
    for volumes, colour, name in (
        (whole_ml, WHOLE_COLOUR, "whole"),
        (core_ml, CORE_COLOUR, "core"),
    ):
        axis.hist(volumes, edges.tolist(), color=colour, alpha=0.75, label=name)
    axis.set(xscale="log", xlabel="volume, ml", ylabel="tumours")
    plain_log_ticks(axis.xaxis)
    axis.set_title("Sizes of the two outlines", fontsize=10)
    axis.legend(frameon=False, fontsize=9)


def _draw_values(axis: Axes, one: Parameter, values: NDArray[Any]) -> None:
    """How often each value of a parameter of the model's own was drawn."""
    axis.hist(values, N_BINS, color=WHOLE_COLOUR, alpha=0.75)
    unit = f", {one.unit}" if one.unit else ""
    axis.set_xlabel(f"{one.name}{unit}", parse_math=False)
    axis.set_title(one.meaning, fontsize=10, parse_math=False)


def _draw_origins(axis: Axes, name: str, origins_mm: NDArray[Any], atlas: Atlas) -> None:
    """One projection, in the radiological convention of the other pictures."""
    width, height, across = AXES[name]
    shadow = np.any(atlas.brain, axis=across)
    u, v = atlas.grid.axis_mm(width), atlas.grid.axis_mm(height)
    axis.contourf(u, v, shadow.T, levels=[0.5, 1.5], colors=[TISSUE_COLOUR])
    axis.contour(u, v, shadow.T, levels=[0.5], colors=[BRAIN_COLOUR], linewidths=0.8)
    axis.scatter(
        origins_mm[:, width],
        origins_mm[:, height],
        color=WHOLE_COLOUR,
        s=_point_size(len(origins_mm)),
        linewidths=0,
    )
    inside_u, inside_v = u[shadow.any(axis=1)], v[shadow.any(axis=0)]
    # The world's axes point right, anterior and superior; the panel's width runs against its own.
    axis.set_xlim(inside_u.max() + MARGIN_MM, inside_u.min() - MARGIN_MM)
    axis.set_ylim(inside_v.min() - MARGIN_MM, inside_v.max() + MARGIN_MM)
    axis.set_aspect("equal")
    axis.set_xlabel(f"{'xyz'[width]}, mm")
    axis.set_ylabel(f"{'xyz'[height]}, mm")
    axis.tick_params(labelsize=7)
    axis.set_title(name, fontsize=9)
    left, right, top, bottom = list(LETTERS[name])
    for letter, x, y in (
        (left, 0.02, 0.5),
        (right, 0.98, 0.5),
        (top, 0.5, 0.98),
        (bottom, 0.5, 0.02),
    ):
        axis.text(
            x, y, letter, transform=axis.transAxes, fontsize=9, fontweight="bold", color="#555555",
            ha={0.02: "left", 0.98: "right"}.get(x, "center"),
            va={0.02: "bottom", 0.98: "top"}.get(y, "center"),
        )  # fmt: skip
