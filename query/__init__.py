"""From outlines to matches: the index of a database and exact search in it."""

from .build import build_index
from .dice import dice_from_counts, dice_of_masks
from .exact import SearchResult, score_samples, search, search_counted, search_many
from .index import Index
from .match import Match
from .measures import MEASURES, Measure, find_measure
from .outlines import DatabaseOutlines, outlines_of
from .source import OutlineSource, Portion

__all__ = [
    "MEASURES",
    "DatabaseOutlines",
    "Index",
    "Match",
    "Measure",
    "OutlineSource",
    "Portion",
    "SearchResult",
    "build_index",
    "dice_from_counts",
    "dice_of_masks",
    "find_measure",
    "outlines_of",
    "score_samples",
    "search",
    "search_counted",
    "search_many",
]
