"""Smoothed travel times: what they keep, and what errors of an outline they take away."""

import numpy as np
import pytest
from scipy import ndimage

from glioquery.atlas import Grid
from glioquery.pipeline.agreement import agree, smoothing
from glioquery.pipeline.agreement.smoothing import smooth_parts, smooth_times, smoothing_mm
from glioquery.pipeline.travel import Terrain, travel_time
from glioquery.pipeline.virtual.disturbance import disturb
from glioquery.solver import TumorDensity, TumorMasks

N = 48
GRID = Grid((N, N, N), np.diag([2.0, 2.0, 2.0, 1.0]))
SPACING = GRID.spacing_mm
EVEN = np.ones(GRID.shape, np.float32)
RADIUS_MM = 2 * np.sqrt(sum((i - (N - 1) / 2) ** 2 for i in np.indices(GRID.shape)))
LAMBDA_MM = 3.0


def ball(radius_mm):
    return radius_mm > RADIUS_MM


def disturbed(seed):
    masks = TumorMasks(ball(18), ball(26), GRID)
    return disturb(masks, np.ones(GRID.shape, bool), np.random.default_rng(seed))


def test_smoothed_times_are_weighted_means_of_the_times_that_are_known():
    rng = np.random.default_rng(3)
    times = rng.normal(5, 9, (9, 8, 7)).astype(np.float32)
    times[rng.random(times.shape) < 0.2] = np.inf
    spacing, sd = (1.0, 2.0, 3.0), 1.5
    places = np.argwhere(np.isfinite(times))
    known = times[tuple(places.T)]
    expected = []
    for place in places:
        steps = np.abs(places - place)
        # scipy ends a Gaussian at four standard deviations.
        near = (steps <= np.floor(4 * sd / np.array(spacing) + 0.5)).all(axis=1)
        weights = near * np.exp(-(((steps * spacing) / sd) ** 2).sum(axis=1) / 2)
        expected.append(weights @ known / weights.sum())
    found = smooth_times(times, spacing, sd)
    assert np.array_equal(np.isinf(found), np.isinf(times))
    level = np.array(expected) - found[tuple(places.T)]
    np.testing.assert_allclose(level, level[0], atol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_an_outline_keeps_its_volume(seed):
    masks = disturbed(seed)
    for outline in (masks.core, masks.whole):
        times = travel_time(outline, EVEN, SPACING)
        found = smooth_times(times, SPACING, smoothing_mm(times))
        assert np.count_nonzero(found < 0) == np.count_nonzero(outline)


@pytest.mark.parametrize("seed", range(4))
def test_errors_of_an_outline_are_smaller_in_smoothed_times(seed):
    outline = disturbed(seed).core
    times = travel_time(outline, EVEN, SPACING)
    found = smooth_times(times, SPACING, smoothing_mm(times))
    near = (RADIUS_MM > 17) & (RADIUS_MM < 23)
    error, error_smooth = ((t[near] - RADIUS_MM[near]).std() for t in (times, found))
    assert 0.2 < error_smooth < 0.85 * error


def test_a_small_outline_is_smoothed_by_less():
    one = np.zeros(GRID.shape, bool)
    one[20, 24, 22] = True
    small, large = (smoothing_mm(travel_time(m, EVEN, SPACING)) for m in (ball(6), ball(20)))
    assert large == smoothing.SMOOTHING_MM
    assert small < 2.1
    times = travel_time(one, EVEN, SPACING)
    found = smooth_times(times, SPACING, smoothing_mm(times))
    assert np.array_equal(found < 0, one)


def two_balls(radius_mm):
    """A ball of 18 mm, one 52 mm away, and the distance from the surface of that."""
    far, near = (from_point(i) for i in (12.3, 38.2))
    return far < 18, near < radius_mm, near - radius_mm


def from_point(i):
    x, y, z = np.indices(GRID.shape)
    return 2 * np.sqrt((x - i) ** 2 + (y - 24.1) ** 2 + (z - 23.8) ** 2)


@pytest.mark.parametrize("radius_mm", [3, 4, 6, 8])
def test_a_small_part_is_smoothed_as_if_it_were_alone(radius_mm):
    large, small, away = two_balls(radius_mm)
    both, alone = (travel_time(mask, EVEN, SPACING) for mask in (large | small, small))
    found = smooth_parts(both, SPACING)
    assert np.array_equal(
        smooth_parts(alone, SPACING), smooth_times(alone, SPACING, smoothing_mm(alone))
    )
    assert np.count_nonzero(small & (found < 0)) >= 0.95 * small.sum()
    assert np.count_nonzero(found < 0) == np.count_nonzero(both < 0)
    near = np.abs(away) < 6
    expected = smooth_parts(alone, SPACING)[near]
    assert np.abs(found[near] - expected).max() < 0.3  # half a step of the standard deviation
    # Where another part becomes the nearest one, the times do not jump.
    steps = [np.abs(np.diff(t, axis=0)).max() for t in (found, both)]
    assert steps[0] < 1.2 * steps[1]


def test_a_small_focus_beside_a_large_one_keeps_its_cells():
    *_, away = two_balls(6)
    u = 1 / (1 + np.exp(np.minimum(from_point(12.3) - 18, away) / LAMBDA_MM))
    growth = TumorDensity(u.astype(np.float32), GRID)
    terrain = Terrain(growth.outlines(), np.ones(GRID.shape, bool), EVEN)
    found = agree(growth, terrain, lambda_mm=LAMBDA_MM).density.u
    near = away < 10
    assert found[near].sum() == pytest.approx(u[near].sum(), rel=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_the_map_is_nearer_to_the_truth_than_without_smoothing(seed, monkeypatch):
    truth = TumorDensity((1 / (1 + np.exp((RADIUS_MM - 20) / LAMBDA_MM))).astype(np.float32), GRID)
    shown = truth.outlines()
    masks = disturb(shown, np.ones(GRID.shape, bool), np.random.default_rng(seed))
    terrain = Terrain(masks, np.ones(GRID.shape, bool), EVEN)
    # A growth that is the truth, but 4 mm beside it.
    growth = TumorDensity(ndimage.shift(truth.u, (2, 0, 0), order=1), GRID)

    def error():
        found = agree(growth, terrain, lambda_mm=LAMBDA_MM).density.u
        return np.abs(found - truth.u)[truth.u >= 0.01].mean()

    smoothed = error()
    monkeypatch.setattr(smoothing, "SMOOTHING_MM", 1e-3)
    assert smoothed < 0.97 * error()
