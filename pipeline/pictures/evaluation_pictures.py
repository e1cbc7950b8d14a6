"""Pictures of an evaluation: the paper's Figures 2 and 3, and the strategies side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...query.evaluation.comparison import Row
from ...query.evaluation.summary import Summary
from .drawing import new_figure, own_style, plain_log_ticks, png_of

BAR, LINE = "#2a788e", "#fd8d3c"
MANY = 100
"""Queries above which bars are drawn without their names."""
MOST_FOR_FINE_TICKS = 500
"""Ratio of the longest time to the shortest from which on only decades are named."""


@own_style()
def draw_dice(rows: Sequence[Row], title: str) -> bytes:
    """Dice of every query with its best match: core, whole, and their sum.

    Parameters
    ----------
    rows : sequence of Row
        Rows of one kind of queries and one strategy; the picture orders them by falling score of
        the best match.
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
    figure = new_figure(11, 7, facecolor="white", layout="constrained")
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
        names = [row.query for row in ordered]
        axes[-1].set_xticks(places, names, rotation=90, fontsize=6, parse_math=False)
    axes[-1].set_xlabel("queries, by falling score")
    figure.suptitle(title)
    return png_of(figure)


@own_style()
def draw_strategies(summaries: Sequence[Summary], title: str) -> bytes:
    """How often each strategy finds the best tumours, what it loses, and how long it takes.

    Parameters
    ----------
    summaries : sequence of Summary
        One for each strategy.
    title : str

    Returns
    -------
    bytes
        A PNG with a line for each strategy: Top-1, 5 and 15 on the left, the mean and the worst
        regret in the middle, the median time of a query on the right.
    """
    names = [s.strategy + (" (time scaled)" if s.is_scaled else "") for s in summaries]
    places = np.arange(len(summaries))
    figure = new_figure(12, 1.4 + 0.32 * len(summaries), layout="constrained")
    tops, regrets, times = figure.subplots(1, 3, sharey=True)
    for label, shade, values in (
        ("Top-15", "#c6dbdf", [s.top15 for s in summaries]),
        ("Top-5", "#7fb0b9", [s.top5 for s in summaries]),
        ("Top-1", BAR, [s.top1 for s in summaries]),
    ):
        tops.barh(places, values, color=shade, label=label)
    tops.set(xlabel="queries, per cent", xlim=(0, 100))
    tops.set_yticks(places, names, fontsize=8)
    tops.invert_yaxis()
    above: Any = {"loc": "lower left", "bbox_to_anchor": (0, 1), "frameon": False, "fontsize": 7}
    tops.legend(ncols=3, reverse=True, **above)
    regrets.barh(places, [s.regret_mean for s in summaries], color=BAR, label="mean")
    worst = [s.regret_worst for s in summaries]
    regrets.plot(worst, places, "|", color=LINE, markersize=9, label="worst")
    regrets.set_xlabel("regret, sum of Dice")
    regrets.legend(ncols=2, **above)
    seconds = [s.seconds for s in summaries]
    times.plot(seconds, places, "o", color=BAR)
    times.set(xscale="log", xlabel="a query, s")
    is_wide = max(seconds) > MOST_FOR_FINE_TICKS * min(seconds)
    plain_log_ticks(times.xaxis, (1,) if is_wide else (1, 2, 5))
    times.tick_params(axis="x", labelsize=8)
    times.grid(axis="x", linewidth=0.4)
    figure.suptitle(title)
    return png_of(figure)
