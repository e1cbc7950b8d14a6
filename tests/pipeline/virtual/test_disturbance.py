"""Outlines that are off by a stated distance, and smooth noise."""

import numpy as np
import pytest
from scipy import ndimage

from glioquery.atlas import Grid
from glioquery.pipeline.virtual.disturbance import NOISE_MM, disturb
from glioquery.pipeline.virtual.smooth_noise import smooth_noise
from glioquery.solver import TumorMasks


def half_spaces(spacing, thickness=None):
    """Outlines whose boundaries are planes: what moves them is read off column by column."""
    shape = (60, 64, 48)
    z = np.indices(shape)[2]
    affine = np.diag([spacing, spacing, thickness or spacing, 1])
    return TumorMasks(z < 16, z < 26, Grid(shape, affine))


@pytest.mark.parametrize(
    ("spacing", "thickness"), [(1.0, 1.0), (2.0, 2.0), (1.0, 2.0), (1.0, 3.0), (1.0, 5.0)]
)
def test_boundaries_move_by_the_stated_deviation(spacing, thickness):
    masks = half_spaces(spacing, thickness)
    everywhere = np.ones(masks.grid.shape, bool)
    moved = []
    for i in range(3):
        found = disturb(masks, everywhere, np.random.default_rng(i))
        moved.append(thickness * (found.whole.sum(axis=2) - 26))
    drawn = NOISE_MM * np.random.default_rng(0).standard_normal(100_000)
    in_slices = thickness * np.rint(drawn / thickness)  # a boundary moves by whole slices
    assert np.std(moved) == pytest.approx(np.std(in_slices), rel=0.15)
    assert abs(np.mean(moved)) < 0.3


def test_a_disturbed_core_stays_in_the_whole_and_both_in_what_they_may_hold():
    masks = half_spaces(1.0)
    within = np.indices(masks.grid.shape)[0] > 10
    found = disturb(masks, within, np.random.default_rng(1))
    assert not (found.core & ~found.whole).any() and not (found.whole & ~within).any()
    assert found.grid is masks.grid


def plainly_moved(mask, spacing, within, rng):
    """A mask whose boundary is moved by the whole grid's distances and noise."""
    depth = np.zeros(mask.shape)
    for side, sign in ((mask, 1), (~mask, -1)):
        distance, at = ndimage.distance_transform_edt(side, spacing, return_indices=True)
        steps = np.abs(at - np.indices(mask.shape)) * np.reshape(spacing, (3, 1, 1, 1))
        half = np.array(spacing)[np.argmax(steps, axis=0)] / 2
        depth[side] = sign * (distance - half)[side]
    noise = rng.standard_normal(mask.shape).astype(np.float32)
    noise = ndimage.gaussian_filter(noise, 4.0 / np.array(spacing), mode="wrap")
    return (depth + NOISE_MM * noise / noise.std() > 0) & within


@pytest.mark.parametrize("centre", [(30, 30, 24), (2, 63, 40)])
def test_an_outline_is_disturbed_as_by_the_distances_of_the_whole_grid(centre):
    shape, spacing = (60, 64, 48), (1.0, 1.5, 2.0)
    away = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    r = np.sqrt(((away * np.reshape(spacing, (3, 1, 1, 1))) ** 2).sum(axis=0))
    masks = TumorMasks(r < 6, r < 12, Grid(shape, np.diag([*spacing, 1])))
    within = np.indices(shape)[0] < 50
    found = disturb(masks, within, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    whole = plainly_moved(masks.whole, spacing, within, rng)
    np.testing.assert_array_equal(found.whole, whole)
    np.testing.assert_array_equal(
        found.core, plainly_moved(masks.core, spacing, within, rng) & whole
    )
    assert (found.whole != masks.whole).any()


def test_an_outline_that_holds_nothing_stays_empty():
    masks = half_spaces(2.0)
    found = disturb(
        TumorMasks(masks.core & False, masks.whole, masks.grid),
        np.ones(masks.grid.shape, bool),
        np.random.default_rng(1),
    )
    assert not found.core.any() and found.whole.any()


@pytest.mark.parametrize("sd", [6.0, 22.0])
def test_smooth_noise_is_as_smooth_as_asked_and_of_one_size(sd):
    noise = smooth_noise((90, 71, 66), sd, np.random.default_rng(5))
    assert noise.shape == (90, 71, 66) and noise.dtype == np.float32
    assert np.abs(noise).max() == pytest.approx(1)
    # White noise under a Gaussian of width s: its correlation falls as exp(-d^2 / (4 s^2)).
    near = np.corrcoef(noise[3:].ravel(), noise[:-3].ravel())[0, 1]
    assert near == pytest.approx(np.exp(-(3**2) / (4 * sd**2)), abs=0.012)


def test_smooth_noise_between_its_points_is_interpolated():
    noise = smooth_noise((41, 40, 39), 22.0, np.random.default_rng(2))
    middles = noise[2::4][:9]
    ends = noise[::4]
    np.testing.assert_allclose(middles, (ends[:9] + ends[1:10]) / 2, atol=1e-5)
    assert ndimage.laplace(noise).std() < 0.02
