"""From outlines to matches: the index of a database and exact search in it."""

from .dice import dice_from_counts, dice_of_masks
from .exact import SearchResult, score_samples, search, search_counted, search_many
from .index.build import build_index
from .index.index import Index
from .index.outlines import DatabaseOutlines, outlines_of
from .index.source import OutlineSource, Portion
from .match import Match
from .measures import MEASURES, Measure, find_measure
from .ventricles import PushedVentricles, VentricleTerm

__all__ = [
    "MEASURES",
    "DatabaseOutlines",
    "Index",
    "Match",
    "Measure",
    "OutlineSource",
    "Portion",
    "PushedVentricles",
    "SearchResult",
    "VentricleTerm",
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
