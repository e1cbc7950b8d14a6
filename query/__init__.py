"""From outlines to matches: the index of a database and exact search in it."""

from .build import build_index
from .dice import dice_from_counts, dice_of_masks
from .exact import SearchResult, search, search_counted, search_many
from .index import Index
from .match import Match
from .source import OutlineSource

__all__ = [
    "Index",
    "Match",
    "OutlineSource",
    "SearchResult",
    "build_index",
    "dice_from_counts",
    "dice_of_masks",
    "search",
    "search_counted",
    "search_many",
]
