"""How far an agreed density may be from the truth: against draws of the law that is stated."""

import numpy as np
import pytest

from glioquery.atlas import Grid
from glioquery.pipeline.agreement import Agreement, expect_density, expectation
from glioquery.pipeline.agreement.agreement import GROWTH_SHARE, NOTHING, rising
from glioquery.solver import TumorDensity

SHAPE = (5, 4, 6)
GRID = Grid(SHAPE, np.eye(4))
LEVELS = (0.01, 0.1, 0.4)


@pytest.fixture
def agreed():
    """An agreement over many logits, a growth of its own, and the spread of its ensemble."""
    rng = np.random.default_rng(5)
    logits = rng.uniform(-9, 5, SHAPE).astype(np.float32)
    logits[0] = NOTHING
    growth = rng.uniform(0, 0.95, SHAPE).astype(np.float32)
    sd = rng.uniform(0, 0.1, SHAPE).astype(np.float32)
    density = np.where(logits > NOTHING, 1 / (1 + np.exp(-logits)), 0).astype(np.float32)
    return Agreement(TumorDensity(density, GRID), logits), TumorDensity(growth, GRID), sd


def test_expectation_and_probabilities_are_those_of_the_stated_law(agreed):
    agreement, growth, growth_sd = agreed
    found = expect_density(agreement, growth, growth_sd, LEVELS)
    z, u = agreement.logits[1:].astype(float), growth.u[1:].astype(float)
    rng = np.random.default_rng(0)
    beyond = np.maximum(0, -z)
    share = GROWTH_SHARE * rising(u) * growth_sd[1:] / np.maximum(u * (1 - u), 1e-3)
    sd = np.sqrt((expectation.NEAR + expectation.WIDENING * beyond) ** 2 + share**2)
    n = 20_000
    drawn = rng.normal(z - expectation.BIAS * beyond, sd, (n, *z.shape))
    share_beyond = np.minimum(1, beyond / expectation.ALL_BEYOND)
    empty = expectation.LAPSE + expectation.LAPSE_BEYOND * share_beyond
    truth = np.where(rng.random((n, *z.shape)) < empty, 0, 1 / (1 + np.exp(-drawn)))
    np.testing.assert_allclose(found.mean[1:], truth.mean(axis=0), atol=0.015)
    np.testing.assert_allclose(found.sd[1:], truth.std(axis=0), atol=0.015)
    for level in LEVELS:
        exceeds = (truth >= level).mean(axis=0)
        np.testing.assert_allclose(found.exceedance[level][1:], exceeds, atol=0.015)
    for values in (found.mean, found.sd, *found.exceedance.values()):
        assert not values[0].any()


def test_voxels_are_judged_alike_in_blocks_of_any_size(agreed, monkeypatch):
    whole = expect_density(*agreed, LEVELS)
    monkeypatch.setattr(expectation, "AT_ONCE", 7)
    parts = expect_density(*agreed, LEVELS)
    np.testing.assert_array_equal(parts.mean, whole.mean)
    np.testing.assert_array_equal(parts.sd, whole.sd)
    for level in LEVELS:
        np.testing.assert_array_equal(parts.exceedance[level], whole.exceedance[level])


def test_no_cells_are_no_doubt(agreed):
    _, growth, growth_sd = agreed
    nothing = Agreement(
        TumorDensity(np.zeros(SHAPE, np.float32), GRID), np.full(SHAPE, NOTHING, np.float32)
    )
    found = expect_density(nothing, growth, growth_sd, LEVELS)
    assert not found.mean.any()
    assert not found.sd.any()
    assert not any(found.exceedance[level].any() for level in LEVELS)


def test_few_cells_have_a_probability_too():
    """A logit of -10 is a density of 0.00005: a hundredth may be exceeded all the same."""
    shape = (3, 1, 1)
    logits = np.array([-8.0, -10.0, -17.0], np.float32).reshape(shape)
    u = (1 / (1 + np.exp(-logits))).astype(np.float32)
    grid = Grid(shape, np.eye(4))
    nothing = np.zeros(shape, np.float32)
    agreement = Agreement(TumorDensity(u, grid), logits)
    found = expect_density(agreement, TumorDensity(nothing, grid), nothing, (1e-4,))
    near, far, none = found.exceedance[1e-4].ravel()
    assert near > far > 0 == none
    assert found.mean.ravel()[1] > 0 == found.mean.ravel()[2]
