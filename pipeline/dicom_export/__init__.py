"""DICOM objects that belong to a series: SEG, RTSTRUCT and Parametric Map, in its patient's study.

Nothing here knows of a tumour.
"""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .contour_writing import make_structure_set
    from .parametric_map import make_parametric_map
    from .segment_writing import make_segmentation
    from .structure import Structure
    from .study import Study, read_study
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".contour_writing": ("make_structure_set",),
            ".parametric_map": ("make_parametric_map",),
            ".segment_writing": ("make_segmentation",),
            ".structure": ("Structure",),
            ".study": ("Study", "read_study"),
        },
    )

__all__ = [
    "Structure",
    "Study",
    "make_parametric_map",
    "make_segmentation",
    "make_structure_set",
    "read_study",
]
