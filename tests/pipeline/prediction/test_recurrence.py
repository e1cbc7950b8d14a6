"""What the volumes hold of a recurrence, and how high rankings put it."""

import numpy as np
import pytest

from glioquery.atlas import Grid
from glioquery.pipeline.prediction.planning import plan_volumes
from glioquery.pipeline.prediction.recurrence import cover_recurrence, doubts_of_coverage
from glioquery.pipeline.travel import Terrain
from glioquery.solver import TumorDensity, TumorMasks

SHAPE = (40, 30, 24)
GRID = Grid(SHAPE, np.diag([1.5, 1.5, 2.0, 1.0]))
PLACES = np.moveaxis(np.indices(SHAPE), 0, -1) * GRID.spacing_mm
BRAIN = np.linalg.norm(PLACES - (30, 22, 23), axis=-1) < 24
NOTHING = np.zeros(SHAPE, bool)
SPEED = BRAIN.astype(np.float32)


def ball(centre_mm, radius_mm):
    return np.linalg.norm(PLACES - centre_mm, axis=-1) <= radius_mm


CORE = ball((24, 22, 23), 5)


@pytest.fixture(scope="module")
def volumes():
    """A model that grows to the right alone."""
    u = np.exp(-np.linalg.norm((PLACES - (30, 22, 23)) * (0.5, 1, 1), axis=-1) / 4) * BRAIN
    masks = TumorMasks(CORE, CORE | ball((24, 22, 23), 8), GRID)
    return plan_volumes(TumorDensity(u.astype(np.float32), GRID), Terrain(masks, BRAIN, SPEED), 2.0)


def cover(volumes, core, whole=None, speed=SPEED):
    return cover_recurrence(
        volumes, TumorMasks(core, core if whole is None else whole, GRID), speed
    )


def test_coverage_is_the_share_of_the_recurrence(volumes):
    only_standard = volumes.standard & ~volumes.model
    core, whole = cover(volumes, only_standard, volumes.standard)
    assert (core.outline, core.standard, core.model) == ("core", 1.0, 0.0)
    overlap = (volumes.standard & volumes.model).sum() / volumes.standard.sum()
    assert (whole.standard, whole.model) == (1.0, pytest.approx(overlap))
    assert whole.geodesic == pytest.approx(
        (volumes.standard & volumes.geodesic).sum() / volumes.standard.sum()
    )
    assert whole.recurrence_ml == pytest.approx(volumes.row()["standard_ml"])


def test_a_recurrence_that_no_volume_holds_is_doubted(volumes):
    away = BRAIN & ~(volumes.standard | volumes.model | volumes.geodesic)
    (notice,) = doubts_of_coverage(cover(volumes, NOTHING, away))
    assert "No part of the recurrence lies in a planning volume" in notice
    assert doubts_of_coverage(cover(volumes, NOTHING, volumes.model)) == []


def test_an_outline_that_the_recurrence_has_not_is_left_out(volumes):
    (only,) = cover(volumes, NOTHING, volumes.geodesic)
    assert only.outline == "whole" and only.geodesic == 1.0


def test_the_area_is_the_chance_that_a_voxel_of_it_ranks_before_another(volumes):
    recurrence = ball((38, 24, 23), 7) & BRAIN
    found = cover(volumes, recurrence)[0]
    outside = BRAIN & ~CORE
    rng = np.random.default_rng(2)
    inside, free = (
        rng.choice(volumes.ranking[outside & mask], 20000) for mask in (recurrence, ~recurrence)
    )
    assert found.model_ranking.auc == pytest.approx((inside > free).mean(), abs=0.01)


def test_average_precision_is_the_mean_precision_over_the_recurrence(volumes):
    recurrence = ball((38, 24, 23), 7) & BRAIN
    outside = BRAIN & ~CORE
    order = np.argsort(-volumes.ranking[outside])
    hits = recurrence[outside][order]
    precision = (np.cumsum(hits) / (np.arange(len(hits)) + 1))[hits].mean()
    found = cover(volumes, recurrence)[0]
    assert found.model_ranking.average_precision == pytest.approx(precision)


def test_each_ranking_is_best_for_what_it_forecasts(volumes):
    beside = ball((24, 22, 23), 11) & BRAIN & ~CORE  # all around the core, to one distance
    right = volumes.model & ~volumes.standard & ~CORE
    assert cover(volumes, beside)[0].geodesic_ranking.auc > 0.995
    assert cover(volumes, beside)[0].model_ranking.auc < 0.99
    found = cover(volumes, right)[0]
    assert found.model_ranking.auc > found.geodesic_ranking.auc


def test_what_no_tissue_leads_to_ranks_alike_and_last(volumes):
    closed = np.where(PLACES[..., 0] > 33, 0, SPEED)
    beyond = BRAIN & (PLACES[..., 0] > 33)
    found = cover(volumes, beyond, speed=closed)[0].geodesic_ranking
    assert found.auc == pytest.approx(0, abs=1e-6)
    # Half of the closed part: ties count half, and all that was reached ranks before.
    half = beyond & (PLACES[..., 1] > 22)
    n_reached = (BRAIN & ~CORE & ~beyond).sum()
    n_tied = (beyond & ~half).sum()
    expected = 0.5 * n_tied / (n_tied + n_reached)
    assert cover(volumes, half, speed=closed)[0].geodesic_ranking.auc == pytest.approx(expected)


def test_without_two_kinds_of_voxels_nothing_is_ranked(volumes):
    all_brain = cover(volumes, BRAIN)[0]
    assert all_brain.model_ranking is None and all_brain.geodesic_ranking is None
    assert all_brain.standard == pytest.approx(volumes.standard.sum() / BRAIN.sum())
    in_core = cover(volumes, CORE)[0]
    assert in_core.model_ranking is None and in_core.model == 1.0
    outside = cover(volumes, ~BRAIN)[0]
    assert outside.model_ranking is None
    assert outside.standard == outside.model == outside.geodesic == 0


def test_a_recurrence_on_another_grid_is_refused(volumes):
    moved = GRID.affine.copy()
    moved[0, 3] += 1
    with pytest.raises(ValueError, match="the volumes' grid"):
        cover_recurrence(volumes, TumorMasks(CORE, CORE, Grid(SHAPE, moved)), SPEED)


def test_the_distance_through_tissue_is_that_from_the_core():
    """The whole outline reaches far to one side; what recurs beside the core on the other is near.

    The area is compared with distances, which the travel times are in one tissue.
    """
    whole = CORE | ball((33, 22, 23), 9)
    u = np.exp(-np.linalg.norm(PLACES - (24, 22, 23), axis=-1) / 4) * BRAIN
    terrain = Terrain(TumorMasks(CORE, whole, GRID), BRAIN, SPEED)
    volumes = plan_volumes(TumorDensity(u.astype(np.float32), GRID), terrain, 2.0)
    beside = ball((17, 22, 23), 3) & BRAIN & ~CORE
    (only,) = cover(volumes, NOTHING, beside)
    outside = BRAIN & ~CORE
    away = np.linalg.norm(PLACES - (24, 22, 23), axis=-1)[outside]
    hit = beside[outside]
    better = np.mean([(away[~hit] > a).mean() for a in away[hit]])
    assert only.geodesic_ranking.auc == pytest.approx(better, abs=0.02)
