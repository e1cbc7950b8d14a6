"""Speeds of pure and of mixed tissue, and what a front meets with them."""

import numpy as np
import pytest

from glioquery.atlas import Grid
from glioquery.errors import InputError
from glioquery.pipeline.travel import CSF_SPEED, GREY_SPEED, Terrain, tissue_speed
from glioquery.solver import TumorMasks


def speeds(wm, gm, csf, brain=True, **speed):
    maps = (np.full((1, 1, 1), value, np.float32) for value in (wm, gm, csf))
    found = tissue_speed(*maps, np.full((1, 1, 1), brain), **speed)
    assert found.dtype == np.float32
    return float(found[0, 0, 0])


def test_a_front_in_grey_matter_is_as_slow_as_a_fifth_of_the_diffusion_makes_it():
    assert speeds(1, 0, 0) == 1
    assert speeds(0, 1, 0) == pytest.approx(GREY_SPEED) == pytest.approx(0.447214)
    assert speeds(0.5, 0.5, 0) == pytest.approx(np.sqrt(0.6))
    assert speeds(0.4, 0.2, 0.3) == pytest.approx(np.sqrt(2 / 3 + 1 / 15))  # of tissue alone
    assert speeds(0, 1, 0, in_grey=0.25) == 0.25


def test_fluid_slows_a_front_and_nothing_moves_outside_the_brain():
    assert speeds(0.2, 0.2, 0.5) == speeds(0, 0, 0) == speeds(0, 0, 1) == pytest.approx(CSF_SPEED)
    assert 0 < CSF_SPEED < GREY_SPEED
    assert speeds(0.2, 0.2, 0.5, in_csf=0) == 0
    assert speeds(1, 0, 0, brain=False) == speeds(0, 0, 1, brain=False) == 0


def test_what_is_outlined_as_tumour_is_no_fluid():
    tumour = np.ones((1, 1, 1), bool)
    for maps in ((0, 0, 1), (0, 0, 0), (0.2, 0.2, 0.5)):
        assert speeds(*maps, tumour=tumour) == pytest.approx(GREY_SPEED)
        assert speeds(*maps, tumour=~tumour) == pytest.approx(CSF_SPEED)
    assert speeds(1, 0, 0, tumour=tumour) == 1
    assert speeds(0, 0, 1, brain=False, tumour=tumour) == 0


@pytest.mark.parametrize("wrong", [{"in_grey": 1.5}, {"in_csf": -0.1}, {"in_grey": np.nan}])
def test_a_speed_is_a_share(wrong):
    with pytest.raises(InputError, match="from 0 to 1"):
        speeds(1, 0, 0, **wrong)


def test_maps_lie_on_one_grid():
    cube, slab = np.zeros((2, 2, 2)), np.zeros((2, 2, 1))
    with pytest.raises(InputError, match="one grid"):
        tissue_speed(cube, cube, slab, cube > 0)
    with pytest.raises(InputError, match="one grid"):
        tissue_speed(cube, cube, cube, cube > 0, slab > 0)


def test_a_terrain_is_one_grid_and_fast_in_the_brain_alone():
    brain = np.zeros((3, 4, 5), bool)
    brain[1:, 1:] = True
    masks = TumorMasks(brain, brain, Grid(brain.shape, np.eye(4)))
    assert Terrain(masks, brain, brain.astype(np.float32)).grid == masks.grid
    with pytest.raises(InputError, match="outlines' grid"):
        Terrain(masks, brain, np.zeros((3, 4, 4), np.float32))
    with pytest.raises(InputError, match="stays in the brain"):
        Terrain(masks, brain, np.ones(brain.shape, np.float32))
