"""The density that agrees with the scan: isolines along the outlines, the growth elsewhere."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .agreement import Agreement, agree
    from .expectation import DensityMaps, expect_density
    from .front import Front
    from .residual import equation_residual
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".agreement": ("Agreement", "agree"),
            ".expectation": ("DensityMaps", "expect_density"),
            ".front": ("Front",),
            ".residual": ("equation_residual",),
        },
    )

__all__ = ["Agreement", "DensityMaps", "Front", "agree", "equation_residual", "expect_density"]
