"""What is written for a study: it conforms, refers to the series, and can forget the patient."""

import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_grids import GRIDS, SHAPES, points_of, volume
from dicom_series import FRAME_UID, PATIENT, STUDY, write_frames, write_series

from glioquery.errors import InputError
from glioquery.pipeline.dicom_export.contour_writing import make_structure_set
from glioquery.pipeline.dicom_export.parametric_map import make_parametric_map
from glioquery.pipeline.dicom_export.segment_writing import make_segmentation
from glioquery.pipeline.dicom_export.structure import Structure
from glioquery.pipeline.dicom_export.study import read_study

GRID = GRIDS["anisotropic"]
KINDS = ("GTV", "CTV", "lesion")
NAMED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber")


def write_all(folder, study):
    """Segmentation, structure set and map of a study, as files."""
    structures = [
        Structure(name, shape(points_of(study.grid)), kind, (200, 40, 9), is_drawn=kind == "GTV")
        for (name, shape), kind in zip(SHAPES.items(), KINDS, strict=True)
    ]
    share = np.clip(volume(study.grid) / 4000, 0, 1).astype(np.float32)
    made = {
        "seg": make_segmentation(structures, study),
        "rs": make_structure_set(structures, study),
        "map": make_parametric_map(share, study, "Density", "Tumour cell density"),
    }
    for name, dataset in made.items():
        dataset.save_as(folder / f"{name}.dcm", enforce_file_format=True)
    return {name: folder / f"{name}.dcm" for name in made}, share


@pytest.fixture(scope="module", params=["slices", "frames"])
def source(request, tmp_path_factory):
    """A series in both forms."""
    folder = tmp_path_factory.mktemp("study")
    if request.param == "frames":
        return write_frames(folder / "t1.dcm", volume(GRID), GRID)
    write_series(folder / "series", volume(GRID), GRID)
    return folder / "series"


@pytest.fixture(scope="module")
def written(source, tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("out"), read_study(source, "T1"))


@pytest.fixture(scope="module")
def forgotten(source, tmp_path_factory):
    return write_all(tmp_path_factory.mktemp("out"), read_study(source, "T1", anonymous=True))


@pytest.mark.parametrize("name", ["", "a" * 65, "left\\right"])
def test_a_name_that_dicom_cannot_hold_is_refused(name):
    with pytest.raises(InputError, match="a structure's name of 1 to 64 letters"):
        Structure(name, np.ones(GRID.shape, bool), "GTV", (200, 40, 9))


def headers_of(source):
    paths = sorted(source.iterdir()) if source.is_dir() else [source]
    return [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]


def test_dciodvfy_finds_no_error(written, forgotten):
    checker = Path(sysconfig.get_path("scripts")) / "dciodvfy"
    for path in (*written[0].values(), *forgotten[0].values()):
        done = subprocess.run([checker, path], capture_output=True, text=True)
        told = done.stdout + done.stderr
        assert [line for line in told.splitlines() if line.startswith("Error")] == []
        kinds = {"seg": "Segmentation", "rs": "RTStructureSet", "map": "ParametricMap"}
        assert kinds[path.stem] in told  # it knew what it was given


def test_outputs_belong_to_the_patient_the_study_and_the_frame_of_the_series(source, written):
    first, *_ = headers = headers_of(source)
    uids = {header.SOPInstanceUID for header in headers}
    for name, path in written[0].items():
        made = pydicom.dcmread(path)
        for keyword in (*NAMED, "StudyInstanceUID", "StudyDate", "FrameOfReferenceUID"):
            assert made.get(keyword) == first.get(keyword), keyword
        assert made.SeriesInstanceUID != first.SeriesInstanceUID
        assert "PatientComments" not in made and "PatientAddress" not in made
        if name == "rs":
            (world,) = made.ReferencedFrameOfReferenceSequence
            (series,) = world.RTReferencedStudySequence[0].RTReferencedSeriesSequence
            assert series.SeriesInstanceUID == first.SeriesInstanceUID
            referred = {item.ReferencedSOPInstanceUID for item in series.ContourImageSequence}
        else:
            (series,) = made.ReferencedSeriesSequence
            referred = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
        assert referred <= uids and referred


def test_structures_have_one_name_and_coded_kinds(written):
    seg, rs = (pydicom.dcmread(written[0][name]) for name in ("seg", "rs"))
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == list(SHAPES)
    assert [roi.ROIName for roi in rs.StructureSetROISequence] == list(SHAPES)
    assert [
        (segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning, segment.SegmentAlgorithmType)
        for segment in seg.SegmentSequence
    ] == [("GTV", "SEMIAUTOMATIC"), ("CTV", "AUTOMATIC"), ("Neoplasm", "AUTOMATIC")]
    assert [item.RTROIInterpretedType for item in rs.RTROIObservationsSequence] == [
        "GTV",
        "CTV",
        "",
    ]
    assert {tuple(roi.ROIDisplayColor) for roi in rs.ROIContourSequence} == {(200, 40, 9)}


def test_a_map_holds_the_numbers_at_their_places(source, written):
    paths, share = written
    made = pydicom.dcmread(paths["map"])
    frames = np.frombuffer(made.FloatPixelData, np.float32)
    frames = frames.reshape(made.NumberOfFrames, made.Rows, made.Columns)
    grid = read_study(source, "T1").grid
    for frame, group in zip(frames, made.PerFrameFunctionalGroupsSequence, strict=True):
        first = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float) * [-1, -1, 1]
        i, j, k = grid.to_voxel(first).round(3)
        assert (i, j) == (0, 0)
        np.testing.assert_array_equal(frame.T, share[:, :, round(k)])
    (mapping,) = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)


def test_an_anonymous_study_keeps_nothing_of_the_patient(source, forgotten):
    secrets = {str(value) for value in (PATIENT | STUDY).values() if len(str(value)) > 1}
    for header in headers_of(source):
        secrets |= {str(header.get(f"{kind}InstanceUID")) for kind in ("Study", "Series", "SOP")}
    for path in forgotten[0].values():
        content = path.read_bytes()
        assert [secret for secret in (*secrets, FRAME_UID) if secret.encode() in content] == []
        made = pydicom.dcmread(path)
        assert made.PatientIdentityRemoved == "YES" and made.PatientSex == ""
    frames = {str(pydicom.dcmread(path).FrameOfReferenceUID) for path in forgotten[0].values()}
    assert len(frames) == 1  # all of one run lie in one world


def test_values_that_dicom_does_not_allow_are_left_out(tmp_path):
    strange = PATIENT | {"PatientSex": "W", "PatientBirthDate": "7.6.1941"}
    with pydicom.config.disable_value_validation():
        write_series(tmp_path / "a", volume(GRID), GRID, patient=strange)
    study = read_study(tmp_path / "a", "T1")
    assert (study.images[0].PatientSex, study.images[0].PatientBirthDate) == ("", "")
    write_all(tmp_path, study)


@pytest.mark.parametrize(
    ("name", "characters"),
    [
        ("Müller^Jörg", "ISO_IR 100"),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"]),
    ],
)
def test_names_of_any_alphabet_arrive(tmp_path, name, characters):
    patient = PATIENT | {"PatientName": name}
    write_series(
        tmp_path / "a", volume(GRID), GRID, patient=patient, SpecificCharacterSet=characters
    )
    paths, _ = write_all(tmp_path, read_study(tmp_path / "a", "T1"))
    assert {str(pydicom.dcmread(path).PatientName) for path in paths.values()} == {name}


def test_a_series_without_a_frame_of_reference_cannot_be_referred_to(tmp_path):
    write_series(tmp_path / "a", volume(GRID), GRID, frame_uid=None)
    with pytest.raises(InputError, match="no frame of reference"):
        read_study(tmp_path / "a", "T1")


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SOPClassUID"])
def test_a_series_that_names_no_study_or_class_is_refused_before_work(tmp_path, keyword):
    for path in write_series(tmp_path / "series", volume(GRID), GRID):
        image = pydicom.dcmread(path)
        del image[keyword]
        image.save_as(path)
    with pytest.raises(InputError, match=f"expected the field {keyword} as DICOM defines it"):
        read_study(tmp_path / "series", "T1")


@pytest.mark.parametrize("keyword", ["PatientID", "AccessionNumber", "ReferringPhysicianName"])
def test_a_header_with_two_values_where_dicom_has_one_is_left_empty(tmp_path, keyword):
    """It became the text of a list, ['A', 'B'], and named a patient who does not exist."""
    write_series(tmp_path / "series", volume(GRID), GRID, **{keyword: "A\\B"})
    made, _ = write_all(tmp_path, read_study(tmp_path / "series", "T1"))
    for path in made.values():
        assert pydicom.dcmread(path).get(keyword) in ("", None)
