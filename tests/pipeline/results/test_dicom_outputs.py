"""`invert --dicom`: what planning systems get, and that nothing else names the patient."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from command_line import run
from dicom_series import FRAME_UID, PATIENT, STUDY, write_series

from glioquery.atlas import Grid
from glioquery.errors import InputError
from glioquery.pipeline.dicom.named_structures import StructureNames
from glioquery.pipeline.dicom.outline_file import read_outlines
from glioquery.pipeline.dicom.series import read_series
from glioquery.pipeline.dicom_export.contour_writing import make_structure_set
from glioquery.pipeline.dicom_export.structure import Structure
from glioquery.pipeline.dicom_export.study import read_study
from glioquery.pipeline.images.nifti import read_nifti
from glioquery.pipeline.names import DICOM_FILES
from glioquery.pipeline.results import dicom_outputs
from glioquery.pipeline.results.dicom_outputs import write_dicom
from glioquery.pipeline.results.dicom_places import require_apart, require_dicom_places

STRUCTURES = [
    "Core", "Whole", "CTV_standard", "CTV_model", "CTV_geodesic", "Density_0.01", "Density_0.25",
]  # fmt: skip


@pytest.fixture(scope="module")
def case(coarse, tmp_path_factory):
    """A series and the segmentation of its patient."""
    folder = tmp_path_factory.mktemp("case")
    t1 = read_nifti(coarse / "t1.nii", "T1")
    write_series(folder / "t1", np.rint(t1.values).astype(np.uint16), t1.grid)
    return folder / "t1", coarse / "seg.nii"


@pytest.fixture
def inverted(case, near, quick, tmp_path, capsys):
    """Everything that the command wrote and said."""
    series, seg = case
    code, out, err = run(
        capsys, "invert", near.path, "--t1", series, "--seg", seg, "--labels", "brats2021",
        "-o", tmp_path / "out", "--dicom", tmp_path / "dicom", "--no-refine", "--json",
        "--densities", "0.01,0.25",
    )  # fmt: skip
    assert code == 0, err
    return tmp_path, out, err


def test_the_maps_are_in_the_patient_s_study_and_the_patient_nowhere_else(inverted, case):
    folder, out, err = inverted
    written = json.loads(out)["dicom"]
    assert {path.split("/")[-1] for path in written.values()} == set(DICOM_FILES)
    t1 = read_series(case[0], "T1")
    for path in written.values():
        made = pydicom.dcmread(path)
        assert (made.PatientID, made.FrameOfReferenceUID) == (PATIENT["PatientID"], FRAME_UID)

    def maps(name):
        return read_nifti(folder / "out" / f"sub-patient_space-T1w_{name}.nii.gz", "map")

    density = maps("density")
    assert density.grid == t1.grid
    regions = {
        "Density_0.01": density.values >= 0.01,
        "Density_0.25": density.values >= 0.25,
        "CTV_standard": maps("label-CTV_desc-standard_mask").values > 0,
        "CTV_geodesic": maps("label-CTV_desc-geodesic_mask").values > 0,
    }
    labels = read_nifti(case[1], "segmentation").values
    regions |= {"Core": labels == 4, "Whole": labels > 0}
    for file in ("segmentation", "structures"):
        for name, mask in regions.items():
            read = read_outlines(written[file], file, StructureNames((), (name,)), t1)
            np.testing.assert_array_equal(read.values > 0, mask, err_msg=f"{file} {name}")
    rs = pydicom.dcmread(written["structures"])
    assert [roi.ROIName for roi in rs.StructureSetROISequence] == STRUCTURES
    assert max(len(name) for name in STRUCTURES) <= 16

    secrets = [str(value) for value in (PATIENT | STUDY).values() if len(str(value)) > 1]
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in case[0].iterdir()]
    secrets += [str(headers[0].get(f"{kind}InstanceUID")) for kind in ("Study", "Series", "SOP")]
    secrets += [FRAME_UID, str(headers[0].SeriesDescription), "Wintergreen", "Ottilie"]
    told = {"stdout": out.encode(), "stderr": err.encode()}
    for path in (folder / "out").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        told[str(path.relative_to(folder))] = (
            gzip.decompress(content) if path.suffix == ".gz" else content
        )
    assert {"out/result.json", "out/report.html", "out/ro-crate-metadata.json"} <= set(told)
    assert [
        (place, secret)
        for place, content in told.items()
        for secret in secrets
        if secret.encode() in content or secret in place
    ] == []


def test_another_series_than_the_inverted_one_is_refused(case, tmp_path):
    class Other:
        checksums = {"t1": "0" * 64}  # noqa: RUF012

        class patient:  # noqa: N801
            modality = "t1"

    with pytest.raises(InputError, match="expected the series that was inverted"):
        write_dicom(Other, tmp_path / "dicom", series=case[0])
    assert not (tmp_path / "dicom").exists()


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("rt", "would replace an input"),
        ("series", "would lie in the folder of an input series"),
        ("series/rt", "would lie in the folder of an input series"),
        ("theirs", "a file that glioquery did not write"),
        ("text", "a file that glioquery did not write"),
    ],
)
def test_dicom_outputs_replace_neither_inputs_nor_files_of_others(tmp_path, place, told):
    series, rt, theirs, text = (tmp_path / name for name in ("series", "rt", "theirs", "text"))
    for folder in (rt, theirs, text):
        folder.mkdir()
    write_series(series, np.ones((4, 4, 4), np.uint16), Grid((4, 4, 4), np.eye(4)))
    one = pydicom.dcmread(next(series.iterdir()))
    one.save_as(theirs / "structures.dcm", enforce_file_format=True)
    (text / "density.dcm").write_text("none of DICOM")
    one.ManufacturerModelName = "glioquery"
    one.save_as(rt / "segmentation.dcm", enforce_file_format=True)
    inputs = [f"{series}#3", rt / "segmentation.dcm"]
    with pytest.raises(InputError, match=told):
        require_dicom_places(tmp_path / place, inputs)
    require_dicom_places(rt, inputs[:1])  # its own earlier file
    require_dicom_places(tmp_path / "new", inputs)


@pytest.mark.parametrize("place", ["out", "out/transform", "out/new/one", "link"])
def test_dicom_outputs_lie_apart_from_results(tmp_path, place):
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with pytest.raises(InputError, match="identify the patient and lie apart from the result"):
        require_apart(tmp_path / place, [tmp_path / "another", tmp_path / "out"], "--dicom D")
    require_apart(tmp_path / "output", [tmp_path / "out"], "--dicom D")
    require_apart(tmp_path, [tmp_path / "out"], "--dicom D")


def test_dicom_files_of_an_earlier_inversion_stay_until_all_new_ones_are_complete(
    case, tmp_path, monkeypatch
):
    earlier = {name: b"" for name in DICOM_FILES}
    study = read_study(case[0], "T1")
    structures = make_structure_set(
        [Structure("Lesion", np.ones(study.grid.shape, bool), "GTV", (255, 0, 0))], study
    )
    for name in DICOM_FILES:
        structures.save_as(tmp_path / name, enforce_file_format=True)
        earlier[name] = (tmp_path / name).read_bytes()

    class Full:
        def save_as(self, path, **_):
            raise OSError(28, "No space left on device", str(path))

    class Found:
        checksums = {"t1": study.sha256}  # noqa: RUF012
        density = SimpleNamespace(u=None)

        class patient:  # noqa: N801
            modality = "t1"

    monkeypatch.setattr(dicom_outputs, "structures_of", lambda _: [])
    monkeypatch.setattr(dicom_outputs, "make_segmentation", lambda *_: structures)
    monkeypatch.setattr(dicom_outputs, "make_structure_set", lambda *_: structures)
    monkeypatch.setattr(dicom_outputs, "make_parametric_map", lambda *_: Full())
    with pytest.raises(OSError, match="No space"):
        write_dicom(Found, tmp_path, series=case[0])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == earlier


def test_of_dicom_files_that_could_not_all_be_moved_none_is_of_an_earlier_inversion(
    case, tmp_path, monkeypatch
):
    study = read_study(case[0], "T1")
    made = make_structure_set(
        [Structure("Lesion", np.ones(study.grid.shape, bool), "GTV", (255, 0, 0))], study
    )
    for name in DICOM_FILES:
        made.save_as(tmp_path / name, enforce_file_format=True)
    found = SimpleNamespace(
        checksums={"t1": study.sha256},
        density=SimpleNamespace(u=None),
        patient=SimpleNamespace(modality="t1"),
    )
    replace, moved = Path.replace, []

    def failing(self, target):
        if target.parent == tmp_path:
            moved.append(target.name)
            if len(moved) > 1:
                raise OSError(5, "Input/output error")
        return replace(self, target)

    monkeypatch.setattr(dicom_outputs, "structures_of", lambda _: [])
    for name in ("make_segmentation", "make_structure_set", "make_parametric_map"):
        monkeypatch.setattr(dicom_outputs, name, lambda *_: made)
    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(OSError, match="Input/output"):
        write_dicom(found, tmp_path, series=case[0])
    assert [path.name for path in tmp_path.glob("*.dcm")] == moved[:1]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--dicom", "out"], "--dicom out: DICOM files identify the patient"),
        (["--dicom", "t1"], "would lie in the folder of an input series"),
        (["--anonymous"], "name a folder for them with --dicom"),
    ],
)
def test_options_that_do_not_fit_are_refused(case, capsys, tmp_path, monkeypatch, options, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t1").symlink_to(case[0])
    code, _, err = run(
        capsys, "invert", "--t1", case[0], "--seg", case[1], "--labels", "brats2021", "-o", "out",
        *options,
    )  # fmt: skip
    assert code == 2 and told in err and len(err.strip().splitlines()) == 1
