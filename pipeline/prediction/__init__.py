"""Maps of the patient from a growth: density, planning volumes, coverage of a recurrence."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .maps import GrownAnswer, PatientMaps, map_to_patient
    from .planning import PlanningVolumes, plan_volumes, rank_brain
    from .recurrence import Coverage, RankingScore, cover_recurrence
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".maps": ("GrownAnswer", "PatientMaps", "map_to_patient"),
            ".planning": ("PlanningVolumes", "plan_volumes", "rank_brain"),
            ".recurrence": ("Coverage", "RankingScore", "cover_recurrence"),
        },
    )

__all__ = [
    "Coverage",
    "GrownAnswer",
    "PatientMaps",
    "PlanningVolumes",
    "RankingScore",
    "cover_recurrence",
    "map_to_patient",
    "plan_volumes",
    "rank_brain",
]
