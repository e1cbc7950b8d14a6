"""Patients with a known answer: the demonstration, and the calibration of intervals."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .calibration import calibrate
    from .demonstration import compare, demonstrate
    from .virtual_patient import VirtualPatient, make_virtual_patient
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".calibration": ("calibrate",),
            ".demonstration": ("compare", "demonstrate"),
            ".virtual_patient": ("VirtualPatient", "make_virtual_patient"),
        },
    )

__all__ = ["VirtualPatient", "calibrate", "compare", "demonstrate", "make_virtual_patient"]
