"""Summary of a trial, arm by arm: means over patients, with bootstrap intervals.

Patients are drawn with replacement, the same ones for all figures, so that differences and shares
of two figures have intervals of their own. A patient's figure over all arms is the mean over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..virtual.arms import ARMS
from .rivals import MAP, MARGIN, ORACLE, RANKINGS, RIVALS
from .scores import FACTORS, N_BINS
from .trial import Row

Values = NDArray[np.float64]
"""A figure of each patient, (n,)."""

N_RESAMPLES = 2000
LEVEL = 0.95
"""Probability of the intervals, from the percentiles of the resampled figures."""

ALL = "all"
"""Name of all arms together."""

ARM_NAMES = {
    "a": "a: cells only",
    "b": "b: oedema without cells",
    "c": "c: mass effect",
    ALL: "all arms",
}

LEAST_SHARE = 0.01
"""Least share of the judged voxels in a bin of probabilities; a bin with fewer says nothing."""

DENSITY_QUANTITIES = (
    "correlation",
    "mean_absolute_error",
    "dice_core",
    "dice_whole",
    "residual",
)


@dataclass(frozen=True)
class Figure:
    """A mean over patients.

    Attributes
    ----------
    arm : str
        Or `ALL`.
    quantity : str
        `coverage_1` at the standard plan's size, and so on for the other sizes,
        `average_precision`, `roc_auc`; `plan_coverage`; `correlation` and others of a density. The
        map is compared by `minus_rival`, its coverage minus that of the best rival;
        `share_of_gain`, its share of the oracle's gain over the standard; and `better`, the share
        of patients in which it covers more than the standard.
    of : str
        The ranking, density or plan; the best rival for `minus_rival`.
    mean, low, high : float
    n : int
        Patients.
    """

    arm: str
    quantity: str
    of: str
    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Bin:
    """Probabilities of one tenth, over all patients of an arm.

    Attributes
    ----------
    arm : str
        Or `ALL`.
    density : str
        The density that is exceeded or not.
    lowest : float
        Probability at which the bin begins.
    share : float
        Share of the judged voxels in it.
    claimed, true : float
        Mean probability, and the share in which the truth exceeds the density.
    """

    arm: str
    density: str
    lowest: float
    share: float
    claimed: float
    true: float


@dataclass(frozen=True)
class TrialSummary:
    """The figures of a trial.

    Attributes
    ----------
    figures : tuple of Figure
    bins : tuple of Bin
        Bins that are not empty.
    failures : dict of str to str
        By patient and arm, one line each.
    """

    figures: tuple[Figure, ...]
    bins: tuple[Bin, ...]
    failures: dict[str, str]

    @property
    def arms(self) -> list[str]:
        """The arms that have figures, and `ALL` after them if there are several."""
        return list(dict.fromkeys(figure.arm for figure in self.figures))

    def figure(self, arm: str, quantity: str, of: str) -> Figure | None:
        """One of the figures; None if there is no such figure."""
        for figure in self.figures:
            if (figure.arm, figure.quantity, figure.of) == (arm, quantity, of):
                return figure
        return None

    def best_rival(self, arm: str) -> str:
        """The rival with the highest coverage in an arm."""
        return next(
            figure.of
            for figure in self.figures
            if (figure.arm, figure.quantity) == (arm, "minus_rival")
        )

    def worst_bin(self, arm: str, density: str) -> Bin | None:
        """The bin whose claim is farthest from the truth, of those that hold enough voxels."""
        bins = [
            one
            for one in self.bins
            if (one.arm, one.density) == (arm, density) and one.share >= LEAST_SHARE
        ]
        return max(bins, key=lambda one: abs(one.claimed - one.true), default=None)


def summarise(rows: Sequence[Row]) -> TrialSummary:
    """Summarise the rows of a trial; those of failed cases are counted and left out.

    Parameters
    ----------
    rows : sequence of Row
        Rows of all patients and arms.

    Returns
    -------
    TrialSummary
    """
    good = [row for row in rows if "error" not in row]
    failures = {f"{r['patient']:03d}{r['arm']}": r["error"] for r in rows if "error" in r}
    arms = [arm for arm in ARMS if any(row["arm"] == arm for row in good)]
    figures: list[Figure] = []
    bins: list[Bin] = []
    for arm in arms + ([ALL] if len(arms) > 1 else []):
        chosen = [row for row in good if arm in (row["arm"], ALL)]
        figures += _figures(arm, chosen, n_arms=len(arms) if arm == ALL else 1)
        bins += _bins(arm, chosen)
    return TrialSummary(tuple(figures), tuple(bins), failures)


def _figures(arm: str, rows: list[Row], n_arms: int) -> list[Figure]:
    """Figures of an arm; of all arms, for the patients that have a row in each."""
    by_patient: dict[int, list[dict[tuple[str, str], float]]] = {}
    for row in rows:
        by_patient.setdefault(row["patient"], []).append(_values(row))
    whole = [values for values in by_patient.values() if len(values) == n_arms]
    if not whole:
        return []
    table = {
        key: np.array([np.mean([arm[key] for arm in values]) for values in whole])
        for key in whole[0][0]
    }
    draws = np.random.default_rng(0).integers(len(whole), size=(N_RESAMPLES, len(whole)))

    def share(quantity: str, of: str, part: Values, total: Values) -> Figure:
        """A ratio of sums over patients; NaN where there is nothing to divide by."""
        n = int(np.count_nonzero(total))
        mean = float(part.sum() / total.sum()) if n else np.nan
        drawn_part, drawn_total = part[draws].sum(axis=1), total[draws].sum(axis=1)
        told = drawn_total != 0
        low, high = np.nan, np.nan
        if len(whole) > 1 and told.any():  # one patient has no interval
            ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
            low, high = np.quantile(drawn_part[told] / drawn_total[told], ends).tolist()
        return Figure(arm, quantity, of, mean, low, high, n)

    def mean(quantity: str, of: str, values: Values) -> Figure:
        """The mean over the patients for whom it is known."""
        is_told = np.isfinite(values)
        return share(quantity, of, np.where(is_told, values, 0), is_told.astype(np.float64))

    found = [mean(quantity, of, values) for (quantity, of), values in table.items()]
    covered = {name: table["coverage_1", name] for name in RANKINGS}
    rival = max(RIVALS, key=lambda name: float(covered[name].mean()))
    ours, standard, oracle = covered[MAP], covered[MARGIN], covered[ORACLE]
    found.append(mean("minus_rival", rival, ours - covered[rival]))
    found.append(mean("better", MAP, (ours > standard).astype(np.float64)))
    found.append(share("share_of_gain", MAP, ours - standard, oracle - standard))
    return found


def _values(row: Row) -> dict[tuple[str, str], float]:
    """A case's figures by quantity and ranking, density or plan; unknown ones are NaN."""
    found: dict[tuple[str, str], float | None] = {}
    for name, score in row["rankings"].items():
        for factor, share in zip(FACTORS, score["coverage"], strict=True):
            found[f"coverage_{factor:g}", name] = share
        for quantity in ("average_precision", "roc_auc"):
            found[quantity, name] = score[quantity]
    for name, score in row["densities"].items():
        found |= {(quantity, name): score[quantity] for quantity in DENSITY_QUANTITIES}
    found |= {("plan_coverage", name): share for name, share in row["plans"].items()}
    return {key: np.nan if value is None else value for key, value in found.items()}


def _bins(arm: str, rows: list[Row]) -> list[Bin]:
    found = []
    for density in rows[0]["reliability"]:
        n, claimed, true = (
            np.sum([row["reliability"][density][name] for row in rows], axis=0)
            for name in ("n", "claimed", "true")
        )
        found += [
            Bin(
                arm,
                density,
                lowest=i / N_BINS,
                share=float(n[i] / n.sum()),
                claimed=float(claimed[i] / n[i]),
                true=float(true[i] / n[i]),
            )
            for i in np.flatnonzero(n)
        ]
    return found
