"""How well the strategies find: queries, asked of each strategy, and the paper's tables."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .asking import Contestant, QuerySet, Row, evaluate, time_naive
    from .summary import Summary, summarise, write_markdown
    from .synthetic import draw_queries, plan_queries
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".asking": ("Contestant", "QuerySet", "Row", "evaluate", "time_naive"),
            ".summary": ("Summary", "summarise", "write_markdown"),
            ".synthetic": ("draw_queries", "plan_queries"),
        },
    )

__all__ = [
    "Contestant",
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
