"""Patients of the trial: heads, the three arms, and what repeats."""

import dataclasses

import nibabel as nib
import numpy as np
import pytest
from heads import phantom

from glioquery.atlas import Grid
from glioquery.pipeline.images.labels import label_convention, outlines_from_labels
from glioquery.pipeline.images.nifti import Scan, read_nifti
from glioquery.pipeline.images.resampling import resample_image
from glioquery.pipeline.virtual import anatomies, trial_patient, true_growth
from glioquery.pipeline.virtual.anatomies import (
    BEND_MM,
    carry,
    load_icbm152,
    place_head,
    points_of,
)
from glioquery.pipeline.virtual.arms import ARMS
from glioquery.pipeline.virtual.distractions import Push, add_oedema
from glioquery.pipeline.virtual.trial_patient import arm_rng, image, make_bearer
from glioquery.query.dice import dice_of


@pytest.fixture(scope="module", autouse=True)
def small():
    """Patients of 2 mm, made of the phantom, with tumours that fit into it."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (anatomies, trial_patient):
            patch.setattr(module, "ANATOMIES", {"phantom": phantom})
        patch.setattr(trial_patient, "SHAPE", (44, 48, 40))
        patch.setattr(trial_patient, "VOXEL_MM", 2.0)
        patch.setattr(true_growth, "WHOLE_ML", (12.0, 16.0))
        patch.setattr(true_growth, "LAMBDA_MM", (1.8, 2.2))
        patch.setattr(trial_patient, "LEAST_CORE_ML", 1.0)
        yield


@pytest.fixture(scope="module")
def bearer():
    return dataclasses.replace(make_bearer(1, 0), has_thick_slices=False)


@pytest.fixture(scope="module")
def arms(bearer):
    return {arm: image(bearer, arm, arm_rng(1, 0, arm)) for arm in ARMS}


def test_a_head_is_the_anatomy_scaled_turned_shifted_and_bent():
    original = phantom()
    grid, head = place_head(original, (44, 48, 40), 2.0, np.random.default_rng(3))
    assert nib.aff2axcodes(grid.affine) == ("L", "P", "S")
    largest = np.abs(head.field).max(axis=(0, 1, 2))
    np.testing.assert_allclose(largest, BEND_MM, rtol=1e-5)
    sizes = np.linalg.svd(head.after[:3, :3])[1]
    assert ((sizes > 1.019) & (sizes < 1.161)).all()
    carried = carry(original, grid, head)
    # The map's determinant turns volumes in the head into the anatomy's. So all intensity together
    # is as much as before, which linear interpolation does not change.
    mapped = head.map(np.eye(4), points_of(grid), np.eye(4)).reshape(3, *grid.shape)
    slopes = np.stack(np.gradient(mapped, *np.diag(grid.affine)[:3], axis=(1, 2, 3)), -1)
    stretch = np.linalg.det(np.moveaxis(slopes, 0, -2))
    sums = (carried.t1 * stretch).sum() * grid.voxel_ml, original.t1.sum() * original.grid.voxel_ml
    assert sums[0] == pytest.approx(sums[1], rel=0.01)
    total = carried.wm + carried.gm + carried.csf
    assert (total[carried.t1 > 0.3] > 0.95).all() and total.max() <= 1 + 1e-5


def test_the_anatomy_that_comes_with_nilearn_is_whole_and_not_the_atlas(atlas):
    found = load_icbm152()
    assert found.grid.spacing_mm == (1, 1, 1) and 1500 < found.brain.sum() / 1000 < 2100
    assert found.t1.max() == 1 and not found.wm[found.t1 == 0].any()
    assert 0.25 < (found.wm > 0.5).sum() / found.brain.sum() < 0.5
    assert found.grid.shape != atlas.t1_grid.shape


def test_a_push_moves_image_tissue_and_truth_alike(bearer, arms):
    before, after = arms["a"], arms["c"]
    core = bearer.tumor.density.outlines().core
    push = Push.of_core(core, bearer.tumor.density.grid)
    assert after.facts["push_mm"] == push.most_mm
    # A voxel beside the core shows what lay nearer to it before, by this push and no other.
    grid = before.grid
    # White matter is one wide ball, whose edge blurs as much as a tenth of the push moves it.
    for found, values, by in (
        (after.anatomy.wm, before.anatomy.wm, 0.3),
        (after.anatomy.csf, before.anatomy.csf, 0.1),
        (after.density.u, before.density.u, 0.1),
    ):
        pushes = [
            dataclasses.replace(push, most_mm=(1 + i * by) * push.most_mm) for i in (-1, 0, 1)
        ]
        expected = [resample_image(Scan(values, grid), grid, p.before(grid)).values for p in pushes]
        assert np.argmin([np.abs(found - e).mean() for e in expected]) == 1
    volumes = [(u >= 0.6).sum() for u in (expected[1], after.density.u)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.05)


def test_a_push_is_farthest_at_its_radius_and_folds_nothing():
    push = Push((1.0, 2.0, 3.0), 20.0, 5.0)
    r = np.linspace(0, 80, 801)
    points = np.stack([1 + r, 2 + 0 * r, 3 + 0 * r])
    inward = -push.displacement(points)[0]
    assert r[inward.argmax()] == pytest.approx(20) and inward.max() == pytest.approx(5)
    assert (np.diff(r - inward) > 0).all() and inward[-1] < 0.02


def test_a_core_pushes_by_its_volume():
    """A ball of 10 mm: a quarter of 12 mm at 12 mm from its middle."""
    grid = Grid((30, 30, 30), np.eye(4) + 5 * np.eye(4, 4, 3))
    core = np.linalg.norm(np.indices(grid.shape).T - (14, 15, 13), axis=-1).T < 10
    push = Push.of_core(core, grid)
    assert push.centre_mm == pytest.approx((19, 15, 13))
    assert (push.radius_mm, push.most_mm) == pytest.approx((12, 3), rel=0.01)


def test_oedema_widens_the_whole_outline_alone_in_white_matter_to_one_side():
    head = phantom(60, 1.0)
    x, y, z = np.indices(head.grid.shape)
    whole = (x - 36) ** 2 + (y - 30) ** 2 + (z - 30) ** 2 < 6**2
    for i in range(5):
        wide = add_oedema(whole, head, np.random.default_rng(i))
        added = wide & ~whole
        assert (wide >= whole).all() and head.wm[added].min() > 0.5
        away = np.argwhere(added) - np.argwhere(whole).mean(axis=0)
        assert np.linalg.norm(away, axis=1).max() <= 6 + 15 + 1
        side = away.mean(axis=0)
        assert (away @ side > 0).mean() > 0.98  # a half space, but for the voxels' corners


def test_arms_share_the_truth_and_oedema_holds_no_cells(bearer, arms):
    cells, oedema = image(bearer, "a", arm_rng(1, 0, "b")), arms["b"]
    np.testing.assert_array_equal(cells.density.u, oedema.density.u)
    np.testing.assert_array_equal(cells.anatomy.wm, oedema.anatomy.wm)
    np.testing.assert_array_equal(cells.masks.core, oedema.masks.core)
    added = oedema.masks.whole & ~cells.masks.whole
    assert (oedema.masks.whole >= cells.masks.whole).all() and added.any()
    assert oedema.facts["oedema_ml"] == pytest.approx(added.sum() * cells.grid.voxel_ml)


@pytest.mark.parametrize("arm", ARMS)
def test_a_patient_is_what_it_says(arms, arm):
    patient = arms[arm]
    brain = patient.t1.values > 0
    core, whole = patient.masks.core, patient.masks.whole
    assert not (core & ~whole).any() and not (whole & ~brain).any()
    assert not patient.density.u[~patient.anatomy.solid].any()
    assert patient.density.u.min() >= 0 and patient.density.u.max() <= 1
    truth = patient.density.outlines()
    for drawn, true in ((core, truth.core), *([] if arm == "b" else [(whole, truth.whole)])):
        assert 0.6 < dice_of(drawn, true) < 1
    white = patient.anatomy.wm > 0.9
    inside, outside = (patient.t1.values[white & m].mean() for m in (core, ~whole))
    assert inside < 0.8 * outside


def test_thick_slices_are_the_means_of_thin_ones(bearer):
    thin = image(bearer, "a", arm_rng(1, 0, "a"))
    thick = image(dataclasses.replace(bearer, has_thick_slices=True), "a", arm_rng(1, 0, "a"))
    assert thick.grid.shape == (44, 48, 10) and thick.grid.spacing_mm == (2, 2, 8)
    np.testing.assert_allclose(
        thick.density.u[:, :, 3], thin.density.u[:, :, 12:16].mean(axis=2), atol=1e-6
    )
    voxel = np.array([20, 22, 3])
    np.testing.assert_allclose(
        thick.grid.to_world(voxel), thin.grid.to_world([20, 22, 13.5]), atol=1e-9
    )


def test_a_patient_depends_on_seed_number_and_arm_alone(bearer):
    again = image(make_bearer(1, 0), "b", arm_rng(1, 0, "b"))
    thick = dataclasses.replace(bearer, has_thick_slices=again.facts["has_thick_slices"])
    first = image(thick, "b", arm_rng(1, 0, "b"))
    np.testing.assert_array_equal(first.t1.values, again.t1.values)
    np.testing.assert_array_equal(first.masks.whole, again.masks.whole)
    for seed, number in ((2, 0), (1, 1)):
        other = make_bearer(seed, number)
        assert other.growth != bearer.growth
    assert not np.array_equal(
        arm_rng(1, 0, "a").standard_normal(3), arm_rng(1, 0, "b").standard_normal(3)
    )


def test_files_of_a_patient_are_read_as_what_they_were(arms, tmp_path):
    patient = arms["a"]
    t1, seg = patient.write(tmp_path)
    patient.write_truth(tmp_path)
    file = read_nifti(seg, "segmentation")
    found = outlines_from_labels(
        file.values, file.grid, label_convention("brats2021"), name="segmentation"
    )
    np.testing.assert_array_equal(found.core, patient.masks.core)
    np.testing.assert_array_equal(found.whole, patient.masks.whole)
    np.testing.assert_array_equal(np.asarray(nib.load(t1).dataobj), patient.t1.values)
    hidden = read_nifti(tmp_path / "density_true.nii.gz", "density")
    np.testing.assert_array_equal(hidden.values, patient.density.u)
    assert hidden.grid == file.grid == patient.grid
