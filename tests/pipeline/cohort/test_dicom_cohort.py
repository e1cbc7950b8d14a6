"""A row of a cohort's table whose files are DICOM."""

import dataclasses
import errno
from unittest.mock import Mock

import numpy as np
import pydicom
import pytest
from case_tables import table
from dicom_series import PATIENT, write_series

from glioquery.errors import InputError
from glioquery.pipeline.cohort import cohort
from glioquery.pipeline.cohort.case_table import read_cases
from glioquery.pipeline.cohort.cohort import describe_request, invert_case, invert_cohort, is_done
from glioquery.pipeline.dicom_export.contour_writing import make_structure_set
from glioquery.pipeline.dicom_export.structure import Structure
from glioquery.pipeline.dicom_export.study import read_study
from glioquery.pipeline.images.nifti import read_nifti
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.pipeline.names import DICOM_FILES
from glioquery.pipeline.results import dicom_outputs

HEAD = "id,t1,seg,whole_structures,dicom\n"


def test_a_row_of_dicom_is_inverted_written_and_kept(coarse, near, quick, tmp_path):
    t1, seg = read_nifti(coarse / "t1.nii", "T1"), read_nifti(coarse / "seg.nii", "segmentation")
    write_series(tmp_path / "t1", np.rint(t1.values).astype(np.uint16), t1.grid)
    study = read_study(tmp_path / "t1", "T1")
    structures = make_structure_set(
        [Structure("Lesion", seg.values > 0, "GTV", (255, 0, 0))], study
    )
    structures.save_as(tmp_path / "rs.dcm", enforce_file_format=True)
    (case,) = read_cases(table(tmp_path, HEAD + "P-01,t1#3,rs.dcm,lesion,dicom\n")).cases
    options = InversionOptions(refine=False)
    request = describe_request(case, near, options, anonymous=True)
    folder = tmp_path / "out" / "sub-P01"
    failure = invert_case(
        near.path, type(near.model), case, folder, request, options, anonymous=True
    )
    assert failure is None
    assert is_done(folder, request)
    for name in DICOM_FILES:
        made = pydicom.dcmread(tmp_path / "dicom" / name)
        assert (made.PatientID, made.PatientIdentityRemoved) == ("", "YES")
    assert PATIENT["PatientID"] not in (folder / "request.json").read_text()
    (kept,) = invert_cohort(near, [case], tmp_path / "out", options, anonymous=True)
    assert kept.kept and kept.error is None
    # Files of another run lie in their place: they may name the patient.
    for name in DICOM_FILES:
        replaced = pydicom.dcmread(tmp_path / "dicom" / name)
        replaced.PatientID = PATIENT["PatientID"]
        replaced.save_as(tmp_path / "dicom" / name)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(LookupError, match="again"):
        patch.setattr(cohort, "connected", Mock(side_effect=LookupError("inverted again")))
        invert_cohort(near, [case], tmp_path / "out", options, anonymous=True)
    for place in ("out", "out/sub-P01/transform"):
        beside = dataclasses.replace(case, dicom=tmp_path / place)
        with pytest.raises(InputError, match=r"P-01: dicom .*name another folder"):
            invert_cohort(near, [beside], tmp_path / "out", options)
    # A new result whose DICOM files cannot be written does not keep those of the old one.
    named = describe_request(case, near, options, anonymous=False)
    full = OSError(errno.ENOSPC, "the disk is full")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dicom_outputs, "write_dicom", Mock(side_effect=full))
        failure = invert_case(near.path, type(near.model), case, folder, named, options)
    assert "the disk is full" in failure and is_done(folder, named)
    assert not any((tmp_path / "dicom" / name).exists() for name in DICOM_FILES)


def test_a_folder_of_two_series_fails_its_row_alone(ray, coarse, near, tmp_path):
    t1 = read_nifti(coarse / "t1.nii", "T1")
    for number in (3, 4):
        write_series(tmp_path / "t1" / str(number), t1.values, t1.grid, number=number)
    head = "id,t1,seg,labels\n"
    (tmp_path / "seg.nii").write_bytes((coarse / "seg.nii").read_bytes())
    (case,) = read_cases(table(tmp_path, f"{head}a,t1,seg.nii,brats2021\n")).cases
    (outcome,) = invert_cohort(near, [case], tmp_path / "out")
    assert not outcome.kept and "expected one series, got 2" in outcome.error
