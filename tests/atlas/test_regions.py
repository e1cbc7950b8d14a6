import numpy as np
import pytest
from scipy import ndimage

from glioquery.atlas import Grid
from glioquery.atlas.regions import (
    bounding_box,
    corners_mm,
    largest_component,
    mean_of_blocks,
    signed_distance_mm,
    squared_distances,
    without_holes,
)


@pytest.mark.parametrize("seed", range(5))
def test_the_box_is_scipys(seed):
    rng = np.random.default_rng(seed)
    mask = ndimage.binary_dilation(rng.random((9, 12, 7)) < 0.005, iterations=seed)
    mask[tuple(rng.integers(mask.shape))] = True
    (expected,) = ndimage.find_objects(mask.astype(int))
    assert bounding_box(mask) == expected


def test_a_margin_ends_with_the_grid_and_an_empty_mask_has_an_empty_box():
    mask = np.zeros((9, 12, 7), bool)
    assert mask[bounding_box(mask, 3)].size == 0
    mask[1:3, 5, 4:] = True
    assert bounding_box(mask, [2, 1, 1]) == (slice(0, 5), slice(4, 7), slice(3, 7))


def test_corners_are_those_of_the_outermost_centres():
    mask = np.zeros((5, 6, 7), bool)
    mask[1, 2, 3] = mask[3, 4, 3] = True
    grid = Grid(mask.shape, np.diag([-2.0, 1, 3, 1]))
    corners = corners_mm(mask, grid)
    assert {tuple(corner) for corner in corners} == {
        (x, y, 9.0) for x in (-2.0, -6.0) for y in (2.0, 4.0)
    }


def test_pieces_hang_together_across_faces_alone():
    mask = np.zeros((6, 6, 6), bool)
    mask[0, 0, :3] = True
    mask[1, 1, 3:] = True  # touches the first across an edge
    mask[1, 2, 5] = True
    largest = largest_component(mask)
    assert largest.sum() == 4 and largest[1, 2, 5]
    assert not largest_component(np.zeros_like(mask)).any()


@pytest.mark.parametrize("seed", range(8))
def test_holes_are_scipys(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((9, 12, 7)) < rng.uniform(0.5, 0.95)
    np.testing.assert_array_equal(without_holes(mask), ndimage.binary_fill_holes(mask))
    inner = np.zeros_like(mask)
    inner[2:7, 2:9, 2:6] = mask[2:7, 2:9, 2:6]
    np.testing.assert_array_equal(without_holes(inner), ndimage.binary_fill_holes(inner))
    assert not without_holes(np.zeros_like(mask)).any() and without_holes(np.ones_like(mask)).all()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("axis", range(3))
def test_holes_of_slices_are_scipys(seed, axis):
    rng = np.random.default_rng(seed)
    mask = rng.random((9, 12, 7)) < rng.uniform(0.4, 0.9)
    mask[:, :, 5:] &= rng.random() < 0.5  # so that the box is not always the whole
    slices = np.moveaxis(mask, axis, 0)
    expected = np.stack([ndimage.binary_fill_holes(values) for values in slices])
    np.testing.assert_array_equal(np.moveaxis(without_holes(mask, across=axis), axis, 0), expected)
    assert not without_holes(np.zeros_like(mask), across=axis).any()


@pytest.mark.parametrize("block", [(1, 1, 1), (2, 2, 2), (3, 1, 2), (1, 4, 5)])
@pytest.mark.parametrize("order", "CF")
def test_blocks_have_the_mean_of_their_voxels(block, order):
    shape = tuple(n * size for n, size in zip(block, (4, 3, 2), strict=True))
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32, order=order)
    found = mean_of_blocks(values, block)
    assert found.shape == (4, 3, 2) and found.dtype == np.float32
    for place in np.ndindex(found.shape):
        voxels = tuple(slice(i * n, (i + 1) * n) for i, n in zip(place, block, strict=True))
        assert found[place] == np.float32(values[voxels].mean(dtype=np.float64))


@pytest.mark.parametrize("seed", range(5))
def test_a_signed_distance_is_that_of_both_sides(seed):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.standard_normal((14, 17, 9)), 1.5) > 0.05
    spacing = (0.9375, 1.2, 5.0)
    outside, inside = (ndimage.distance_transform_edt(side, spacing) for side in (~mask, mask))
    np.testing.assert_array_equal(signed_distance_mm(mask, spacing), outside - inside)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 3.0, 1.2)])
def test_squared_distances_are_those_of_the_voxels_in_their_order(spacing):
    rng = np.random.default_rng(3)
    mask, point = rng.random((5, 7, 4)) < 0.4, rng.uniform(-2, 9, 3)
    expected = (((np.argwhere(mask) - point) * spacing) ** 2).sum(axis=1)
    found = squared_distances(point, mask, spacing)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
