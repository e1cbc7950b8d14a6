"""A trial: the map and its rivals, compared on patients with a known answer."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .plan import TrialPlan
    from .summary import summarise
    from .trial import run_trial
    from .trial_report import write_trial
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".plan": ("TrialPlan",),
            ".summary": ("summarise",),
            ".trial": ("run_trial",),
            ".trial_report": ("write_trial",),
        },
    )

__all__ = ["TrialPlan", "run_trial", "summarise", "write_trial"]
