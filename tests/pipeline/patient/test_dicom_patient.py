"""A patient from DICOM files is the patient that their NIfTI files hold."""

import importlib.util

import numpy as np
import pytest
from dicom_series import FRAME_UID, write_frames, write_series

from glioquery.atlas import Grid
from glioquery.errors import ExtraError, InputError
from glioquery.pipeline.dicom_export.contour_writing import make_structure_set
from glioquery.pipeline.dicom_export.segment_writing import make_segmentation
from glioquery.pipeline.dicom_export.structure import Structure
from glioquery.pipeline.dicom_export.study import read_study
from glioquery.pipeline.images.nifti import read_nifti, write_nifti
from glioquery.pipeline.patient.patient import load_patient

NAMES = {"core_structures": ["Core"], "whole_structures": ["Core", "Edema"]}


@pytest.fixture(scope="module")
def folder(coarse, tmp_path_factory):
    """One patient as NIfTI files, as series, and with its outlines as SEG and RTSTRUCT."""
    folder = tmp_path_factory.mktemp("dicom")
    t1, seg = read_nifti(coarse / "t1.nii", "T1"), read_nifti(coarse / "seg.nii", "segmentation")
    stored = np.rint(t1.values).astype(np.uint16)
    write_nifti(folder / "t1.nii", stored, t1.grid)
    write_nifti(folder / "seg.nii", seg.values, seg.grid)
    write_series(folder / "t1", stored, t1.grid, order=None)
    write_frames(folder / "t1.dcm", stored, t1.grid)
    study = read_study(folder / "t1", "T1")
    structures = [
        Structure("Core", seg.values == 4, "GTV", (255, 0, 0)),
        Structure("Edema", seg.values == 2, "lesion", (0, 255, 0)),
    ]
    make_segmentation(structures, study).save_as(folder / "seg.dcm")
    make_structure_set(structures, study).save_as(folder / "rs.dcm", enforce_file_format=True)
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    return load_patient(t1=folder / "t1.nii", seg=folder / "seg.nii", labels="brats2021")


@pytest.mark.parametrize(
    ("t1", "seg", "meaning"),
    [
        ("t1", "seg.nii", {"labels": "brats2021"}),
        ("t1", "seg.dcm", NAMES),
        ("t1", "rs.dcm", NAMES),
        ("t1.dcm", "rs.dcm", NAMES),
        ("t1.nii", "seg.dcm", NAMES),
    ],
)
def test_every_form_is_the_same_patient(folder, expected, t1, seg, meaning):
    patient = load_patient(t1=folder / t1, seg=folder / seg, **meaning)
    at = patient.grid.to_voxel(expected.grid.to_world(np.argwhere(expected.brain)))
    assert np.abs(at - np.rint(at)).max() < 1e-3
    at = tuple(np.rint(at).astype(int).T)
    for name in ("core", "whole"):
        ours, theirs = getattr(patient.masks, name), getattr(expected.masks, name)
        assert ours.sum() == theirs.sum()
        np.testing.assert_array_equal(ours[at], theirs[expected.brain])
    np.testing.assert_array_equal(patient.t1.values[at], expected.t1.values[expected.brain])
    if t1 == "t1":  # columns, rows and slices are NIfTI's axes here: one result, to the last bit
        assert patient.grid == expected.grid
        np.testing.assert_array_equal(patient.t1.values, expected.t1.values)
    assert patient.drawn is None  # no grid of its own
    assert all(len(digest) == 64 for digest in patient.checksums.values())
    assert any("frame of reference" in notice for notice in patient.notices) == (t1 == "t1.nii")


def test_outlines_of_another_frame_of_reference_need_their_reference(folder, tmp_path, still):
    t1 = read_nifti(folder / "t1.nii", "T1")
    write_series(tmp_path / "other", t1.values, t1.grid, frame_uid=f"{FRAME_UID}.7")
    files = {"t1": tmp_path / "other", "seg": folder / "rs.dcm", **NAMES}
    with pytest.raises(InputError, match=r"another frame of reference.*--seg-reference"):
        load_patient(**files)
    patient = load_patient(**files, seg_reference=folder / "t1")
    assert patient.masks.whole.any()


def test_contours_on_other_slices_than_the_t1_s_keep_their_own(folder, expected, tmp_path):
    t1 = read_nifti(folder / "t1.nii", "T1")
    axes = [0, 2, 1]  # sagittal to coronal: contours drawn on axial planes
    grid = Grid(tuple(np.array(t1.grid.shape)[axes]), t1.grid.affine[:, [*axes, 3]])
    shifted = grid.affine.copy()
    shifted[:3, 3] += [1.3, -0.8, 0.9]
    grid = Grid((grid.shape[0], grid.shape[1], grid.shape[2] - 1), shifted)
    at = np.rint(t1.grid.to_voxel(grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))))
    at = np.clip(at.astype(int), 0, np.array(t1.grid.shape) - 1)
    write_series(tmp_path / "t1", t1.values[tuple(np.moveaxis(at, -1, 0))], grid)
    patient = load_patient(t1=tmp_path / "t1", seg=folder / "rs.dcm", **NAMES)
    assert patient.drawn is not None and patient.seg_grid is not None
    assert patient.seg_grid.spacing_mm == (1.0, 1.0, 4.0)
    for name in ("core", "whole"):
        ours, theirs = getattr(patient.drawn, name), getattr(expected.masks, name)
        volumes = ours.sum() * patient.drawn.grid.voxel_ml, theirs.sum() * expected.grid.voxel_ml
        assert volumes[0] == pytest.approx(volumes[1], rel=0.03)
        centres = (
            patient.drawn.grid.to_world(np.argwhere(ours)).mean(axis=0),
            expected.grid.to_world(np.argwhere(theirs)).mean(axis=0),
        )
        assert np.linalg.norm(centres[0] - centres[1]) < 0.2


REFUSED = [
    ({"seg": "rs.dcm"}, r"never guessed; it holds 'Core', 'Edema'"),
    ({"seg": "rs.dcm", "whole_structures": ["GTV"]}, r"'GTV', got none; it holds 'Core', 'Edema'"),
    ({"seg": "rs.dcm", "core_structures": ["Core"]}, "--whole-structures: the structures"),
    ({"seg": "rs.dcm", "labels": "brats2021"}, "is DICOM, whose structures have names"),
    ({"seg": "seg.nii", "labels": "brats2021", **NAMES}, "but the segmentation .* is none"),
    ({"seg": "t1", **NAMES}, "expected one DICOM SEG or RTSTRUCT, got none"),
    ({"seg": "rs.dcm", "seg_grid": "t1", **NAMES}, "is DICOM, which says where it lies"),
    ({"seg": "rs.dcm", "recurrence": "seg.nii", **NAMES}, "name its convention"),
    ({"seg": "seg.dcm", "brain_mask": "t1", **NAMES}, "brain mask .* got a folder of DICOM files"),
]


@pytest.mark.parametrize(("given", "told"), REFUSED)
def test_what_names_nothing_is_refused(folder, given, told):
    paths = {
        key: folder / value if key in ("seg", "recurrence", "brain_mask") else value
        for key, value in given.items()
    }
    with pytest.raises(InputError, match=told) as refused:
        load_patient(t1=folder / "t1", **paths)
    assert "\n" not in str(refused.value)


def test_without_the_extra_one_line_names_it(folder, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "pydicom" else find(name)
    )
    with pytest.raises(ExtraError, match=r"glioquery\[dicom\]"):
        load_patient(t1=folder / "t1", seg=folder / "seg.nii", labels="brats2021")
