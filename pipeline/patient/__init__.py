"""One patient's files, checked and brought into one world, with brain and lesion."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .brain import extract_brain
    from .patient import Patient, load_patient
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".brain": ("extract_brain",),
            ".patient": ("Patient", "load_patient"),
        },
    )

__all__ = ["Patient", "extract_brain", "load_patient"]
