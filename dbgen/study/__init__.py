"""What is simulated: a parameter space, the samplers, the plan, and the draws that follow.

A plan decides every sample of a database; `draw_samples` yields them.
"""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .plan import Plan
    from .samplers import SAMPLERS, Sampler, find_sampler
    from .samples import Rejection, Sample, draw_samples
    from .space import ParameterSpace
    from .values import Choices, Range
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".samples": ("Rejection", "Sample", "draw_samples"),
            ".plan": ("Plan",),
            ".samplers": ("SAMPLERS", "Sampler", "find_sampler"),
            ".space": ("ParameterSpace",),
            ".values": ("Choices", "Range"),
        },
    )

__all__ = [
    "SAMPLERS",
    "Choices",
    "ParameterSpace",
    "Plan",
    "Range",
    "Rejection",
    "Sample",
    "Sampler",
    "draw_samples",
    "find_sampler",
]
