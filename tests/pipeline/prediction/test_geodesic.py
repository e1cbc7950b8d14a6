"""The part of a brain that is nearest through tissue: sizes, barriers, ways around, no way."""

import numpy as np
import pytest

from glioquery.atlas import Grid
from glioquery.pipeline.prediction.geodesic import nearest_through_tissue
from glioquery.pipeline.travel import Terrain
from glioquery.solver import TumorMasks

SHAPE, SPACING = (41, 40, 9), (1.0, 1.0, 2.0)


@pytest.fixture(scope="module")
def outline():
    mask = np.zeros(SHAPE, bool)
    mask[10:14, 18:22, 3:6] = True
    return mask


BRAIN = np.ones(SHAPE, bool)
GRID = Grid(SHAPE, np.diag([*SPACING, 1.0]))


def everywhere(value=1.0):
    return np.full(SHAPE, value, np.float32)


def nearest(outline, speed, n, brain=BRAIN):
    terrain = Terrain(TumorMasks(outline, outline, GRID), brain, np.where(brain, speed, 0))
    return nearest_through_tissue("core", terrain, n)


@pytest.mark.parametrize("more", [0, 1, 5, 700, 9000])
def test_the_part_has_the_size_that_is_asked_for(outline, more):
    n = int(outline.sum()) + more
    found = nearest(outline, everywhere(), n)
    assert found.sum() == n and found[outline].all()


def test_in_one_tissue_it_is_the_margin(outline):
    found = nearest(outline, everywhere(), 3000)
    inside, outside = np.argwhere(found & ~outline), np.argwhere(~found)
    voxels = np.argwhere(outline)

    def away(points):
        return np.array([np.linalg.norm((voxels - p) * SPACING, axis=1).min() for p in points])

    assert away(inside).max() < away(outside).min() + 0.6


def test_what_fluid_parts_is_reached_around_it_or_last(outline):
    speed = everywhere()
    speed[18:20] = 0
    closed = nearest(outline, speed, 3000)
    assert not closed[18:].any()
    speed[18:20, 36:] = 1
    around = nearest(outline, speed, 8000)
    assert not around[20:, :20].any() and around[20:].any()
    rest = nearest(outline, speed, 14000)
    assert rest[:18].all() and rest.sum() == 14000


def test_where_no_tissue_leads_the_nearest_in_a_straight_line_fills_up(outline):
    speed = everywhere(0)
    speed[8:16, 16:24] = 1
    found = nearest(outline, speed, 3000)
    assert found.sum() == 3000 and found[8:16, 16:24].all()
    beyond = found & (speed == 0)
    beyond[8:16, 16:24] = False
    voxels = np.argwhere(outline)
    away = [np.linalg.norm((voxels - p) * SPACING, axis=1).min() for p in np.argwhere(beyond)]
    free = ~found & (speed == 0)
    next_one = min(
        np.linalg.norm((voxels - p) * SPACING, axis=1).min() for p in np.argwhere(free)[::7]
    )
    assert max(away) <= next_one + 1e-6


def test_no_way_leads_outside_the_brain(outline):
    brain = BRAIN.copy()
    brain[16:18] = False
    found = nearest(outline, everywhere(), 4000, brain)
    assert not found[16:].any() and found.sum() == 4000


def test_an_outline_partly_outside_the_brain_counts_what_is_inside(outline):
    brain = BRAIN.copy()
    brain[:12] = False
    found = nearest(outline, everywhere(), 500, brain)
    assert found.sum() == 500 and found[outline & brain].all() and not found[~brain].any()


def test_a_front_is_followed_beyond_what_the_terrain_knows(outline):
    """Half of the tissue takes more than 60 mm of travel time, and is not nearer in a line."""
    speed = everywhere()
    speed[16:] = 0.1
    speed[16:, :4] = 1  # a fast way around
    n = int(outline.sum()) + int((speed[:16] == 1).sum()) + 5000
    slow = nearest(outline, speed, n)
    terrain = Terrain(TumorMasks(outline, outline, GRID), BRAIN, speed, 1000.0)
    np.testing.assert_array_equal(slow, nearest_through_tissue("core", terrain, n))


def test_of_voxels_that_are_reached_at_once_those_near_the_centre_come_first():
    """A plate: all voxels of the layer beside it are reached at one time."""
    plate = np.zeros(SHAPE, bool)
    plate[10] = True
    brain = BRAIN.copy()
    brain[:10] = False
    n_more = 40
    found = nearest(plate, everywhere(), int(plate.sum()) + n_more, brain) & ~plate
    assert found[11].sum() == n_more  # of 360
    y, z = np.indices(SHAPE[1:])
    off = ((y - (SHAPE[1] - 1) / 2) * SPACING[1]) ** 2 + (
        (z - (SHAPE[2] - 1) / 2) * SPACING[2]
    ) ** 2
    assert off[found[11]].max() <= off[~found[11]].min()
