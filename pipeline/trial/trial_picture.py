"""The picture of a trial: coverage by volumes of any size, and reliability of probabilities."""

from __future__ import annotations

from ..pictures.drawing import Axes, new_figure, own_style, png_of
from .rivals import GROWTH, MAP, MARGIN, ORACLE, RANKINGS
from .scores import FACTORS, N_BINS
from .summary import ALL, ARM_NAMES, LEAST_SHARE, TrialSummary

COLOURS = {ORACLE: "#222222", MAP: "#d7301f", GROWTH: "#fd8d3c", MARGIN: "#2a788e"}
RIVAL_COLOUR = "#5e3c99"
LEVEL_COLOURS = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#c7b020")


@own_style()
def draw_trial(summary: TrialSummary) -> bytes:
    """Coverage curves above, reliability of the exceedance maps below, an arm a column; a PNG."""
    arms = [arm for arm in summary.arms if arm != ALL]
    figure = new_figure(4.4 * len(arms) + 0.6, 8, facecolor="white", layout="constrained")
    rows = figure.subplots(2, len(arms), squeeze=False, sharey="row")
    for arm, above, below in zip(arms, *rows, strict=True):
        _draw_coverage(above, summary, arm)
        _draw_reliability(below, summary, arm)
        above.set_title(ARM_NAMES[arm])
    rows[0][0].set_ylabel("true cells outside the core that are held")
    rows[1][0].set_ylabel("share in which the truth exceeds it")
    rows[1][-1].text(
        0.98, 0.02, f"open circles: less than {LEAST_SHARE:.0%} of the voxels",
        transform=rows[1][-1].transAxes, ha="right", va="bottom", fontsize=7,
    )  # fmt: skip
    return png_of(figure)


def _draw_coverage(axes: Axes, summary: TrialSummary, arm: str) -> None:
    rival = summary.best_rival(arm)
    for name in dict.fromkeys((ORACLE, MAP, GROWTH, rival, MARGIN)):
        found = [summary.figure(arm, f"coverage_{factor:g}", name) for factor in FACTORS]
        low, mean, high = zip(
            *((f.low, f.mean, f.high) for f in found if f is not None), strict=True
        )
        colour = COLOURS.get(name, RIVAL_COLOUR)
        axes.plot(FACTORS, mean, color=colour, label=RANKINGS[name], linewidth=1.5)
        if name == MAP:  # the interval of one, or nobody could tell them apart
            axes.fill_between(FACTORS, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.axvline(1, color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.set(
        xlabel="size of the volume / size of the standard plan", xlim=(FACTORS[0], FACTORS[-1])
    )
    axes.legend(loc="lower right", fontsize=7)


def _draw_reliability(axes: Axes, summary: TrialSummary, arm: str) -> None:
    axes.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8, zorder=0)
    bins = [one for one in summary.bins if one.arm == arm]
    for density, colour in zip(
        dict.fromkeys(one.density for one in bins), LEVEL_COLOURS, strict=False
    ):
        chosen = [one for one in bins if one.density == density]
        claimed, true = [one.claimed for one in chosen], [one.true for one in chosen]
        axes.plot(claimed, true, color=colour, linewidth=1, label=f"u >= {density}")
        for one in chosen:  # what holds too few voxels is drawn open
            is_full = one.share >= LEAST_SHARE
            axes.plot(
                one.claimed, one.true, "o", markersize=4, color=colour,
                markerfacecolor=colour if is_full else "white",
            )  # fmt: skip
    ticks = [i / N_BINS for i in range(0, N_BINS + 1, 2)]
    axes.set(xlabel="probability that the map gives", xticks=ticks, yticks=ticks, aspect="equal")
    axes.legend(loc="upper left", fontsize=7)
