"""A segmentation whose header was lost, or lies in another frame than the T1's."""

import numpy as np
import pytest
from heads import COARSE_GRID
from raw_nifti import write_raw
from refused_patients import refusal

from glioquery.atlas import Grid
from glioquery.pipeline.images.nifti import write_nifti
from glioquery.pipeline.patient.patient import load_patient

LOST = np.eye(4), np.diag([-1.0, -1, 1, 1]), np.diag([4.0, 4, 4, 1])
"""As nibabel and SimpleITK write an array without its header."""


@pytest.mark.parametrize("affine", LOST)
def test_a_segmentation_that_lost_its_header_has_the_voxels_of_the_t1_if_so_said(
    files, labels_4mm, affine, still
):
    write_nifti(files["seg"], labels_4mm, Grid(labels_4mm.shape, affine))
    for reference in ({}, {"seg_reference": files["t1"]}):  # no advice leads in a circle
        message = refusal(**files, **reference)
        assert "header is lost" in message and message.endswith("say so with --seg-grid t1")
    patient = load_patient(**files, seg_grid="t1")
    assert patient.notices == () and patient.drawn is None
    np.testing.assert_array_equal(patient.masks.whole, labels_4mm > 0)


def test_the_t1_may_have_lost_its_header_too(files, brain_4mm, labels_4mm):
    lost = Grid(labels_4mm.shape, LOST[2])
    write_nifti(files["t1"], brain_4mm.values, lost)
    assert "but that one's header is lost" in refusal(**files)
    write_nifti(files["seg"], labels_4mm, lost)
    notices = load_patient(**files).notices
    assert [notice.split(" has ")[0] for notice in notices] == ["The T1", "The segmentation"]
    assert all("axes and its sides may be wrong" in notice for notice in notices)


def test_any_header_is_passed_over_with_seg_grid_t1(files, labels_4mm):
    huge = Grid(labels_4mm.shape, np.diag([200.0, 1, 1, 1]))
    write_nifti(files["seg"], labels_4mm, huge)
    assert "voxels from" in refusal(**files)
    masks = load_patient(**files, seg_grid="t1").masks
    np.testing.assert_array_equal(masks.whole, labels_4mm > 0)


def test_refused_seg_grids(files, labels_4mm):
    assert "expected one of own, t1, got 'flair'" in refusal(**files, seg_grid="flair")
    message = refusal(**files, seg_grid="t1", seg_reference=files["t1"])
    assert "give one of them" in message
    write_nifti(files["seg"], labels_4mm[1:], Grid((63, 64, 64), COARSE_GRID.affine))
    message = refusal(**files, seg_grid="t1")
    assert "expected the shape" in message and "63 x 64 x 64" in message


@pytest.mark.parametrize("two", ["t1", "seg"])
def test_a_segmentation_in_the_other_frame_of_a_header_is_taken_voxel_for_voxel(
    files, brain_4mm, labels_4mm, two
):
    """Sform and qform of one file 17 mm apart: the tumour stays where it was drawn."""
    values = {"t1": brain_4mm.values, "seg": labels_4mm}[two]
    moved = COARSE_GRID.affine + 17 * np.eye(4, 4, 3)
    fields = {f"srow_{axis}": moved[i] for i, axis in enumerate("xyz")}
    write_raw(files[two], values, COARSE_GRID.affine, **fields)
    patient = load_patient(**files)
    np.testing.assert_array_equal(patient.masks.whole, labels_4mm > 0)
    assert patient.drawn is None
    (declared, taken) = patient.notices
    assert "two frames that differ" in declared and "gets that image's voxels" in taken


def test_headers_that_differ_by_rounding_are_of_one_grid(
    files, brain_4mm, labels_4mm, tmp_path, still
):
    near = Grid(COARSE_GRID.shape, COARSE_GRID.affine + 0.02 * np.eye(4, 4, 3))
    write_nifti(files["seg"], labels_4mm, near)
    write_nifti(tmp_path / "flair.nii", brain_4mm.values, near)
    for reference in ({}, {"seg_reference": files["t1"]}):
        patient = load_patient(**files, flair=tmp_path / "flair.nii", **reference)
        assert patient.notices == () and patient.drawn is None
        np.testing.assert_array_equal(patient.masks.whole, labels_4mm > 0)
