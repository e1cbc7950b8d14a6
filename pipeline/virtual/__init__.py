"""Patients with a known answer, for the trial and the demonstration; calibration."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .calibration import calibrate
    from .demonstration import compare, demonstrate
    from .followed_patient import FollowedPatient, make_followed_patient
    from .trial_patient import TrialPatient, make_patient
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".calibration": ("calibrate",),
            ".demonstration": ("compare", "demonstrate"),
            ".followed_patient": ("FollowedPatient", "make_followed_patient"),
            ".trial_patient": ("TrialPatient", "make_patient"),
        },
    )

__all__ = [
    "FollowedPatient",
    "TrialPatient",
    "calibrate",
    "compare",
    "demonstrate",
    "make_followed_patient",
    "make_patient",
]
