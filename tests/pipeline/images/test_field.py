"""The part of an image around the brain: what is cut off, and how it is laid back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glioquery.atlas import Grid
from glioquery.pipeline.images import Field, Scan, coarsen
from glioquery.pipeline.images.field import BLOCK, MARGIN_MM
from glioquery.solver import TumorDensity, TumorMasks

sizes = st.integers(1, 45)


@given(st.tuples(sizes, sizes, sizes), st.tuples(*3 * [st.floats(0.7, 6)]), st.integers(0, 2**32))
def test_it_holds_the_mask_with_a_margin_and_leaves_out_whole_blocks(shape, spacing, seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, bool)
    for _ in range(2):
        mask[tuple(rng.integers(shape))] = True
    field = Field.around(mask, Grid(shape, np.diag([*spacing, 1])))
    for axis, (side, n, mm) in enumerate(zip(field.box, shape, spacing, strict=True)):
        inside = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        margin = int(np.ceil(MARGIN_MM / field.whole.spacing_mm[axis]))
        first, last = max(0, inside[0] - margin), min(n - 1, inside[-1] + margin)
        assert side.start % BLOCK == 0 == (n - side.stop) % BLOCK
        assert side.start <= first < side.start + BLOCK
        assert side.stop - BLOCK <= last < side.stop, mm


@given(st.integers(0, 2**32))
def test_what_is_cut_is_laid_back_in_its_place(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(10, 40, 3))
    affine = np.diag([*rng.uniform(0.5, 3, 3), 1])
    affine[:3, 3] = rng.uniform(-90, 90, 3)
    mask = np.zeros(shape, bool)
    mask[tuple(rng.integers(shape))] = True
    field = Field.around(mask, Grid(shape, affine))
    values = rng.random(shape).astype(np.float32)
    there = field.laid(field.cut(values))
    expected = np.zeros(shape, np.float32)
    expected[field.box] = values[field.box]
    np.testing.assert_array_equal(there, expected)
    masks = field.cut_masks(TumorMasks(mask, mask, field.whole))
    assert field.laid(masks.whole).dtype == bool
    (at,) = masks.grid.to_world(np.argwhere(masks.whole))
    np.testing.assert_allclose(at, field.whole.to_world(np.argwhere(mask)[0]))
    density = field.laid_density(TumorDensity(field.cut(values), field.grid))
    assert density.grid == field.whole
    np.testing.assert_array_equal(density.u, expected)


@pytest.mark.parametrize("flip", [1, -1])
@pytest.mark.parametrize("block", [2, 4])
def test_blocks_are_averaged_in_it_as_in_the_whole(flip, block):
    rng = np.random.default_rng(block)
    grid = Grid((61, 50, 43), np.diag([flip, flip, flip, 1.0]))
    values = np.zeros(grid.shape, np.float32)
    values[30:40, 20:30, 15:30] = rng.random((10, 10, 15))
    field = Field.around(values > 0, grid)
    whole = coarsen(Scan(values, grid), block)
    part = coarsen(Scan(field.cut(values), field.grid), block)
    assert part.values.size < whole.values.size
    at = np.argwhere(part.values > 0)
    there = np.rint(whole.grid.to_voxel(part.grid.to_world(at))).astype(int)
    np.testing.assert_array_equal(part.values[tuple(at.T)], whole.values[tuple(there.T)])
    assert len(at) == np.count_nonzero(whole.values)
