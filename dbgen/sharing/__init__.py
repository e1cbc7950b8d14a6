"""A database for others: exported as a repository of data takes it, fetched from there."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .exporting import export
    from .fetching import fetch
else:
    __getattr__, __dir__ = deferred(__name__, {".exporting": ("export",), ".fetching": ("fetch",)})

__all__ = ["export", "fetch"]
