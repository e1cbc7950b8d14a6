"""DICOM in and out: series of images, outlines with names (SEG, RTSTRUCT), parametric maps.

Nothing here knows of a tumour. pydicom and highdicom, which come with the extra `dicom`, are
imported when a DICOM file is met.
"""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .contour_writing import make_structure_set
    from .dicom_path import is_dicom, require_extra
    from .named_structures import STRUCTURES, StructureNames
    from .outline_file import read_outlines, require_outlines
    from .parametric_map import make_parametric_map
    from .segment_writing import make_segmentation
    from .series import read_series, require_series
    from .structure import Structure
    from .study import Study, read_study
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".contour_writing": ("make_structure_set",),
            ".dicom_path": ("is_dicom", "require_extra"),
            ".outline_file": ("read_outlines", "require_outlines"),
            ".parametric_map": ("make_parametric_map",),
            ".segment_writing": ("make_segmentation",),
            ".series": ("read_series", "require_series"),
            ".structure": ("Structure",),
            ".named_structures": ("STRUCTURES", "StructureNames"),
            ".study": ("Study", "read_study"),
        },
    )

__all__ = [
    "STRUCTURES",
    "Structure",
    "StructureNames",
    "Study",
    "is_dicom",
    "make_parametric_map",
    "make_segmentation",
    "make_structure_set",
    "read_outlines",
    "read_series",
    "read_study",
    "require_extra",
    "require_outlines",
    "require_series",
]
