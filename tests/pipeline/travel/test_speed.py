"""Speeds of pure and of mixed tissue."""

import numpy as np
import pytest

from glioquery.errors import InputError
from glioquery.pipeline.travel import GREY_SPEED, tissue_speed


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


def test_nothing_moves_in_fluid_or_outside_the_brain_unless_it_may():
    assert speeds(0.2, 0.2, 0.5) == speeds(0, 0, 0) == speeds(0, 0, 1) == 0
    assert speeds(0.2, 0.2, 0.5, in_csf=0.1) == pytest.approx(0.1)
    assert speeds(1, 0, 0, brain=False) == speeds(0, 0, 1, brain=False, in_csf=0.1) == 0


@pytest.mark.parametrize("wrong", [{"in_grey": 1.5}, {"in_csf": -0.1}, {"in_grey": np.nan}])
def test_a_speed_is_a_share(wrong):
    with pytest.raises(InputError, match="from 0 to 1"):
        speeds(1, 0, 0, **wrong)


def test_maps_lie_on_one_grid():
    cube, slab = np.zeros((2, 2, 2)), np.zeros((2, 2, 1))
    with pytest.raises(InputError, match="one grid"):
        tissue_speed(cube, cube, slab, cube > 0)
