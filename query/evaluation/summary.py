"""The rows of an evaluation in tables: the columns of the paper's Tables 1 and 2, and regret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from .comparison import Row
from .naive_timing import NaiveTiming

TOP = (1, 5, 15)

PAPER_REAL = MappingProxyType(
    {
        "naive": (100.0, 100.0, 100.0, 340.0),
        "ds64": (88.7, 100.0, 100.0, 130.0),
        "ds32": (66.1, 96.7, 100.0, 116.0),
        "vae": (41.9, 61.2, 80.6, 34.0),
        "ae": (33.8, 64.5, 77.4, 22.0),
        "bf-hash": (32.2, 67.7, 82.2, 22.0),
        "radiomics": (4.92, 4.92, 9.83, 2.8),
    }
)
"""Top-1, Top-5, Top-15 in per cent and seconds a query of the paper's Table 1: 62 patients, 50,000
tumours, 32 processes on an AMD EPYC 7452; vae, ae and bf-hash on an NVIDIA Quadro P8000. What the
paper calls its direct query is the for-loop."""

PAPER_SYNTHETIC = MappingProxyType(
    {
        "naive": (100.0, 100.0, 100.0),
        "ds64": (93.5, 100.0, 100.0),
        "ds32": (78.9, 99.6, 100.0),
    }
)
"""The same of the paper's Table 2: 1,000 synthetic tumours."""


@dataclass(frozen=True)
class Summary:
    """One strategy over one kind of queries.

    Attributes
    ----------
    queries, strategy : str
    n : int
        Queries asked.
    top1, top5, top15 : float
        Per cent of the queries whose rank is at most 1, 5, 15.
    seconds : float
        Median time of a query.
    regret_mean, regret_median, regret_worst : float
    is_scaled : bool
        Whether the time was measured on a part of the database and scaled.
    """

    queries: str
    strategy: str
    n: int
    top1: float
    top5: float
    top15: float
    seconds: float
    regret_mean: float
    regret_median: float
    regret_worst: float
    is_scaled: bool = False


@dataclass(frozen=True)
class QueryFacts:
    """What exact search finds for one kind of queries.

    Attributes
    ----------
    queries : str
    n : int
    score_mean : float
        Mean score of the best match, the sum of the two Dice.
    gap_mean, gap_median : float
        Difference of score between the first two matches.
    """

    queries: str
    n: int
    score_mean: float
    gap_mean: float
    gap_median: float


def summarise(rows: Sequence[Row], timings: Sequence[NaiveTiming] = ()) -> list[Summary]:
    """One summary for each kind of queries and strategy, in their order.

    The for-loop finds what exact search finds: its ranks are 1, its regret 0.

    Parameters
    ----------
    rows : sequence of Row
        As `evaluate` returns them.
    timings : sequence of NaiveTiming
        Times of the paper's for-loop.

    Returns
    -------
    list of Summary
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.queries, row.strategy), []).append(row)
    found = []
    for (queries, strategy), group in groups.items():
        ranks = np.array([np.inf if row.rank is None else row.rank for row in group])
        regrets = np.array([row.regret for row in group])
        top1, top5, top15 = (float(100 * (ranks <= n).mean()) for n in TOP)
        found.append(
            Summary(
                queries=queries,
                strategy=strategy,
                n=len(group),
                top1=top1,
                top5=top5,
                top15=top15,
                seconds=float(np.median([row.seconds for row in group])),
                regret_mean=float(regrets.mean()),
                regret_median=float(np.median(regrets)),
                regret_worst=float(regrets.max()),
            )
        )
    for timing in timings:
        found.append(
            Summary(
                queries=timing.queries,
                strategy="naive",
                n=timing.n_queries,
                top1=100.0,
                top5=100.0,
                top15=100.0,
                seconds=timing.seconds,
                regret_mean=0.0,
                regret_median=0.0,
                regret_worst=0.0,
                is_scaled=True,
            )
        )
    return found


def describe_queries(rows: Sequence[Row]) -> list[QueryFacts]:
    """What exact search finds, for each kind of queries."""
    kinds: dict[str, dict[str, Row]] = {}
    for row in rows:
        kinds.setdefault(row.queries, {})[row.query] = row
    found = []
    for kind, by_query in kinds.items():
        gaps = [row.gap for row in by_query.values()]
        scores = [row.best_score for row in by_query.values()]
        found.append(
            QueryFacts(
                kind,
                len(by_query),
                float(np.mean(scores)),
                float(np.mean(gaps)),
                float(np.median(gaps)),
            )
        )
    return found


def write_markdown(
    summaries: Sequence[Summary],
    facts: Sequence[QueryFacts],
    timings: Sequence[NaiveTiming],
    provenance: dict[str, str],
) -> str:
    """A page of tables with the paper's own figures.

    Parameters
    ----------
    summaries : sequence of Summary
    facts : sequence of QueryFacts
        What the queries are.
    timings : sequence of NaiveTiming
    provenance : dict of str to str
        Where the figures come from, by name.

    Returns
    -------
    str
        Markdown.
    """
    lines = ["# Evaluation of the query strategies", ""]
    lines += [f"- {name}: {value}" for name, value in provenance.items()]
    for fact in facts:
        lines += [
            "",
            f"## {fact.queries.capitalize()} queries ({fact.n})",
            "",
            f"Best match: mean score {fact.score_mean:.3f} (the sum of the two Dice; in the paper "
            "1.07 for real, 1.69 for synthetic tumours). Gap between the first two matches: "
            f"mean {fact.gap_mean:.4f}, median {fact.gap_median:.4f}.",
            "",
            "| strategy | Top-1 | Top-5 | Top-15 | a query | regret: mean | median | worst "
            "| the paper: Top-1, 5, 15; a query |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [_line(s) for s in summaries if s.queries == fact.queries]
    for timing in timings:
        lines += [
            "",
            f"naive, {timing.queries}: {timing.n_queries} queries timed on {timing.n_volumes} "
            "volumes (scores compared with those of the index: equal) and scaled to the database.",
        ]
    lines += [
        "",
        "Top-N: per cent of the queries whose first match is among the first N of exact search. "
        "Regret: score lost against the best match. A query: median time.",
        "",
    ]
    return "\n".join(lines)


def _line(summary: Summary) -> str:
    table = PAPER_REAL if summary.queries == "real" else PAPER_SYNTHETIC
    published: tuple[float, ...] = table.get(summary.strategy, ())
    beside = ", ".join(f"{value:g}" for value in published[:3])
    beside += f"; {published[3]:g} s" if len(published) > 3 else ""
    scaled = " (scaled)" if summary.is_scaled else ""
    cells = [
        summary.strategy,
        *(f"{value:.1f}" for value in (summary.top1, summary.top5, summary.top15)),
        _said(summary.seconds) + scaled,
        *(
            f"{value:.4f}"
            for value in (summary.regret_mean, summary.regret_median, summary.regret_worst)
        ),
        beside,
    ]
    return "| " + " | ".join(cells) + " |"


def _said(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
