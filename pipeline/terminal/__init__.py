"""The terminal: printing, progress and signals; only the commands use it."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .printing import print_notice, print_step, show, show_table
    from .progress import console, generation_progress, progress_bar
    from .stopping import Stopped, stoppable
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".printing": ("print_notice", "print_step", "show", "show_table"),
            ".progress": ("console", "generation_progress", "progress_bar"),
            ".stopping": ("Stopped", "stoppable"),
        },
    )

__all__ = [
    "Stopped",
    "console",
    "generation_progress",
    "print_notice",
    "print_step",
    "progress_bar",
    "show",
    "show_table",
    "stoppable",
]
