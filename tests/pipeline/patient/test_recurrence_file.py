"""The segmentation of a follow-up scan: read on any grid, told what is not seen of it."""

import nibabel as nib
import numpy as np
from array_orders import SAGITTAL, reordered
from heads import COARSE_GRID
from refused_patients import refusal

from glioquery.atlas import Grid
from glioquery.pipeline.images.nifti import write_nifti
from glioquery.pipeline.patient.patient import load_patient


def test_a_recurrence_is_read_by_the_labels_of_the_patient_from_any_grid(
    files, labels_4mm, tmp_path
):
    later = tmp_path / "later.nii"
    write_nifti(later, np.roll(labels_4mm, 3, axis=0), COARSE_GRID)
    patient = load_patient(**files, recurrence=later)
    np.testing.assert_array_equal(patient.recurrence.core, np.roll(labels_4mm == 4, 3, axis=0))
    np.testing.assert_array_equal(patient.recurrence.whole, np.roll(labels_4mm > 0, 3, axis=0))
    assert set(patient.checksums) == {"t1", "seg", "recurrence"}
    moved = Grid(COARSE_GRID.shape, COARSE_GRID.affine + 12 * np.eye(4, 4, 3))
    write_nifti(later, labels_4mm, moved)
    other = load_patient(**files, recurrence=later)
    np.testing.assert_array_equal(other.recurrence.whole, patient.recurrence.whole)


def test_a_recurrence_on_the_t1s_voxels_in_another_order_is_not_smoothed(
    files, labels_4mm, tmp_path
):
    later = np.zeros_like(labels_4mm)
    later[::2, ::2, ::2] = np.where(labels_4mm == 2, 2, 0)[::2, ::2, ::2]  # single voxels
    write_nifti(tmp_path / "later.nii", *reordered(later, COARSE_GRID, SAGITTAL))
    patient = load_patient(**files, recurrence=tmp_path / "later.nii")
    np.testing.assert_array_equal(patient.recurrence.whole, later > 0)


def test_a_recurrence_may_have_labels_of_its_own(files, labels_4mm, tmp_path):
    later = tmp_path / "later.nii"
    write_nifti(later, labels_4mm, COARSE_GRID)  # 2 oedema, 4 the cavity
    patient = load_patient(**files, recurrence=later, recurrence_labels="brats2024-post")
    assert not patient.recurrence.core.any()
    np.testing.assert_array_equal(patient.recurrence.whole, labels_4mm == 2)
    np.testing.assert_array_equal(patient.masks.core, labels_4mm == 4)
    assert patient.recurrence_convention.name == "brats2024-post"
    plain = load_patient(**files, recurrence=later)
    assert plain.recurrence_convention is plain.convention
    assert load_patient(**files).recurrence_convention is None
    message = refusal(**files, recurrence=later, recurrence_labels="brats2023")
    assert "[4] unknown" in message and "--recurrence-labels" in message
    assert "none is given" in refusal(**files, recurrence_labels="brats2023")


def test_refused_recurrences(files, labels_4mm, tmp_path, still):
    later = tmp_path / "later.nii"
    away = Grid(COARSE_GRID.shape, COARSE_GRID.affine + 150 * np.eye(4, 4, 3))
    write_nifti(later, labels_4mm, away)
    message = refusal(**files, recurrence=later)
    assert "recurrence" in message and "co-register the follow-up scan" in message
    write_nifti(later, 9 * labels_4mm, COARSE_GRID)
    message = refusal(**files, recurrence=later)
    assert "recurrence" in message and "(--recurrence-labels brats2021, " in message
    write_nifti(later, np.roll(labels_4mm, 30, axis=2), COARSE_GRID)
    message = refusal(**files, recurrence=later)
    assert "recurrence lies inside the brain" in message and "co-register" in message


def test_what_of_a_recurrence_is_not_seen_is_told(files, lesion_4mm, tmp_path):
    """A follow-up scan that reaches beyond the registered image, where that ends in the tumour."""
    t1 = nib.load(files["t1"])
    x = int(np.median(np.argwhere(lesion_4mm.whole)[:, 0])) + 3
    write_nifti(files["t1"], t1.get_fdata()[:x], Grid((x, 64, 64), COARSE_GRID.affine))
    seg = np.asarray(nib.load(files["seg"]).dataobj)
    write_nifti(tmp_path / "later.nii", seg, COARSE_GRID)
    patient = load_patient(**files, recurrence=tmp_path / "later.nii")
    assert any("of the recurrence lies in the field of view" in n for n in patient.notices)
    np.testing.assert_array_equal(patient.recurrence.whole, lesion_4mm.whole[:x])
