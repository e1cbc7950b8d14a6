"""Pictures of an evaluation: the paper's Figures 2 and 3, and what strategies lose and take."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..query.evaluation import Row
from ..query.summary import Summary

BAR, LINE = "#2a788e", "#fd8d3c"
MANY = 100
"""Queries above which bars are drawn without their names."""


def draw_dice(rows: Sequence[Row], title: str) -> bytes:
    """Dice of every query with its best match: core, whole, and their sum.

    Parameters
    ----------
    rows : sequence of Row
        Of one kind of queries and one strategy; ordered here by falling score of the best match.
    title : str

    Returns
    -------
    bytes
        A PNG.
    """
    ordered = sorted(rows, key=lambda row: -row.best_score)
    panels = {
        "core (T1Gd)": [row.best_dice_core for row in ordered],
        "whole (FLAIR)": [row.best_dice_whole for row in ordered],
        "core + whole": [row.best_score for row in ordered],
    }
    figure = Figure(figsize=(11, 7), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 1, sharex=True)
    places = np.arange(len(ordered))
    for axis, (name, values) in zip(axes, panels.items(), strict=True):
        axis.bar(places, values, width=0.85 if len(ordered) <= MANY else 1.0, color=BAR)
        mean = float(np.mean(values))
        axis.axhline(mean, color=LINE, linewidth=1.5, label=f"mean {mean:.2f}")
        axis.set(ylabel=f"Dice, {name}", ylim=(0, 2 if "+" in name else 1))
        axis.legend(loc="upper right", fontsize=8, framealpha=0.9)
        axis.margins(x=0.01)
    if len(ordered) <= MANY:
        axes[-1].set_xticks(places, [row.query for row in ordered], rotation=90, fontsize=6)
    axes[-1].set_xlabel("queries, by falling score")
    figure.suptitle(title)
    return _png(figure)


def draw_trade(summaries: Sequence[Summary], title: str) -> bytes:
    """What each strategy loses, and how often it finds the best, against its time.

    Returns
    -------
    bytes
        A PNG: Top-1 on the left, mean regret on the right, over the median time of a query.
    """
    figure = Figure(figsize=(11, 4.5), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for axis, label, values in (
        (left, "Top-1, per cent", [s.top1 for s in summaries]),
        (right, "mean regret, sum of Dice", [s.regret_mean for s in summaries]),
    ):
        axis.scatter([s.seconds for s in summaries], values, color=BAR)
        for summary, value in zip(summaries, values, strict=True):
            axis.annotate(
                summary.strategy + (" (scaled)" if summary.is_scaled else ""),
                (summary.seconds, value),
                xytext=(4, 4),
                textcoords="offset points",
                fontsize=7,
            )
        axis.set(xscale="log", xlabel="a query, s", ylabel=label)
        axis.margins(0.15)
    figure.suptitle(title)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
