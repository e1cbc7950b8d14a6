"""The paper's query strategies, of which exact search is one."""

from .base import Strategy, search_with
from .registry import STRATEGIES, needs_preparation, open_strategy, prepare_strategy

__all__ = [
    "STRATEGIES",
    "Strategy",
    "needs_preparation",
    "open_strategy",
    "prepare_strategy",
    "search_with",
]
