"""A patient's own images come together; the brain is found in a head."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from glioquery.atlas import SIMULATION_GRID, Grid
from glioquery.pipeline.alignment.linear import find_pose
from glioquery.pipeline.alignment.transform import AtlasTransform
from glioquery.pipeline.images.coarsening import coarsen
from glioquery.pipeline.images.foreground import foreground, shows_head
from glioquery.pipeline.images.nifti import Scan
from glioquery.pipeline.patient.brain import extract_brain
from glioquery.pipeline.patient.coregistration import SPACING_MM, align, measure_agreement, move
from glioquery.query.dice import dice_of

CENTRE = np.array([-120.0, 115, 75])


@pytest.fixture(scope="module")
def motion():
    """Ten degrees and some centimetres."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [8, -3, 5], degrees=True).as_matrix()
    affine[:3, 3] = CENTRE - affine[:3, :3] @ CENTRE + [12, -9, 6]
    return affine


@pytest.fixture(scope="module")
def head(brain_2mm):
    """The atlas's brain in fluid, bone and a bright scalp, on a torso of neck."""
    brain = foreground(brain_2mm.values)
    distance = ndimage.distance_transform_edt(~brain) * 2
    values = np.where(brain, brain_2mm.values, 0)
    values[(distance > 0) & (distance <= 3)] = 60
    values[(distance > 9) & (distance <= 15)] = 2200
    return Scan(values.astype(np.float32), brain_2mm.grid), brain


def error_mm(found, true):
    """Largest distance over the six poles of a brain, where a rotation shows most."""
    poles = CENTRE + np.vstack([np.diag([68, 85, 60]), np.diag([-68, -85, -60])])
    apart = poles @ (found - true)[:3, :3].T + (found - true)[:3, 3]
    return np.linalg.norm(apart, axis=1).max()


def other_contrast(scan):
    """As on FLAIR: fluid dark, grey matter brighter than white."""
    v = scan.values / np.percentile(scan.values[scan.values > 0], 99)
    return Scan(np.where(v > 0.1, 600 * np.exp(-(((v - 0.55) / 0.25) ** 2)), 0), scan.grid)


@pytest.mark.parametrize("apart_mm", [pytest.param(0, marks=pytest.mark.slow), 400])
def test_another_contrast_on_thick_moved_slices_is_aligned(brain_2mm, motion, apart_mm):
    # Far apart, the headers' frames are no start and the centres of mass are.
    far = np.eye(4)
    far[0, 3] = apart_mm
    true = motion @ far
    thick = Grid((100, 120, 32), np.diag([2.0, 2, 5, 1]) + np.outer([-220, -5, 0, 0], [0, 0, 0, 1]))
    seen = AtlasTransform.linear(motion).image_to_atlas(other_contrast(brain_2mm), thick)
    moving = Scan(seen.values, move(thick, np.linalg.inv(far)))
    found = align(moving, brain_2mm)
    # One voxel of the comparison, less than half a slice.
    assert error_mm(found, true) < SPACING_MM
    if apart_mm == 0:
        np.testing.assert_array_equal(found, align(moving, brain_2mm))


def test_agreement_falls_when_images_part(brain_2mm, motion):
    other = other_contrast(brain_2mm)
    together = measure_agreement(brain_2mm, other)
    apart = measure_agreement(brain_2mm, Scan(other.values, move(other.grid, motion)))
    assert together > 0.3 > 2 * apart
    assert measure_agreement(brain_2mm, brain_2mm) > 0.9
    far = np.eye(4)
    far[0, 3] = 900
    assert measure_agreement(brain_2mm, Scan(other.values, move(other.grid, far))) == 0


def test_a_head_is_one_and_a_brain_is_none(head, brain_2mm):
    assert shows_head(head[0])
    assert not shows_head(brain_2mm)


@pytest.mark.parametrize("angles", [(8, -3, 5), (-25, 20, -15)])
def test_pose_of_a_brain_in_a_head(head, brain_2mm, angles):
    scan, brain = head
    true = np.eye(4)
    true[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    true[:3, 3] = CENTRE - true[:3, :3] @ CENTRE + [12, -9, 6]
    alike = coarsen(Scan(np.where(brain, scan.values, 0) / 700, scan.grid), 4.0)
    moved = Scan(brain_2mm.values, move(brain_2mm.grid, np.linalg.inv(true)))
    assert error_mm(find_pose(moved, alike, head=True), true) < 2.0


@pytest.mark.slow
def test_the_brain_is_found_in_a_head(head, known):
    scan, brain = head
    grid = Grid(
        (110, 130, 40),
        np.array([[-2, 0, 0, -5], [0, -2, 0, 240], [0, 0, 4.5, -25], [0, 0, 0, 1.0]]),
    )
    patient = known.image_to_patient(scan, grid)
    truth = (
        known.image_to_patient(Scan(brain.astype(np.float32), SIMULATION_GRID), grid).values > 0.5
    )
    found = extract_brain(patient)
    assert dice_of(found, truth) > 0.95
