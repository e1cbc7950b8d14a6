import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glioquery.atlas import Grid
from glioquery.query import dice_from_counts, dice_of_masks
from glioquery.solver import TumorMasks


@given(st.integers(0, 2**21), st.integers(0, 2**21), st.integers(0, 2**21))
def test_a_bound_on_the_intersection_bounds_the_dice_in_floating_point(a, b, c):
    i, bound = sorted((a, b))
    total = bound + c
    dice = dice_from_counts([i, bound], total)
    assert dice[0] <= dice[1]
    if total:  # Python's own division of integers, correctly rounded too
        assert dice.tolist() == [2 * i / total, 2 * bound / total]


def test_dice_of_masks():
    grid = Grid((4, 1, 1), np.eye(4))

    def masks(core, whole):
        return TumorMasks(
            *(np.array(m, bool).reshape(grid.shape) for m in (core, whole)), grid=grid
        )

    query = masks([0, 0, 0, 0], [1, 1, 0, 0])
    tumor = masks([0, 0, 0, 0], [0, 1, 1, 1])
    assert dice_of_masks(query, tumor) == (0.0, 2 * 1 / (2 + 3))
    assert dice_of_masks(query, tumor, empty_score=1.0) == (1.0, 0.4)
    assert dice_of_masks(query, masks([0, 1, 0, 0], [1, 1, 0, 0]), empty_score=1.0) == (0.0, 1.0)
    other = TumorMasks(query.core, query.whole, Grid((4, 1, 1), np.diag([2, 1, 1, 1])))
    with pytest.raises(ValueError, match=r"on a grid of .*, the tumour .* needs .*: resample"):
        dice_of_masks(query, other)
