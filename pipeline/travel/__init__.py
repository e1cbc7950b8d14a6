"""Travel time of a front through tissue from an outline, at a speed that depends on the tissue."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .arrival import travel_time
    from .speed import CSF_SPEED, GREY_SPEED, tissue_speed
    from .terrain import Terrain
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".arrival": ("travel_time",),
            ".speed": ("CSF_SPEED", "GREY_SPEED", "tissue_speed"),
            ".terrain": ("Terrain",),
        },
    )

__all__ = ["CSF_SPEED", "GREY_SPEED", "Terrain", "tissue_speed", "travel_time"]
