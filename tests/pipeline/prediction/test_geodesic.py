"""The part of a brain that is nearest through tissue: sizes, barriers, ways around, no way."""

import numpy as np
import pytest

from glioquery.pipeline.prediction.geodesic import nearest_through_tissue, open_tumour
from glioquery.pipeline.travel import GREY_SPEED

SHAPE, SPACING = (41, 40, 9), (1.0, 1.0, 2.0)


@pytest.fixture(scope="module")
def outline():
    mask = np.zeros(SHAPE, bool)
    mask[10:14, 18:22, 3:6] = True
    return mask


def everywhere(value=1.0):
    return np.full(SHAPE, value, np.float32)


BRAIN = np.ones(SHAPE, bool)


@pytest.mark.parametrize("more", [0, 1, 5, 700, 9000])
def test_the_part_has_the_size_that_is_asked_for(outline, more):
    n = int(outline.sum()) + more
    found = nearest_through_tissue(outline, BRAIN, everywhere(), SPACING, n)
    assert found.sum() == n and found[outline].all()


def test_in_one_tissue_it_is_the_margin(outline):
    found = nearest_through_tissue(outline, BRAIN, everywhere(), SPACING, 3000)
    inside, outside = np.argwhere(found & ~outline), np.argwhere(~found)
    voxels = np.argwhere(outline)

    def away(points):
        return np.array([np.linalg.norm((voxels - p) * SPACING, axis=1).min() for p in points])

    assert away(inside).max() < away(outside).min() + 0.6


def test_what_fluid_parts_is_reached_around_it_or_last(outline):
    speed = everywhere()
    speed[18:20] = 0
    closed = nearest_through_tissue(outline, BRAIN, speed, SPACING, 3000)
    assert not closed[18:].any()
    speed[18:20, 36:] = 1
    around = nearest_through_tissue(outline, BRAIN, speed, SPACING, 8000)
    assert not around[20:, :20].any() and around[20:].any()
    rest = nearest_through_tissue(outline, BRAIN, np.where(speed == 0, 0, speed), SPACING, 14000)
    assert rest[:18].all() and rest.sum() == 14000


def test_where_no_tissue_leads_the_nearest_in_a_straight_line_fills_up(outline):
    speed = everywhere(0)
    speed[8:16, 16:24] = 1
    found = nearest_through_tissue(outline, BRAIN, speed, SPACING, 3000)
    assert found.sum() == 3000 and found[8:16, 16:24].all()
    beyond = found & (speed == 0)
    beyond[8:16, 16:24] = False
    voxels = np.argwhere(outline)
    away = [np.linalg.norm((voxels - p) * SPACING, axis=1).min() for p in np.argwhere(beyond)]
    free = ~found & (speed == 0)
    nearest = min(
        np.linalg.norm((voxels - p) * SPACING, axis=1).min() for p in np.argwhere(free)[::7]
    )
    assert max(away) <= nearest + 1e-6


def test_what_is_outlined_as_tumour_is_no_fluid(outline):
    fluid = everywhere()
    fluid[14:20] = 0
    whole = outline.copy()
    whole[10:22, 14:26] = True
    speed = open_tumour(fluid, whole, BRAIN)
    assert speed[whole & (fluid == 0)] == pytest.approx(GREY_SPEED)
    np.testing.assert_array_equal(speed[~whole], fluid[~whole])
    found = nearest_through_tissue(outline, BRAIN, speed, SPACING, 9000)
    assert found[22:].any() and not found[~whole & (fluid == 0)].any()


def test_no_way_leads_outside_the_brain(outline):
    brain = BRAIN.copy()
    brain[16:18] = False
    speed = open_tumour(everywhere(), outline, brain)
    found = nearest_through_tissue(outline, brain, speed, SPACING, 4000)
    assert not found[16:].any() and found.sum() == 4000


def test_an_outline_partly_outside_the_brain_counts_what_is_inside(outline):
    brain = BRAIN.copy()
    brain[:12] = False
    speed = open_tumour(everywhere(), outline, brain)
    found = nearest_through_tissue(outline, brain, speed, SPACING, 500)
    assert found.sum() == 500 and found[outline & brain].all() and not found[~brain].any()
