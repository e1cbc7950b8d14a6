"""Good input is read whatever its orientation; bad input is refused in one clear line."""

import dataclasses
import gzip

import nibabel as nib
import numpy as np
import pytest
from heads import COARSE_GRID
from refused_patients import refusal

from glioquery.atlas import SIMULATION_GRID, Grid
from glioquery.pipeline.images.nifti import Scan, write_nifti
from glioquery.pipeline.images.resampling import resample_image
from glioquery.pipeline.patient.patient import load_patient
from glioquery.query.dice import dice_of
from glioquery.solver import TumorMasks


def test_a_patient_is_read(files, lesion_4mm):
    patient = load_patient(**files)
    assert patient.grid == COARSE_GRID
    assert patient.modality == "t1"
    np.testing.assert_array_equal(patient.masks.core, lesion_4mm.core)
    np.testing.assert_array_equal(patient.masks.whole, lesion_4mm.whole)
    assert patient.notices == ()
    assert set(patient.checksums) == {"t1", "seg"}
    assert all(len(digest) == 64 for digest in patient.checksums.values())


def test_any_orientation_and_a_trailing_axis(files, brain_4mm, labels_4mm):
    for name, values in (("t1", brain_4mm.values), ("seg", labels_4mm)):
        image = nib.Nifti1Image(values, COARSE_GRID.affine)
        turn = nib.orientations.axcodes2ornt(("P", "S", "L"))
        turned = image.as_reoriented(turn)
        nib.save(nib.Nifti1Image(np.asarray(turned.dataobj)[..., None], turned.affine), files[name])
    patient = load_patient(**files)
    assert nib.aff2axcodes(patient.grid.affine) != ("R", "A", "S")
    points = patient.grid.to_world(np.argwhere(patient.masks.core)).mean(axis=0)
    np.testing.assert_allclose(points, [-85, 125, 85], atol=0.5)


def test_contrast_image_stands_in_for_the_t1(files):
    patient = load_patient(t1c=files["t1"], seg=files["seg"], labels="brats2021")
    assert (patient.modality, patient.t1c) == ("t1c", None)


def coarse_version(scan):
    """The image on thick slices of its own."""
    grid = Grid((64, 64, 32), np.diag([4, 4, 8, 1]) + np.outer([-245, -6, -46, 0], [0, 0, 0, 1]))
    return resample_image(scan, grid)


def test_pictures_on_other_grids_are_moved_not_resampled(files, tmp_path, brain_4mm, monkeypatch):
    motion = np.eye(4)
    motion[:3, 3] = [300, -20, 5]
    monkeypatch.setattr("glioquery.pipeline.patient.patient.align", lambda moving, fixed: motion)
    flair = coarse_version(brain_4mm)
    elsewhere = Grid(flair.grid.shape, np.linalg.inv(motion) @ flair.grid.affine)
    write_nifti(tmp_path / "flair.nii.gz", flair.values, elsewhere)
    patient = load_patient(**files, flair=tmp_path / "flair.nii.gz")
    assert patient.flair.grid == flair.grid
    np.testing.assert_array_equal(patient.flair.values, flair.values)


def test_an_image_of_another_head_is_told(files, tmp_path, brain_2mm, segmentation, still):
    """On voxels of 2 mm: the few of 4 mm agree by chance."""
    write_nifti(files["t1"], brain_2mm.values, SIMULATION_GRID)
    write_nifti(files["seg"], segmentation, SIMULATION_GRID)
    flair = coarse_version(brain_2mm)
    turned = np.random.default_rng(0).permutation(flair.values.ravel()).reshape(flair.grid.shape)
    write_nifti(tmp_path / "flair.nii.gz", turned, flair.grid)
    (notice,) = load_patient(**files, flair=tmp_path / "flair.nii.gz").notices
    assert "FLAIR" in notice and "one head" in notice
    # It matters more where the segmentation hangs on it.
    labels = resample_image(
        Scan(segmentation.astype(np.float32), SIMULATION_GRID), flair.grid, nearest=True
    )
    write_nifti(files["seg"], labels.values.astype(np.uint8), flair.grid)
    assert "one head" in refusal(**files, seg_reference=tmp_path / "flair.nii.gz")


def test_empty_core_is_a_notice(files, labels_4mm):
    write_nifti(files["seg"], (labels_4mm > 0).astype(np.uint8) * 2, COARSE_GRID)
    patient = load_patient(**files)
    assert not patient.masks.core.any()
    assert any("no core" in notice for notice in patient.notices)


def test_labels_that_turn_the_tumour_outside_in_are_a_notice(files, labels_4mm, tmp_path):
    exchanged = np.choose(labels_4mm, [0, 0, 4, 0, 2])
    write_nifti(tmp_path / "later.nii", exchanged, COARSE_GRID)
    (notice,) = load_patient(**files, recurrence=tmp_path / "later.nii").notices
    assert "In the recurrence, core surrounds 100% of the tumour beyond it" in notice
    write_nifti(files["seg"], exchanged, COARSE_GRID)
    (notice,) = load_patient(**files).notices
    assert "In the segmentation, core surrounds 100% of the tumour beyond it" in notice


def test_undeclared_orientation_is_a_notice(files, brain_4mm):
    image = nib.load(files["t1"])
    data = np.asarray(image.dataobj)
    for path, values in ((files["t1"], data), (files["seg"], nib.load(files["seg"]).get_fdata())):
        bare = nib.Nifti1Image(values.astype(np.float32), None)
        bare.header["pixdim"][1:4] = 4
        nib.save(bare, path)
    assert sum("left and right" in notice for notice in load_patient(**files).notices) == 2


@pytest.mark.parametrize(("shift_mm", "is_told"), [(0.01, False), (4.0, True)])
def test_two_frames_in_one_header_are_a_notice(files, brain_4mm, shift_mm, is_told):
    image = nib.Nifti1Image(brain_4mm.values, COARSE_GRID.affine)
    image.set_sform(COARSE_GRID.affine, code=1)
    image.set_qform(COARSE_GRID.affine + shift_mm * np.eye(4, 4, 3), code=1)
    nib.save(image, files["t1"])
    patient = load_patient(**files)
    assert patient.grid == COARSE_GRID
    assert any("sform and qform" in notice for notice in patient.notices) == is_told


def test_missing_file(files, tmp_path):
    assert "no such file" in refusal(**(files | {"t1": tmp_path / "nothing.nii.gz"}))


def test_no_t1_at_all(files):
    assert "give a T1 (--t1) or one with contrast (--t1c)" in refusal(
        seg=files["seg"], labels="brats2021"
    )


def test_not_a_nifti(files, tmp_path):
    (tmp_path / "text.nii.gz").write_text("no image")
    assert "expected a NIfTI" in refusal(**(files | {"t1": tmp_path / "text.nii.gz"}))
    nib.save(nib.MGHImage(np.zeros((4, 4, 4), np.float32), np.eye(4)), tmp_path / "x.mgz")
    assert "expected a NIfTI" in refusal(**(files | {"t1": tmp_path / "x.mgz"}))


def test_truncated(files, tmp_path):
    whole = gzip.compress(files["t1"].read_bytes())
    (tmp_path / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    assert "truncated" in refusal(**(files | {"t1": tmp_path / "cut.nii.gz"}))


def test_several_volumes(files):
    nib.save(nib.Nifti1Image(np.ones((5, 5, 5, 3), np.float32), np.eye(4)), files["t1"])
    assert "5 x 5 x 5 x 3" in refusal(**files)


def test_a_segmentation_on_another_grid_keeps_its_voxels(files, lesion_4mm):
    corner = np.array([-136.5, 74.5, 36.5, 0])  # around the tumour, two voxels to one of the T1
    fine = Grid((52, 52, 50), np.diag([2.0, 2, 2, 1]) + np.outer(corner, [0, 0, 0, 1]))
    at = np.rint(lesion_4mm.grid.to_voxel(fine.to_world(np.indices(fine.shape).reshape(3, -1).T)))
    at = np.clip(at.astype(int), 0, 63).T
    labels = (2 * lesion_4mm.whole[tuple(at)] + 2 * lesion_4mm.core[tuple(at)]).reshape(fine.shape)
    write_nifti(files["seg"], labels.astype(np.uint8), fine)
    patient = load_patient(**files)
    (notice,) = patient.notices
    assert str(fine) in notice and str(COARSE_GRID) in notice
    assert patient.seg_grid == fine and patient.drawn.grid == fine
    assert patient.masks.grid == COARSE_GRID
    np.testing.assert_array_equal(patient.outlines.core, labels == 4)
    for name in ("core", "whole"):
        own, expected = getattr(patient.masks, name), getattr(lesion_4mm, name)
        assert dice_of(own, expected) > 0.97


def test_a_segmentation_far_away_asks_for_its_reference(files, labels_4mm):
    affine = COARSE_GRID.affine.copy()
    affine[0, 3] += 150
    write_nifti(files["seg"], labels_4mm, Grid(labels_4mm.shape, affine))
    message = refusal(**files)
    assert "field of view" in message and "--seg-reference" in message


def test_a_reference_brings_the_segmentation_along(files, labels_4mm, brain_4mm, tmp_path, still):
    shift = np.eye(4)
    shift[:3, 3] = [500, 100, -40]
    away = Grid(COARSE_GRID.shape, shift @ COARSE_GRID.affine)
    write_nifti(files["seg"], labels_4mm, away)
    write_nifti(tmp_path / "other.nii", brain_4mm.values, away)
    message = refusal(**files, seg_reference=files["t1"])
    assert str(away) in message and str(COARSE_GRID) in message
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "glioquery.pipeline.patient.patient.align", lambda moving, fixed: np.linalg.inv(shift)
        )
        patient = load_patient(**files, seg_reference=tmp_path / "other.nii")
    assert patient.notices == ()
    np.testing.assert_array_equal(patient.masks.whole, labels_4mm > 0)
    assert patient.drawn is None  # the moved grid is the T1's
    assert set(patient.checksums) == {"t1", "seg", "seg_reference"}


def test_the_field_holds_the_brain_the_outlines_and_a_recurrence_beyond(files):
    patient = load_patient(**files)
    corner = np.zeros(patient.grid.shape, bool)
    corner[0, 0, 0] = True
    assert patient.field.laid(patient.field.cut(patient.brain_with_tumour)).sum() == (
        patient.brain_with_tumour.sum()
    )
    assert not patient.field.laid(patient.field.cut(corner)).any()
    recurred = TumorMasks(np.zeros_like(corner), corner, patient.grid)
    later = dataclasses.replace(patient, recurrence=recurred)
    assert later.field.laid(later.field.cut(corner)).any()
    assert later.field.cut(later.brain_with_tumour).sum() == patient.brain_with_tumour.sum()


@pytest.mark.parametrize(
    ("fill", "message"), [(0, "no positive"), (np.nan, "NaN"), (np.inf, "NaN or infinity")]
)
def test_t1_without_content(files, brain_4mm, fill, message):
    values = np.zeros_like(brain_4mm.values) if fill == 0 else brain_4mm.values.copy()
    values[0, 0, 0] = fill
    write_nifti(files["t1"], values, COARSE_GRID)
    assert message in refusal(**files)


@pytest.mark.parametrize("zoom", [0, 1])
def test_zero_or_singular_affine(files, brain_4mm, zoom):
    image = nib.Nifti1Image(brain_4mm.values, COARSE_GRID.affine)
    image.header["qform_code"] = 0
    image.header["sform_code"] = 1
    for row in ("srow_x", "srow_y", "srow_z"):
        image.header[row] = [zoom, zoom, zoom, 0]
    # Saving an image writes its own affine over the header's: put the bytes on disk as they are.
    raw = bytearray(image.header.binaryblock)
    files["t1"].write_bytes(raw + bytes(4) + brain_4mm.values.tobytes(order="F"))
    data = bytearray(files["t1"].read_bytes())
    data[108:112] = np.float32(352).tobytes()
    data[344:348] = b"n+1\0"
    files["t1"].write_bytes(data)
    assert "singular" in refusal(**files)


def test_a_sheared_t1_is_refused(files, brain_4mm):
    affine = COARSE_GRID.affine.copy()
    affine[0, 1] = 0.1
    write_nifti(files["t1"], brain_4mm.values, Grid(brain_4mm.values.shape, affine))
    assert "voxel axes at right angles, got a sheared grid" in refusal(**files)


def test_a_sheared_segmentation_is_refused(files, labels_4mm):
    affine = COARSE_GRID.affine.copy()
    affine[0, 1] = 0.1
    write_nifti(files["seg"], labels_4mm, Grid(labels_4mm.shape, affine))
    message = refusal(**files)
    assert "segmentation" in message and "got a sheared grid" in message


@pytest.mark.parametrize("level", [0, 0.44])
def test_a_normalised_t1_on_a_constant_is_taken_and_told(files, brain_4mm, level):
    v = brain_4mm.values
    scored = level + np.where(v > 0, (v - v[v > 0].mean()) / v[v > 0].std(), 0) / 10
    brain = load_patient(**files).brain
    write_nifti(files["t1"], scored.astype(np.float32), COARSE_GRID)
    patient = load_patient(**files)
    assert [f"a background of {level:g}: it was set to 0" in n for n in patient.notices] == [True]
    assert dice_of(patient.brain, brain) > 0.99
    assert patient.t1.values.min() == 0 == patient.t1.values[0, 0, 0]


def test_ripples_around_a_stripped_brain_are_no_part_of_it(files, brain_4mm):
    clean = load_patient(**files)
    ripples = np.abs(np.random.default_rng(0).normal(size=brain_4mm.values.shape))
    ripples *= 0.005 * np.percentile(brain_4mm.values, 99)
    values = np.where(brain_4mm.values > 0, brain_4mm.values, ripples)
    write_nifti(files["t1"], values, COARSE_GRID)
    patient = load_patient(**files)
    assert dice_of(patient.t1.values > 0, clean.t1.values > 0) > 0.95  # without its dark rim
    assert not patient.t1.values[~patient.brain].any()


def test_a_normalised_t1_on_noise_is_refused(files, brain_4mm):
    noise = np.random.default_rng(0).normal(size=brain_4mm.values.shape)
    write_nifti(files["t1"], noise, COARSE_GRID)
    assert "before it was normalised" in refusal(**files)


def test_a_background_as_bright_as_tissue_is_called_so(files, brain_4mm):
    noise = np.random.default_rng(0).uniform(500, 600, brain_4mm.values.shape)
    write_nifti(files["t1"], brain_4mm.values + noise, COARSE_GRID)
    assert "the corners of the field of view are as bright as tissue" in refusal(**files)


def test_a_brain_that_the_field_of_view_cuts_is_taken_and_told(files, brain_4mm, still):
    box = np.ix_(range(13, 51), range(6, 56), range(25, 43))
    affine = COARSE_GRID.affine.copy()
    affine[:3, 3] = COARSE_GRID.to_world([13, 6, 25])
    values = brain_4mm.values[box]
    write_nifti(files["t1"], values, Grid(values.shape, affine))
    notices = load_patient(**files).notices
    assert any("shows a brain that the field of view cuts" in notice for notice in notices)
    assert not any("skull" in notice for notice in notices)


def test_headers_and_labels_are_judged_before_any_work(files, labels_4mm, monkeypatch):
    monkeypatch.setattr("glioquery.pipeline.patient.patient_files.darken_background", None)
    write_nifti(files["seg"], labels_4mm, Grid(labels_4mm.shape, np.diag([10.0, 10, 10, 1])))
    assert "field of view up to 400 mm a side" in refusal(**files)
    files["seg"] = files["t1"]
    assert "different values" in refusal(**files)


def test_a_tumour_outside_the_brain_is_refused(files, labels_4mm):
    write_nifti(files["seg"], np.roll(labels_4mm, 30, axis=2), COARSE_GRID)
    assert "inside the brain" in refusal(**files)


def test_voxel_size_off_by_a_unit(files, brain_4mm, labels_4mm):
    small = Grid(COARSE_GRID.shape, np.diag([0.4, 0.4, 0.4, 1]))
    write_nifti(files["t1"], brain_4mm.values, small)
    write_nifti(files["seg"], labels_4mm, small)
    assert "voxel size" in refusal(**files)


def test_real_native_scan_without_its_reference_is_refused(cases, monkeypatch):
    monkeypatch.setattr("glioquery.pipeline.alignment.ants_worker._run_apart", None)
    folder = cases / "TCGA-FG-6692"
    seg = folder / "sri24_space" / "seg_fusion_mav.nii.gz"
    assert "--seg-reference" in refusal(t1=folder / "t1.nii.gz", seg=seg, labels="brats2021")
    stripped = folder / "sri24_space" / "brats_space_t1.nii.gz"
    assert load_patient(t1=stripped, seg=seg, labels="brats2021").notices == ()
