"""The growth that overlaps the outlines best.

From the stored matches on: descent, refinement, several tumours, own anatomy.
"""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .anatomy import OwnAnatomy, grow_in_patient
    from .answer import Answer, AnswerSource, Findings, find_answer
    from .matches import RankedMatch, rank_matches
    from .refinement import NoGrowthError, refine
    from .trajectory import Target, follow
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".anatomy": ("OwnAnatomy", "grow_in_patient"),
            ".answer": ("Answer", "AnswerSource", "Findings", "find_answer"),
            ".matches": ("RankedMatch", "rank_matches"),
            ".refinement": ("NoGrowthError", "refine"),
            ".trajectory": ("Target", "follow"),
        },
    )

__all__ = [
    "Answer",
    "AnswerSource",
    "Findings",
    "NoGrowthError",
    "OwnAnatomy",
    "RankedMatch",
    "Target",
    "find_answer",
    "follow",
    "grow_in_patient",
    "rank_matches",
    "refine",
]
