"""Rigid and affine registration, whatever the frame that a header gives an image."""

import numpy as np
import pytest
from array_orders import SAGITTAL, reordered
from scipy import ndimage
from scipy.spatial.transform import Rotation

from glioquery.atlas import Grid
from glioquery.pipeline.alignment.comparison import Comparison, normalised_information
from glioquery.pipeline.alignment.linear import (
    POSE_MM,
    find_pose,
    fit_linear,
    refine_pose,
)
from glioquery.pipeline.alignment.transform import AtlasTransform
from glioquery.pipeline.images.nifti import Scan
from glioquery.pipeline.patient.coregistration import move

CENTRE = np.array([-120.0, 115, 75])
POLES = CENTRE + np.vstack([np.diag([68, 85, 60]), np.diag([-68, -85, -60])])


def motion(angles, shift):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine[:3, 3] = CENTRE - affine[:3, :3] @ CENTRE + shift
    return affine


def apart_mm(found, true, points=POLES):
    """Largest distance between two images of the points: by default the poles of a brain."""
    return np.linalg.norm(points @ (found - true)[:3, :3].T + (found - true)[:3, 3], axis=1).max()


def turned(scan, by):
    return Scan(scan.values, move(scan.grid, by))


@pytest.fixture(scope="module")
def template(atlas):
    return Scan(atlas.t1, atlas.t1_grid)


@pytest.fixture(scope="module")
def stretched(known):
    """The patient's affine alone: a rotation, a scaling and a shift."""
    return AtlasTransform.linear(known.affine)


@pytest.fixture(scope="module")
def patient(template, stretched, virtual):
    return stretched.image_to_patient(template, virtual.grid)


@pytest.fixture(scope="module")
def fitted(template, patient):
    return fit_linear(template, patient, find_pose(template, patient))


@pytest.mark.parametrize("seed", range(4))
def test_a_pose_is_found_from_any_turn_and_shift(brain_2mm, seed):
    rng = np.random.default_rng(seed)
    true = motion(rng.uniform(-30, 30, 3), rng.uniform(-60, 60, 3))
    found = find_pose(brain_2mm, turned(brain_2mm, true))
    np.testing.assert_allclose(found[:3, :3].T @ found[:3, :3], np.eye(3), atol=1e-9)
    assert apart_mm(found, true) < 0.5


@pytest.mark.parametrize(
    "true", [motion((20, 0, 0), (0, 0, 0)), motion((-25, 28, -20), (-40, 50, 60))]
)
def test_the_frame_of_a_header_does_not_matter(template, patient, fitted, true):
    image = turned(patient, true)
    found = fit_linear(template, image, find_pose(template, image))
    assert apart_mm(found, true @ fitted) < 0.1


def test_the_order_of_an_arrays_axes_does_not_matter(template, patient, fitted):
    image = Scan(*reordered(patient.values, patient.grid, SAGITTAL))
    assert apart_mm(fit_linear(template, image, find_pose(template, image)), fitted) < 0.001


def test_an_affine_map_is_recovered(fitted, stretched):
    # Half a voxel of the coarse comparison, and of the interpolated patient's 2 mm.
    assert apart_mm(fitted, stretched.affine) < 1.0


def test_a_rigid_fit_is_rigid_and_the_best_of_its_kind(template, patient, fitted):
    start = find_pose(template, patient)
    found = fit_linear(template, patient, start, kind="rigid")
    np.testing.assert_allclose(found[:3, :3].T @ found[:3, :3], np.eye(3), atol=1e-9)
    comparison = Comparison(template, patient, 4.0)
    assert comparison.loss_and_slope(found)[0] <= comparison.loss_and_slope(start)[0]
    assert comparison.loss_and_slope(fitted)[0] < comparison.loss_and_slope(found)[0]


CHANGES = {
    "shift": np.array([[0, 0, 0, 0.6], [0, 0, 0, -0.7], [0, 0, 0, 0.4]]),
    "growth": np.hstack([np.eye(3), -CENTRE[:, None]]) / 80,
    "turn": np.array([[0, 1, 0, -CENTRE[1]], [-1, 0, 0, CENTRE[0]], [0, 0, 0, 0]]) / 80,
}
"""Velocities of points, of about 1 mm at the surface of a brain."""


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("masked", [False, True])
def test_slopes_are_those_of_central_differences(template, patient, fitted, change, masked):
    counts = np.ones(patient.grid.shape, np.float32)
    counts[: 40 if masked else 0] = 0
    comparison = Comparison(template, patient, POSE_MM, counts)
    start = motion((3, -2, 2), (4, -5, 3)) @ fitted  # away from the best, where slopes are steep
    points = start[:3, :3] @ comparison.points + start[:3, 3:]
    velocity = CHANGES[change][:, :3] @ points + CHANGES[change][:, 3:]
    step = 0.02  # mm
    ends = []
    for sign in (1, -1):
        moved = start.copy()
        moved[:3] += sign * step * CHANGES[change] @ start
        ends.append(comparison.loss_and_slope(moved)[0])
    _, slope = comparison.loss_and_slope(start)
    # To the kinks of linear interpolation that lie in between.
    assert (slope * velocity).sum() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=0.01)


def test_what_does_not_count_changes_nothing(template, patient, fitted, virtual):
    counts = 1 - ndimage.binary_dilation(virtual.masks.whole, iterations=4).astype(np.float32)
    spoilt = np.where(counts == 0, 3 * patient.values.max(), patient.values).astype(np.float32)
    image = Scan(spoilt, patient.grid)
    start = find_pose(template, patient)
    kept = fit_linear(template, Scan(patient.values, patient.grid), start, counts=counts)
    found = fit_linear(template, image, start, counts=counts)
    # The two differ in what the comparison's own voxels mix across the border alone.
    assert apart_mm(found, kept) < 0.7
    assert apart_mm(kept, fitted) < 0.7
    assert apart_mm(fit_linear(template, image, start), fitted) > 2 * apart_mm(found, fitted)


@pytest.mark.parametrize("cut_mm", [24, 40])
def test_a_brain_that_is_cut_by_its_field_of_view_is_not_squeezed(
    template, patient, fitted, cut_mm
):
    top = np.flatnonzero((patient.values > 0).any(axis=(0, 1)))[-1]
    cut = top - cut_mm // 2
    image = Scan(
        patient.values[:, :, :cut], Grid((*patient.grid.shape[:2], cut), patient.grid.affine)
    )
    found = fit_linear(template, image, find_pose(template, image))
    seen = POLES[POLES[:, 2] < image.grid.to_world([0, 0, cut])[2]]
    assert apart_mm(found, fitted, seen) < 2.0


@pytest.mark.parametrize("angles", [(15, -20, 10), (-28, 5, 25)])
def test_another_contrast_is_found_by_information(brain_2mm, angles):
    v = brain_2mm.values / np.percentile(brain_2mm.values[brain_2mm.values > 0], 99)
    flair = np.where(v > 0.1, np.exp(-(((v - 0.55) / 0.25) ** 2)), 0).astype(np.float32)
    true = motion(angles, (20, -35, 15))
    other = turned(Scan(flair, brain_2mm.grid), true)
    pose = find_pose(brain_2mm, other, measure="information")
    assert apart_mm(pose, true) < 4.0
    assert apart_mm(refine_pose(brain_2mm, other, pose), true) < 0.7


def test_an_empty_place_has_no_correlation(template, patient):
    comparison = Comparison(template, patient, 10.0)
    away = np.eye(4)
    away[0, 3] = 900
    loss, slope = comparison.loss_and_slope(away)
    assert loss == 2 and not slope.any()
    assert comparison.loss_by("correlation")(np.array([0, 0, 0, 900.0, 0, 0])) == 2


def test_information_of_equal_and_of_independent_values():
    a, b = np.random.default_rng(0).uniform(0, 1, (2, 200_000))
    assert normalised_information(a, a) == pytest.approx(1)
    assert normalised_information(a, 1 - a) > 0.6
    assert normalised_information(a, b) < 0.01
