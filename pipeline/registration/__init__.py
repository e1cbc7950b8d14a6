"""Patient to atlas: the registration, its quality, and the place of the outlines."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .placement import judge_placement, require_overlap, share_in_brain
    from .quality import OutlineQuality, RegistrationQuality, assess_registration
    from .registration import register
    from .restart import Registered, register_and_assess
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".placement": ("judge_placement", "require_overlap", "share_in_brain"),
            ".quality": ("OutlineQuality", "RegistrationQuality", "assess_registration"),
            ".registration": ("register",),
            ".restart": ("Registered", "register_and_assess"),
        },
    )

__all__ = [
    "OutlineQuality",
    "Registered",
    "RegistrationQuality",
    "assess_registration",
    "judge_placement",
    "register",
    "register_and_assess",
    "require_overlap",
    "share_in_brain",
]
