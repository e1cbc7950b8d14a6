"""Drawings by Matplotlib, as PNG: of patients, the atlas, databases and evaluations.

A function whose name begins with `draw_` makes a whole picture.
"""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .atlas_pictures import draw_on_atlas, draw_registration
    from .database_picture import draw_database
    from .evaluation_pictures import draw_dice, draw_strategies
    from .movie import draw_movie
    from .patient_pictures import (
        draw_density,
        draw_exceedance,
        draw_overlays,
        draw_thumbnail,
        draw_volumes,
    )
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".atlas_pictures": ("draw_on_atlas", "draw_registration"),
            ".database_picture": ("draw_database",),
            ".evaluation_pictures": ("draw_dice", "draw_strategies"),
            ".movie": ("draw_movie",),
            ".patient_pictures": (
                "draw_density",
                "draw_exceedance",
                "draw_overlays",
                "draw_thumbnail",
                "draw_volumes",
            ),
        },
    )

__all__ = [
    "draw_database",
    "draw_density",
    "draw_dice",
    "draw_exceedance",
    "draw_movie",
    "draw_on_atlas",
    "draw_overlays",
    "draw_registration",
    "draw_strategies",
    "draw_thumbnail",
    "draw_volumes",
]
