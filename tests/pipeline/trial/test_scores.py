"""Scores of rankings and probabilities, against counting, scikit-learn and the best there is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn import metrics

from glioquery.atlas import Grid
from glioquery.pipeline.trial.ground import Ground
from glioquery.pipeline.trial.rivals import nearness
from glioquery.pipeline.trial.scores import (
    FACTORS,
    cover,
    judge_probabilities,
    rank_scores,
    score_ranking,
)
from glioquery.solver import TumorMasks


@st.composite
def brains(draw):
    """Truth, ranking, core and whole of a small brain."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n = draw(st.integers(30, 80))
    truth = np.where(rng.random(n) < 0.6, rng.random(n), 0)
    whole = truth + 0.3 * rng.random(n) > 0.7
    core = whole & (rng.random(n) < 0.5)
    return truth, rng.permutation(n).astype(np.float32), core, whole


@given(brains())
@settings(max_examples=60)
def test_no_ranking_covers_more_than_the_truth(brain):
    truth, ranking, core, whole = brain
    n = max(int(core.sum()), 10)
    best = score_ranking(truth, core, whole, truth, n)
    some = score_ranking(ranking, core, whole, truth, n)
    assert all(a >= b - 1e-12 for a, b in zip(best.coverage, some.coverage, strict=True))
    assert list(some.coverage) == sorted(some.coverage) and some.coverage[-1] <= 1 + 1e-12


@given(brains())
@settings(max_examples=60)
def test_what_keeps_the_order_changes_no_score(brain):
    truth, ranking, core, whole = brain
    one = score_ranking(ranking, core, whole, truth, 15)
    other = score_ranking(np.exp(ranking / 10) - 5, core, whole, truth, 15)
    np.testing.assert_equal(other, one)


def test_a_volume_holds_the_core_first_then_what_ranks_highest():
    truth = np.array([0.5, 0.4, 0.3, 0.2, 0.1])
    core = np.array([False, False, False, False, True])
    ranking = np.array([1, 2, 4, 3, 0.0])
    score = score_ranking(ranking, core, core, truth, 2)
    # Of two voxels the first is the core, whose own cells do not count: 0.3 of 1.4 are held.
    assert score.coverage[FACTORS.index(1.0)] == pytest.approx(0.3 / 1.4)
    assert score.coverage[-1] == pytest.approx((0.3 + 0.2 + 0.4) / 1.4)
    assert score.coverage[0] == 0
    assert cover(np.array([1.0, 1, 2]), [0, 1, 3, 9]) == (0, 0.25, 1, 1)


@given(st.lists(st.booleans(), min_size=3, max_size=50))
@settings(max_examples=80)
def test_scores_of_an_order_are_those_of_scikit_learn(kinds):
    is_tumour = np.array(kinds)
    precision, area = rank_scores(is_tumour)
    if is_tumour.all() or not is_tumour.any():
        assert np.isnan(precision) and np.isnan(area)
        return
    rank = -np.arange(len(kinds))
    assert precision == pytest.approx(metrics.average_precision_score(is_tumour, rank))
    assert area == pytest.approx(metrics.roc_auc_score(is_tumour, rank))


def test_probabilities_that_are_right_lie_on_the_diagonal():
    rng = np.random.default_rng(1)
    probability = rng.random(100_000)
    found = judge_probabilities(probability, rng.random(100_000) < probability)
    assert sum(found.n) == 100_000
    for i, (n, claimed, true) in enumerate(zip(found.n, found.claimed, found.true, strict=True)):
        assert i / 10 <= claimed / n <= (i + 1) / 10
        assert true / n == pytest.approx(claimed / n, abs=0.02)
    ends = judge_probabilities(np.array([0.0, 1.0, 0.1]), np.array([False, True, True]))
    assert ends.n == (1, 1, 0, 0, 0, 0, 0, 0, 0, 1) and ends.true[9] == 1


def test_what_no_front_reaches_ranks_last_by_its_distance():
    times = np.array([-3, 2, 9, np.inf, np.inf], np.float32)
    distance = np.array([-2, 1, 5, 40, 4], np.float32)
    assert np.argsort(-nearness(times, distance)).tolist() == [0, 1, 2, 4, 3]


def test_the_ground_is_the_brains_part_of_an_image():
    rng = np.random.default_rng(2)
    brain = np.zeros((20, 22, 24), bool)
    brain[4:17, 5:18, 6:20] = True
    core = np.zeros_like(brain)
    core[8:11, 9:12, 10:12] = True
    whole = ndimage.binary_dilation(core, iterations=3)
    grid = Grid(brain.shape, np.diag([1.0, 2.0, 1.0, 1.0]))
    ground = Ground.of(TumorMasks(core, whole, grid), brain)
    values = rng.random(brain.shape)
    np.testing.assert_array_equal(ground.of_brain(values), values[brain])
    np.testing.assert_allclose(ground.grid.to_world([0, 0, 0]), grid.to_world([4, 5, 6]))
    outside = ndimage.distance_transform_edt(~core, grid.spacing_mm)
    inside = ndimage.distance_transform_edt(core, grid.spacing_mm)
    found = ground.from_core[ground.brain]
    np.testing.assert_allclose(found, (outside - inside)[brain], rtol=1e-6)
