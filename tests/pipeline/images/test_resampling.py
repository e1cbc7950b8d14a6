"""Images and outlines on other grids of one world."""

import numpy as np
import pytest
from array_orders import ORDERS, reordered

from glioquery.atlas import Grid
from glioquery.pipeline.images.nifti import Scan
from glioquery.pipeline.images.resampling import (
    extend_from_tissue,
    in_order_of,
    resample_image,
    resample_images,
    resample_in_tissue,
    resample_masks,
)
from glioquery.solver import TumorMasks

COARSE = Grid((12, 10, 9), np.diag([2.0, 2, 2, 1]))


def test_on_its_own_grid_nothing_changes():
    rng = np.random.default_rng(0)
    scan = Scan(rng.random(COARSE.shape).astype(np.float32), COARSE)
    np.testing.assert_array_equal(resample_image(scan, COARSE).values, scan.values)
    mask = np.zeros(COARSE.shape, bool)
    mask[3:8, :4, 2:] = True
    np.testing.assert_array_equal(resample_masks(TumorMasks(mask, mask, COARSE), COARSE).core, mask)


@pytest.mark.parametrize("order", ORDERS)
def test_outlines_on_the_same_voxels_are_reordered_and_not_smoothed(order):
    core = np.random.default_rng(1).random((6, 5, 4)) < 0.3  # every other voxel an edge
    grid = Grid(core.shape, [[0, -1.2, 0.1, 3], [2, 0, 0, -4], [0, 0.2, 3, 5], [0, 0, 0, 1]])
    turned, there = reordered(core, grid, order)
    found = in_order_of(there, TumorMasks(core, core, grid))
    assert found.grid == there
    np.testing.assert_array_equal(found.whole, turned)
    moved = Grid(there.shape, there.affine @ np.array(np.eye(4) + 0.5 * np.eye(4, k=3)))
    given = TumorMasks(core, core, grid)
    assert in_order_of(moved, given) is given  # half a voxel away


def test_voxels_of_another_size_get_what_lies_there():
    scan = Scan(np.random.default_rng(1).random(COARSE.shape).astype(np.float32), COARSE)
    affine = np.eye(4)
    affine[:3, 3] = -0.5
    fine = Grid(tuple(2 * n for n in COARSE.shape), affine)
    nearest = resample_image(scan, fine, nearest=True).values
    for axis in range(3):
        nearest = nearest.take(range(0, nearest.shape[axis], 2), axis)
    np.testing.assert_array_equal(nearest, scan.values)
    # Averaged over the points at -1.5, -0.5, 0.5 and 1.5 mm from the middle of a voxel of 4 mm.
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, 3] = 1
    means = resample_image(scan, Grid((6, 5, 4), affine), averaged=True).values
    expected = scan.values
    for axis in range(3):
        windows = np.lib.stride_tricks.sliding_window_view(expected, 4, axis)
        expected = (windows @ np.array([1, 7, 7, 1]) / 16).take(
            range(1, windows.shape[axis], 2), axis
        )
    np.testing.assert_allclose(means[1:5, 1:4, 1:4], expected, rtol=1e-5)


def test_what_is_little_tissue_gets_nothing_and_the_rest_its_full_value():
    tissue = np.zeros(COARSE.shape, bool)
    tissue[:6] = True
    affine = np.diag([2.0, 2, 2, 1])
    shifted = affine.copy()
    shifted[0, 3] = 0.8  # 0.4 voxels
    given = np.where(tissue, np.random.default_rng(0).random(COARSE.shape, np.float32), 0)
    (values,) = resample_in_tissue([given], COARSE, Grid(COARSE.shape, shifted), tissue)
    wide = extend_from_tissue(given, tissue)
    np.testing.assert_allclose(values[:6], 0.6 * wide[:6] + 0.4 * wide[1:7], rtol=1e-5)
    assert not values[6:].any()


@pytest.mark.parametrize("axis", range(3))
def test_outlines_in_the_last_slices_keep_all_of_them(axis):
    """A field of view ends half a voxel beyond its outermost centres."""
    spacing = np.where(np.arange(3) == axis, 5.0, 1.0)
    shape = tuple(np.where(np.arange(3) == axis, 6, 30))
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (spacing - 1) / 2
    thick = Grid(shape, affine)
    fine = Grid(tuple(np.array(shape) * spacing.astype(int)), np.eye(4))
    mask = np.zeros(shape, bool)
    inner = [slice(8, 20)] * 3
    for end in (slice(0, 2), slice(4, 6)):
        inner[axis] = end
        mask[tuple(inner)] = True
    carried = resample_masks(TumorMasks(mask, mask, thick), fine)
    np.testing.assert_array_equal(carried.whole, np.repeat(mask, 5, axis=axis))


def test_extension_is_the_mean_of_tissue_neighbours_and_touches_no_tissue():
    rng = np.random.default_rng(2)
    tissue = rng.random((9, 8, 7)) < 0.3
    values = rng.random(tissue.shape).astype(np.float32)
    extended = extend_from_tissue(values, tissue)
    np.testing.assert_array_equal(extended[tissue], values[tissue])
    padded = np.pad(np.where(tissue, values, np.nan), 1, constant_values=np.nan)
    for index in np.argwhere(~tissue[1:-1, 1:-1, 1:-1])[::7] + 1:
        around = padded[tuple(slice(i, i + 3) for i in index)]
        expected = 0 if np.isnan(around).all() else np.nanmean(around)
        assert extended[tuple(index)] == pytest.approx(expected, abs=1e-5)


def test_of_voxels_that_are_asked_for_nothing_else_is_looked_up():
    rng = np.random.default_rng(0)
    values, asked = rng.random(COARSE.shape, np.float32), rng.random(COARSE.shape) < 0.3
    there = Grid(COARSE.shape, COARSE.affine + 0.7 * np.eye(4, 4, 3))  # between the voxels
    (everything,) = resample_images([values], COARSE, there)
    assert (everything != values).all()
    (part,) = resample_images([values], COARSE, there, within=asked)
    np.testing.assert_array_equal(part, np.where(asked, everything, 0))
    tissue = rng.random(COARSE.shape) < 0.7
    (everywhere,) = resample_in_tissue([values], COARSE, there, tissue)
    (some,) = resample_in_tissue([values], COARSE, there, tissue, within=asked)
    np.testing.assert_array_equal(some, np.where(asked, everywhere, 0))
    (nowhere,) = resample_images([values], COARSE, there, within=np.zeros(COARSE.shape, bool))
    assert not nowhere.any()
