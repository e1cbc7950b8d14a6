"""Alignment of two images: a linear stage, SyN through ANTs, and the map that they find.

It takes any two images; ANTs runs in a process of its own.
"""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .ants_worker import RegistrationError, correct_bias
    from .linear import find_pose, fit_linear, refine_pose
    from .syn import bend
    from .transform import AtlasTransform
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".ants_worker": ("RegistrationError", "correct_bias"),
            ".linear": ("find_pose", "fit_linear", "refine_pose"),
            ".syn": ("bend",),
            ".transform": ("AtlasTransform",),
        },
    )

__all__ = [
    "AtlasTransform",
    "RegistrationError",
    "bend",
    "correct_bias",
    "find_pose",
    "fit_linear",
    "refine_pose",
]
