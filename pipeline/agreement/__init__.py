"""The density that agrees with the scan: isolines along the outlines, the growth elsewhere."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .agreement import Agreement, agree, is_coarsened
    from .expectation import DensityMaps, doubt
    from .front import Front
    from .residual import equation_residual
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".agreement": ("Agreement", "agree", "is_coarsened"),
            ".expectation": ("DensityMaps", "doubt"),
            ".front": ("Front",),
            ".residual": ("equation_residual",),
        },
    )

__all__ = [
    "Agreement",
    "DensityMaps",
    "Front",
    "agree",
    "doubt",
    "equation_residual",
    "is_coarsened",
]
