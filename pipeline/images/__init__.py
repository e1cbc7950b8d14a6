"""Image files: NIfTI in and out, rules of headers and frames, labels, resampling.

Nothing here knows of a patient or of the atlas's brain.
"""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .coarsening import coarsen, even_out, in_lps
    from .field import Field
    from .labels import LabelConvention, label_convention, outlines_from_labels
    from .nifti import ImageFile, Scan, read_nifti, write_nifti
    from .point_map import SAME_WORLD, PointMap
    from .resampling import resample_image, resample_in_tissue, resample_masks
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".coarsening": ("coarsen", "even_out", "in_lps"),
            ".field": ("Field",),
            ".labels": ("LabelConvention", "label_convention", "outlines_from_labels"),
            ".nifti": ("ImageFile", "Scan", "read_nifti", "write_nifti"),
            ".point_map": ("SAME_WORLD", "PointMap"),
            ".resampling": ("resample_image", "resample_in_tissue", "resample_masks"),
        },
    )

__all__ = [
    "SAME_WORLD",
    "Field",
    "ImageFile",
    "LabelConvention",
    "PointMap",
    "Scan",
    "coarsen",
    "even_out",
    "in_lps",
    "label_convention",
    "outlines_from_labels",
    "read_nifti",
    "resample_image",
    "resample_in_tissue",
    "resample_masks",
    "write_nifti",
]
