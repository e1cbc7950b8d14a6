"""What a person writes after a command's name, understood and checked.

Options that several commands share, databases and indexes to open, scans with their days, outlines
on the atlas, and names of pictures to save.
"""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .dated_scans import read_scans
    from .opening import open_for, open_index
    from .options import with_inversion_options
    from .picture_files import places_for, require_gif, require_png, save_picture
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".dated_scans": ("read_scans",),
            ".opening": ("open_for", "open_index"),
            ".options": ("with_inversion_options",),
            ".picture_files": ("places_for", "require_gif", "require_png", "save_picture"),
        },
    )

__all__ = [
    "open_for",
    "open_index",
    "places_for",
    "read_scans",
    "require_gif",
    "require_png",
    "save_picture",
    "with_inversion_options",
]
