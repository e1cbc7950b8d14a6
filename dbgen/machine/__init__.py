"""What long work needs of a machine: files that appear whole, locks, cores, progress, Ray.

It knows nothing of tumours; all packages above use it.
"""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .cluster import carried_by_value, connected, remote
    from .cores import available_cores, available_threads, processor
    from .files import (
        completed,
        reserved_array,
        scratch_folder,
        sha256_of,
        write_bytes,
        write_json,
        write_text,
    )
    from .lock import HeldError, hold, hold_in_turn
    from .progress import Bars, Progress, no_bars, silent
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".cluster": ("carried_by_value", "connected", "remote"),
            ".cores": ("available_cores", "available_threads", "processor"),
            ".files": (
                "completed",
                "reserved_array",
                "scratch_folder",
                "sha256_of",
                "write_bytes",
                "write_json",
                "write_text",
            ),
            ".lock": ("HeldError", "hold", "hold_in_turn"),
            ".progress": ("Bars", "Progress", "no_bars", "silent"),
        },
    )

__all__ = [
    "Bars",
    "HeldError",
    "Progress",
    "available_cores",
    "available_threads",
    "carried_by_value",
    "completed",
    "connected",
    "hold",
    "hold_in_turn",
    "no_bars",
    "processor",
    "remote",
    "reserved_array",
    "scratch_folder",
    "sha256_of",
    "silent",
    "write_bytes",
    "write_json",
    "write_text",
]
