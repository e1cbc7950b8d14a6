"""Images as a scanner writes them: DICOM series of slices, or of frames in one file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)
from pydicom.valuerep import format_number_as_ds

PATIENT = {
    "PatientName": "Wintergreen^Ottilie",
    "PatientID": "MRN-5577301",
    "PatientBirthDate": "19410607",
    "PatientSex": "F",
    "PatientAge": "083Y",
    "PatientWeight": "61.2379",
    "OtherPatientIDs": "ZX81-4412",
    "PatientComments": "likes chess",
    "PatientAddress": "Lindenallee 7",
    "PatientMotherBirthName": "Quendel",
}
STUDY = {
    "StudyDate": "20240319",
    "StudyTime": "101112.137245",  # too long to stand in an identifier that is drawn by chance
    "AccessionNumber": "ACC99120",
    "StudyID": "S4711",
    "StudyDescription": "Schaedel nativ",
    "ReferringPhysicianName": "Brackwater^Hilde",
    "InstitutionName": "Klinikum am Moor",
}
FRAME_UID = "1.2.840.99999.44.7"


def to_lps(grid):
    """A grid's affine in DICOM's world."""
    return np.diag([-1.0, -1, 1, 1]) @ grid.affine


def write_series(
    folder: Path, values, grid, *, number=3, modality="MR", slope=1.0, intercept=0.0, order=1,
    patient=PATIENT, frame_uid=FRAME_UID, study_uid=None, series_uid=None,
    syntax=ExplicitVRLittleEndian, **fields,
):  # fmt: skip
    """Write stored integers, slice by slice; the grid's axes are column, row and slice.

    `order` is 1 where files are numbered along the last axis, -1 against it, None at random.
    """
    folder.mkdir(parents=True, exist_ok=True)
    study_uid, series_uid = study_uid or generate_uid(), series_uid or generate_uid()
    names = np.arange(grid.shape[2])[:: order or 1]
    if order is None:
        names = np.random.default_rng(5).permutation(names)
    lps, paths = to_lps(grid), []
    for k, at in enumerate(names):
        header = _header(patient, study_uid, series_uid, number, modality, frame_uid)
        header.SOPClassUID = MRImageStorage if modality == "MR" else "1.2.840.10008.5.1.4.1.1.2"
        header.InstanceNumber = int(at) + 1
        header.ImagePositionPatient = _decimals(lps[:3] @ [0, 0, k, 1])
        header.ImageOrientationPatient = _cosines(lps, grid)
        header.PixelSpacing = [grid.spacing_mm[1], grid.spacing_mm[0]]
        header.SliceThickness = grid.spacing_mm[2]
        header.RescaleSlope, header.RescaleIntercept = slope, intercept
        _set_pixels(header, values[:, :, k].T)
        for keyword, value in fields.items():
            setattr(header, keyword, value)
        paths.append(folder / f"IM{at:04d}")
        if syntax != ExplicitVRLittleEndian:
            header.compress(syntax)
        header.save_as(paths[-1], enforce_file_format=True)
    return paths


def write_frames(path: Path, values, grid, *, slope=1.0, frame_uid=FRAME_UID, skip=()):
    """Write stored integers as an enhanced MR image, all slices in one file."""
    lps = to_lps(grid)
    header = _header(PATIENT, generate_uid(), generate_uid(), 4, "MR", frame_uid)
    header.SOPClassUID = EnhancedMRImageStorage
    header.InstanceNumber = 1
    header.ImageType = ["ORIGINAL", "PRIMARY", "T1", "NONE"]
    shared, measures, plane, scaling = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [grid.spacing_mm[1], grid.spacing_mm[0]]
    measures.SliceThickness = measures.SpacingBetweenSlices = grid.spacing_mm[2]
    plane.ImageOrientationPatient = _cosines(lps, grid)
    scaling.RescaleSlope, scaling.RescaleIntercept, scaling.RescaleType = slope, 0.0, "US"
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    shared.PixelValueTransformationSequence = [scaling]
    header.SharedFunctionalGroupsSequence = [shared]
    organization, kept = generate_uid(), [k for k in range(grid.shape[2]) if k not in skip]
    frames = []
    for k in kept:
        frame, position, content = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = _decimals(lps[:3] @ [0, 0, k, 1])
        content.DimensionIndexValues, content.StackID, content.InStackPositionNumber = (
            k + 1,
            "1",
            k + 1,
        )
        frame.PlanePositionSequence, frame.FrameContentSequence = [position], [content]
        frames.append(frame)
    header.PerFrameFunctionalGroupsSequence = frames
    dimension = Dataset()
    dimension.DimensionOrganizationUID = organization
    dimension.DimensionIndexPointer, dimension.FunctionalGroupPointer = 0x00209057, 0x00209111
    header.DimensionIndexSequence = [dimension]
    header.DimensionOrganizationSequence = [Dataset()]
    header.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization
    header.NumberOfFrames = len(kept)
    _set_pixels(header, np.swapaxes(values[:, :, kept], 0, 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)
    return path


def _header(patient, study_uid, series_uid, number, modality, frame_uid):
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in (patient | STUDY).items():
        setattr(header, keyword, value)
    header.SpecificCharacterSet = "ISO_IR 192"
    header.StudyInstanceUID, header.SeriesInstanceUID = study_uid, series_uid
    header.SOPInstanceUID = generate_uid()
    header.SeriesNumber, header.Modality = number, modality
    header.SeriesDescription = f"t1_mprage {patient['PatientName']}"
    header.Manufacturer, header.DeviceSerialNumber = "Scanworks", "SN-77120"
    if frame_uid is not None:
        header.FrameOfReferenceUID = frame_uid
        header.PositionReferenceIndicator = ""
    return header


def _cosines(lps, grid):
    directions = lps[:3, :3] / grid.spacing_mm
    return _decimals([*directions[:, 0], *directions[:, 1]])


def _decimals(values):
    """Numbers as DICOM writes them, in sixteen letters at most."""
    return [format_number_as_ds(float(value)) for value in values]


def _set_pixels(header, frames):
    header.Rows, header.Columns = frames.shape[-2:]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated = header.BitsStored = 16
    header.HighBit, header.PixelRepresentation = 15, 0
    header.PixelData = np.ascontiguousarray(frames, np.uint16).tobytes()
