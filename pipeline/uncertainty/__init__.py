"""How certain the growth is: the ensemble, its spread voxel by voxel, and intervals.

An interval is claimed only where its factors were calibrated on the database.
"""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .assessment import assess, assess_in_patient
    from .ensemble import DensitySpread, Uncertainty
    from .intervals import Interval
    from .members import Member, draw_members
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".assessment": ("assess", "assess_in_patient"),
            ".ensemble": ("DensitySpread", "Uncertainty"),
            ".intervals": ("Interval",),
            ".members": ("Member", "draw_members"),
        },
    )

__all__ = [
    "DensitySpread",
    "Interval",
    "Member",
    "Uncertainty",
    "assess",
    "assess_in_patient",
    "draw_members",
]
