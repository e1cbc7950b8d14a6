"""The growth that overlaps the outlines best, and how sure it is.

From the stored matches on: descent, refinement, several tumours, own anatomy, ensemble.
"""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .anatomy import OwnAnatomy, TissueMaps, grow_in_patient, read_tissue_maps
    from .answer import Answer, AnswerSource, Findings, assess, find_answer
    from .matches import RankedMatch, rank_matches
    from .refinement import NoGrowthError, refine
    from .trajectory import Target, follow
    from .uncertainty import DensityMaps, Uncertainty
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".anatomy": ("OwnAnatomy", "TissueMaps", "grow_in_patient", "read_tissue_maps"),
            ".answer": ("Answer", "AnswerSource", "Findings", "assess", "find_answer"),
            ".matches": ("RankedMatch", "rank_matches"),
            ".refinement": ("NoGrowthError", "refine"),
            ".trajectory": ("Target", "follow"),
            ".uncertainty": ("DensityMaps", "Uncertainty"),
        },
    )

__all__ = [
    "Answer",
    "AnswerSource",
    "DensityMaps",
    "Findings",
    "NoGrowthError",
    "OwnAnatomy",
    "RankedMatch",
    "Target",
    "TissueMaps",
    "Uncertainty",
    "assess",
    "find_answer",
    "follow",
    "grow_in_patient",
    "rank_matches",
    "read_tissue_maps",
    "refine",
]
