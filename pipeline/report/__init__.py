"""The page of a result and its viewer, without any reference to another file."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .inversion_page import PagePictures, write_page
    from .page import render_page
    from .report import ReportContent, write_report
    from .viewer import view_density
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".inversion_page": ("PagePictures", "write_page"),
            ".page": ("render_page",),
            ".report": ("ReportContent", "write_report"),
            ".viewer": ("view_density",),
        },
    )

__all__ = [
    "PagePictures",
    "ReportContent",
    "render_page",
    "view_density",
    "write_page",
    "write_report",
]
