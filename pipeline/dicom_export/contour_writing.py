"""Structures as a DICOM RTSTRUCT: contours on the slices of the series, with names and colours.

Every contour is a CLOSED_PLANAR polygon in a plane of the series, whatever its orientation; a hole
is joined to the outline around it by a keyhole, and pieces are contours of their own (`polygons`).

References
----------
DICOM PS3.3, A.19 and C.8.8.5, C.8.8.6, C.8.8.8: structure set, ROI contour, RT ROI observations.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas.grid import flip_lps
from ..dicom.dicom_folder import STRUCTURE_SET
from ..dicom.dicom_packages import pydicom, quietly
from ..dicom.polygons import outline
from .maker import BODY_PART, NAME, maker
from .structure import Structure
from .study import PATIENT, STUDY, Study

SERIES_NUMBER = 9103

DECIMALS = 4
"""Decimals of a coordinate in mm; DICOM's numbers have at most sixteen characters."""

DETACHED_STUDY = "1.2.840.10008.3.1.2.3.1"
"""Class of a study as a structure set refers to it."""


def make_structure_set(structures: Sequence[Structure], study: Study) -> Any:
    """A structure set of a series, as a pydicom dataset.

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
        made = _head(study)
        made.StructureSetROISequence = [
            _item(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=study.frame_uid,
                ROIName=structure.name,
                ROIGenerationAlgorithm="SEMIAUTOMATIC" if structure.is_drawn else "AUTOMATIC",
            )
            for number, structure in enumerate(structures, 1)
        ]
        made.ROIContourSequence = [
            _item(
                ROIDisplayColor=list(structure.colour),
                ReferencedROINumber=number,
                ContourSequence=list(_contours(structure.mask, study)),
            )
            for number, structure in enumerate(structures, 1)
        ]
        made.RTROIObservationsSequence = [
            _item(
                ObservationNumber=number,
                ReferencedROINumber=number,
                RTROIInterpretedType="" if structure.kind == "lesion" else structure.kind,
                ROIInterpreter="",
            )
            for number, structure in enumerate(structures, 1)
        ]
        made.ApprovalStatus = "UNAPPROVED"
    return made


def _head(study: Study) -> Any:
    now, image = datetime.now(), study.images[0]
    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    for keyword in (
        "SpecificCharacterSet", *PATIENT, *STUDY, "PatientIdentityRemoved",
        "DeidentificationMethod", "StudyInstanceUID",
    ):  # fmt: skip
        if keyword in image:
            setattr(made, keyword, image.get(keyword))
    made.SOPClassUID, made.SOPInstanceUID = STRUCTURE_SET, pydicom.uid.generate_uid()
    made.Modality, made.SeriesInstanceUID = "RTSTRUCT", pydicom.uid.generate_uid()
    made.SeriesNumber, made.InstanceNumber = SERIES_NUMBER, 1
    made.SeriesDescription = "glioquery: regions as contours"
    made.OperatorsName, made.BodyPartExamined = "", BODY_PART
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = study.frame_uid, ""
    equipment = maker()
    made.Manufacturer = equipment["manufacturer"]
    made.ManufacturerModelName = equipment["manufacturer_model_name"]
    made.SoftwareVersions = equipment["software_versions"]
    made.InstanceCreationDate = made.StructureSetDate = now.strftime("%Y%m%d")
    made.InstanceCreationTime = made.StructureSetTime = now.strftime("%H%M%S")
    made.StructureSetLabel = NAME
    series = _item(
        SeriesInstanceUID=image.SeriesInstanceUID,
        ContourImageSequence=[_reference(study, k) for k in range(study.grid.shape[2])],
    )
    of_study = _item(
        ReferencedSOPClassUID=DETACHED_STUDY,
        ReferencedSOPInstanceUID=image.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    made.ReferencedFrameOfReferenceSequence = [
        _item(FrameOfReferenceUID=study.frame_uid, RTReferencedStudySequence=[of_study])
    ]
    return made


def _contours(mask: NDArray[np.bool_], study: Study) -> Iterator[Any]:
    for k in map(int, np.flatnonzero(mask.any(axis=(0, 1)))):
        off_grid = study.off_grid(k)  # planning systems match contours and slices by their place
        for polygon in outline(mask[:, :, k]):
            voxels = np.column_stack([polygon, np.full(len(polygon), k)])
            points = flip_lps(study.grid.to_world(voxels)) + off_grid
            yield _item(
                ContourImageSequence=[_reference(study, k)],
                ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=len(points),
                ContourData=[f"{value:.{DECIMALS}f}" for value in points.ravel()],
            )


def _reference(study: Study, k: int) -> Any:
    image, frame = study.image_of(k)
    reference = _item(
        ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID
    )
    if frame is not None:
        reference.ReferencedFrameNumber = frame
    return reference


def _item(**fields: Any) -> Any:
    item = pydicom.Dataset()
    for keyword, value in fields.items():
        setattr(item, keyword, value)
    return item
