"""What ranks a brain: the map, rulers through two tissues, and the truth."""

from types import SimpleNamespace

import numpy as np
import pytest
from heads import phantom

from glioquery.pipeline.images import Field
from glioquery.pipeline.prediction.planning import draw_standard
from glioquery.pipeline.trial.ground import Ground
from glioquery.pipeline.trial.rivals import RANKINGS, RIVALS, rank_all
from glioquery.solver import TumorDensity, TumorMasks


@pytest.fixture(scope="module")
def ranked():
    """A ball of a tumour in white matter, and an inversion that knows the tissue."""
    head = phantom()
    x, y, z = (2.0 * a for a in np.indices(head.grid.shape))
    away = np.sqrt((x - 52) ** 2 + (y - 40) ** 2 + (z - 40) ** 2)
    u = np.where(head.solid, 1 / (1 + np.exp((away - 12) / 2.5)), 0).astype(np.float32)
    density = TumorDensity(u, head.grid)
    masks = TumorMasks(u >= 0.6, u >= 0.2, head.grid)
    inversion = SimpleNamespace(
        maps=SimpleNamespace(
            growth=density, planning=SimpleNamespace(ranking=u + 1e-6 * (100 - away))
        ),
        answer=SimpleNamespace(widest_lambda_mm=2.5),
        patient=SimpleNamespace(
            brain_with_tumour=head.brain,
            field=Field(head.grid, tuple(map(slice, [0] * 3, u.shape))),
        ),
        patient_tissue=head,
    )
    patient = SimpleNamespace(density=density, anatomy=head)
    ground = Ground.of(masks, head.brain)
    return ground, away[head.brain], rank_all(patient, inversion, ground)


def test_each_ranking_is_of_the_brains_voxels_and_has_a_name(ranked):
    ground, _, rankings = ranked
    assert list(rankings) == list(RANKINGS) and set(RIVALS) < set(RANKINGS)
    assert not any("true" in name or name in ("map", "growth", "oracle") for name in RIVALS)
    for ranking in rankings.values():
        assert ranking.shape == (ground.brain.sum(),) and np.isfinite(ranking).all()


def test_the_standard_margin_ranks_as_the_standard_plan_does(ranked):
    """In voxels so long that the plan places the outline between their centres."""
    ground, _, rankings = ranked
    _, standard = draw_standard(TumorMasks(ground.core, ground.whole, ground.grid), ground.brain)
    is_standard = standard[ground.brain]
    margin = rankings["margin_core"]
    assert margin[is_standard].min() > margin[~is_standard].max()


def test_rulers_fall_with_the_distance_and_through_tissue_more_slowly(ranked):
    ground, away, rankings = ranked
    outside = ground.from_core[ground.brain] > 0
    plain, through = rankings["margin_core"][outside], rankings["true_core"][outside]
    assert np.corrcoef(plain, -away[outside])[0, 1] > 0.99
    assert (through <= plain + 2.5).all()  # no way is shorter than the straight one, but for voxels
    white = ground.brain.copy()
    slow = ~(phantom().wm[ground.box][white] > 0.5)[outside]
    assert (plain - through)[slow].mean() > 5 * abs((plain - through)[~slow]).mean()


def test_the_same_tissue_ranks_alike_and_means_lie_between(ranked):
    _, _, rankings = ranked
    for name in ("core", "whole"):
        found, true = rankings[f"found_{name}"], rankings[f"true_{name}"]
        np.testing.assert_allclose(found, true, atol=1e-3)
    for kind in ("margin", "found", "true"):
        core, whole, mean = (rankings[f"{kind}_{name}"] for name in ("core", "whole", "mean"))
        np.testing.assert_allclose(mean, (core + whole) / 2, rtol=1e-5, atol=1e-5)
        near = core > -50  # all of it reached by both
        assert (whole >= core - 0.5)[near].all() and near.any()
