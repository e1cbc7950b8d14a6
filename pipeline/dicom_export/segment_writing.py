"""Structures as a DICOM segmentation (SEG) with coded names, one segment each; they may overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dicom.dicom_packages import highdicom, pydicom, quietly
from ..dicom.world import volume_of
from .maker import BODY_PART, algorithm, maker
from .structure import Structure
from .study import Study

SERIES_NUMBER = 9101


def make_segmentation(structures: Sequence[Structure], study: Study) -> Any:
    """A segmentation of a series, as a pydicom dataset.

    Parameters
    ----------
    structures : sequence of Structure
        On the study's grid.
    study : Study
        The series that it belongs to: it repeats patient, study and frame of reference, and refers
        to the images.

    Returns
    -------
    pydicom.Dataset
    """
    with quietly():
        stacked = np.stack([structure.mask for structure in structures], axis=-1)
        made = highdicom.seg.Segmentation(
            source_images=study.images,
            pixel_array=volume_of(
                stacked.astype(np.uint8),
                study.grid,
                study.frame_uid,
                channels={"SegmentNumber": range(1, len(structures) + 1)},
            ),
            segmentation_type="BINARY",
            segment_descriptions=[
                _description(number, structure) for number, structure in enumerate(structures, 1)
            ],
            series_instance_uid=pydicom.uid.generate_uid(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=pydicom.uid.generate_uid(),
            instance_number=1,
            content_label="GLIOQUERY",
            content_description="Outlines, planning volumes, regions of density",
            series_description="glioquery: regions",
            **maker(),
        )
        made.BodyPartExamined = BODY_PART
    return made


def _description(number: int, structure: Structure) -> Any:
    codes = pydicom.sr.codedict.codes
    category, kind = {
        "GTV": (codes.DCM.RTTarget, codes.SCT.GTV),
        "CTV": (codes.DCM.RTTarget, codes.SCT.CTV),
        "lesion": (codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Neoplasm),
    }[structure.kind]
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=structure.name,
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type="SEMIAUTOMATIC" if structure.is_drawn else "AUTOMATIC",
        algorithm_identification=algorithm(),
        tracking_uid=pydicom.uid.generate_uid(),
        tracking_id=structure.name,
        display_color=highdicom.color.CIELabColor.from_rgb(*structure.colour),
    )
