"""What DICOM files hold: series of images, outlines with names (SEG, RTSTRUCT), as images on grids.

Nothing here knows of a tumour. pydicom and highdicom, which come with the extra `dicom`, are
imported when a DICOM file is met.
"""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .dicom_path import is_dicom, require_extra
    from .named_structures import STRUCTURES, StructureNames
    from .outline_file import read_outlines, require_outlines
    from .series import read_series, require_series
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".dicom_path": ("is_dicom", "require_extra"),
            ".named_structures": ("STRUCTURES", "StructureNames"),
            ".outline_file": ("read_outlines", "require_outlines"),
            ".series": ("read_series", "require_series"),
        },
    )

__all__ = [
    "STRUCTURES",
    "StructureNames",
    "is_dicom",
    "read_outlines",
    "read_series",
    "require_extra",
    "require_outlines",
    "require_series",
]
