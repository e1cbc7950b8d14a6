"""The index of a database's outlines: built, opened, mapped.

An index belongs to a database and to one pair of thresholds.
"""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .build import build_index
    from .index import Index
    from .opening import open_database, open_index, open_outlines, require_model
    from .outlines import DatabaseOutlines, outlines_of
    from .source import OutlineSource, Portion
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".build": ("build_index",),
            ".index": ("Index",),
            ".opening": ("open_database", "open_index", "open_outlines", "require_model"),
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
    "open_database",
    "open_index",
    "open_outlines",
    "outlines_of",
    "require_model",
]
