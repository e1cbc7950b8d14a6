"""The rules for headers hold for every file that is read, whatever it is to the user."""

import numpy as np
import pytest
from raw_nifti import write_raw

from glioquery.atlas import SIMULATION_GRID
from glioquery.errors import InputError
from glioquery.pipeline.anatomy.tissue_maps import read_tissue_maps, require_cover
from glioquery.pipeline.cohort.evaluation_cases import find_cases
from glioquery.pipeline.cohort.predict_gbm import read_exam
from glioquery.pipeline.images.labels import label_convention
from glioquery.pipeline.images.nifti import write_nifti
from glioquery.pipeline.patient.patient import load_patient

AFFINE = SIMULATION_GRID.affine
MOVED = AFFINE + 17 * np.eye(4, 4, 3)
TWO_FRAMES = {f"srow_{axis}": MOVED[i] for i, axis in enumerate("xyz")}
OTHER_SIZE = {"qform_code": 0, "pixdim": np.array([1, 1.88, 2, 2, 0, 0, 0, 0], np.float32)}
HUGE = {"dim": [3, 1000, 1000, 1000, 1, 1, 1, 1]}
ROLES = ("t1", "t1c", "flair", "seg", "brain_mask", "seg_reference", "recurrence")
LABELS = {"seg", "recurrence", "brain_mask"}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("fields", "message"),
    [(OTHER_SIZE, "contradicts itself about the voxel size"), (HUGE, "at most 134,217,728 voxels")],
)
def test_every_file_of_a_patient(files, tmp_path, segmentation, brain_2mm, role, fields, message):
    values = segmentation if role in LABELS else brain_2mm.values
    path = write_raw(tmp_path / "odd.nii", values, AFFINE, **fields)
    with pytest.raises(InputError, match=message) as caught:
        load_patient(**(files | {role: path}))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("role", ["brain_mask", "recurrence"])
def test_a_file_with_two_frames_beside_one_with_one(files, tmp_path, segmentation, role):
    cropped = np.ascontiguousarray(segmentation[:, :, :120])
    path = write_raw(tmp_path / "odd.nii", cropped, AFFINE, **TWO_FRAMES)
    with pytest.raises(InputError, match=r"declares two frames 17 mm apart"):
        load_patient(**files, **{role: path})


def test_cases_of_an_evaluation(tmp_path, segmentation):
    convention = label_convention("brats2021")
    path = write_raw(tmp_path / "a.nii.gz", segmentation, AFFINE, sform_code=6)
    assert find_cases(tmp_path, pattern="*", convention=convention).notices == ()
    write_raw(path, segmentation, AFFINE, **TWO_FRAMES)
    with pytest.raises(InputError, match=r"a\.nii\.gz: its header declares two frames 17 mm apart"):
        find_cases(tmp_path, pattern="*", convention=convention)
    micrometres = np.diag([1000, 1000, 1000, 1]) @ AFFINE
    write_raw(path, segmentation, micrometres, xyzt_units=3)
    found = find_cases(tmp_path, pattern="*", convention=convention)
    np.testing.assert_array_equal(found.load(0).whole, segmentation > 0)
    assert found.notices == (
        "a: The segmentation gives its sizes in micrometres; they were converted to mm, as all "
        "results are.",
    )


def test_tissue_maps(tmp_path, atlas, files):
    paths = {role: tmp_path / f"{role}.nii" for role in ("gm", "wm", "csf")}
    for role, path in paths.items():
        write_nifti(path, getattr(atlas, role), atlas.grid)
    patient = load_patient(**files)
    require_cover(read_tissue_maps(**paths), patient)
    cropped = np.ascontiguousarray(atlas.wm[:, :, :120])
    write_raw(paths["wm"], cropped, AFFINE, **TWO_FRAMES)
    with pytest.raises(InputError, match=r"^tissue map wm: .*two frames 17 mm apart"):
        require_cover(read_tissue_maps(**paths), patient)
    write_raw(paths["wm"], atlas.wm, AFFINE, **OTHER_SIZE)
    with pytest.raises(InputError, match=r"^tissue map wm .*about the voxel size"):
        read_tissue_maps(**paths)


def test_a_benchmarks_patient(tmp_path, atlas, segmentation):
    folder = tmp_path / "Patient-1"
    folder.mkdir()
    for role in ("gm", "wm", "csf"):
        write_nifti(folder / f"1-{role}.nii.gz", getattr(atlas, role), atlas.grid)
    labels = np.where(segmentation == 4, 3, segmentation)
    scaled = {"scl_slope": 1.00001, "scl_inter": 1e-6}
    path = write_raw(folder / "1-tumorseg.nii.gz", labels, AFFINE, **scaled)
    exam = read_exam(folder)
    np.testing.assert_array_equal(exam.labels, labels)
    tissue = atlas.gm + atlas.wm + atlas.csf >= 0.5
    np.testing.assert_array_equal(exam.brain, tissue | (labels > 0))
    write_raw(path, labels, AFFINE, scl_slope=0.3)
    with pytest.raises(InputError, match="tumorseg of Patient-1: expected integer labels"):
        read_exam(folder)
    write_raw(path, labels, AFFINE, **OTHER_SIZE)
    with pytest.raises(InputError, match="about the voxel size"):
        read_exam(folder)
