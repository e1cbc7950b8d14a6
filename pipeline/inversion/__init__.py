"""One patient's way from files to maps, as values: nothing is written here."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .growth import PatientGrowth, find_growth
    from .inversion import invert, map_growth
    from .options import InversionOptions
    from .result import Inversion, InversionStatus
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".growth": ("PatientGrowth", "find_growth"),
            ".inversion": ("invert", "map_growth"),
            ".options": ("InversionOptions",),
            ".result": ("Inversion", "InversionStatus"),
        },
    )

__all__ = [
    "Inversion",
    "InversionOptions",
    "InversionStatus",
    "PatientGrowth",
    "find_growth",
    "invert",
    "map_growth",
]
