"""The index of a database's outlines: built, opened, mapped.

An index belongs to a database and to one pair of thresholds.
"""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .build import build_index
    from .index import Index
    from .opening import open_index, open_outlines
    from .outlines import DatabaseOutlines, outlines_of
    from .source import OutlineSource, Portion
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".build": ("build_index",),
            ".index": ("Index",),
            ".opening": ("open_index", "open_outlines"),
            ".outlines": ("DatabaseOutlines", "outlines_of"),
            ".source": ("OutlineSource", "Portion"),
        },
    )

__all__ = [
    "DatabaseOutlines",
    "Index",
    "OutlineSource",
    "Portion",
    "build_index",
    "open_index",
    "open_outlines",
    "outlines_of",
]
