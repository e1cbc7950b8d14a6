"""How well the strategies search: queries for each strategy, and the paper's tables."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .comparison import Contestant, QuerySet, Row, evaluate
    from .naive_timing import NaiveTiming, time_naive
    from .summary import Summary, summarise, write_markdown
    from .synthetic import draw_queries, plan_queries
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".comparison": ("Contestant", "QuerySet", "Row", "evaluate"),
            ".naive_timing": ("NaiveTiming", "time_naive"),
            ".summary": ("Summary", "summarise", "write_markdown"),
            ".synthetic": ("draw_queries", "plan_queries"),
        },
    )

__all__ = [
    "Contestant",
    "NaiveTiming",
    "QuerySet",
    "Row",
    "Summary",
    "draw_queries",
    "evaluate",
    "plan_queries",
    "summarise",
    "time_naive",
    "write_markdown",
]
