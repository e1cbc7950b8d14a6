"""What is tried beyond the best match: where a part of it fails, the rest stands and it is told."""

from types import SimpleNamespace

import numpy as np
import pytest
from anatomies import uniform_tissue

from glioquery.pipeline.fit import answer
from glioquery.pipeline.fit.answer import AnswerSource, find_answer
from glioquery.pipeline.fit.fitted_thresholds import FittedThresholds
from glioquery.pipeline.fit.matches import RankedMatch
from glioquery.pipeline.fit.refinement import NoGrowthError
from glioquery.pipeline.fit.several_tumors import join
from glioquery.query import Match, dice_of_masks
from glioquery.solver import (
    Accuracy,
    FisherKolmogorov,
    GrowthParameters,
    Thresholds,
    TumorDensity,
    TumorMasks,
)

CENTRES = ((16.0, 30.0, 30.0), (44.0, 30.0, 30.0))


class Pair:
    """A database of two balls, and an index that finds both."""

    model, thresholds, accuracy = FisherKolmogorov(), Thresholds(), Accuracy()
    parts = ()

    def __init__(self):
        self.tissue = uniform_tissue((30, 30, 30))
        grid = self.tissue.grid
        points = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
        self.densities = []
        for i, centre in enumerate(CENTRES):
            away = np.linalg.norm(points - centre, axis=-1)
            u = np.select([away <= 8 - i, away <= 12 - i], [0.9, 0.4], 0).astype(np.float32)
            self.densities.append(TumorDensity(u, grid))

    def density(self, sample):
        return self.densities[sample]

    def outlines(self, sample):
        return self.density(sample).outlines()

    def growth_parameters(self, sample):
        return GrowthParameters(CENTRES[sample], 0.04, 0.01, 700.0)

    def search(self, index, masks, k):
        found = [(i, *dice_of_masks(masks, self.outlines(i))) for i in (0, 1)]
        matches = [Match(i, core + whole, core, whole) for i, core, whole in found]
        return sorted(matches, key=lambda match: -match.score)

    def asked(self):
        """Outlines around both balls, and the best match."""
        both = join(self.densities).outlines()
        match = SimpleNamespace(match=SimpleNamespace(sample=0))
        match.parameters = self.growth_parameters(0)
        return TumorMasks(both.core, both.whole, both.grid), [match]


@pytest.fixture
def pair(monkeypatch):
    pair = Pair()
    monkeypatch.setattr(answer, "search", pair.search)
    monkeypatch.setattr("glioquery.pipeline.fit.several_tumors.search", pair.search)
    return pair


def test_of_several_tumours_one_that_cannot_be_refined_stays_as_stored(pair, monkeypatch):
    masks, matches = pair.asked()

    def refine_the_first(target, starts, *, accuracy):
        if target.n_whole < masks.whole.sum() / 2:
            raise NoGrowthError("no start grows")
        best = SimpleNamespace(parameters=starts[0].scaled(2.0))
        return SimpleNamespace(best=best, density=pair.density(0))

    monkeypatch.setattr(answer, "refine", refine_the_first)
    found = find_answer(pair, pair, masks, matches, refined=True, thresholds_fitted=False)
    refined = found.tried[-1]
    assert refined.source is AnswerSource.SEVERAL_REFINED
    assert refined.growths == (pair.growth_parameters(0).scaled(2.0), pair.growth_parameters(1))
    assert refined.score == 2
    assert found.notices == (
        "1 of 2 tumours could not be refined and stay as stored: nothing grows to the volume of "
        "their part.",
    )


@pytest.mark.parametrize("has_core", [True, False])
def test_a_row_has_no_dice_of_an_absent_core(pair, has_core):
    masks, matches = pair.asked()
    masks.core[:] &= has_core
    found = find_answer(pair, pair, masks, matches, refined=False, thresholds_fitted=False)
    for tried in found.tried:
        assert (tried.row()["dice_core"] is not None) == has_core
        assert tried.score == (tried.dice_core or 0) + tried.dice_whole > 0
    match = Match(0, 1.1, dice_core=0.5, dice_whole=0.6)
    ranked = RankedMatch(1, match, pair.growth_parameters(0), False, has_core=has_core)
    assert ranked.row()["dice_core"] == (0.5 if has_core else None)


def test_thresholds_that_fail_leave_the_refinement_and_are_told(pair, monkeypatch):
    masks, matches = pair.asked()
    best = SimpleNamespace(parameters=pair.growth_parameters(1))
    refinement = SimpleNamespace(best=best, density=pair.density(1))

    def fails_early(target, start, *, accuracy):
        return FittedThresholds(target.thresholds, start, failure="no start grows")

    monkeypatch.setattr(answer, "refine", lambda *_, **__: refinement)
    monkeypatch.setattr(answer, "fit_thresholds", fails_early)
    found = find_answer(pair, pair, masks, matches, refined=True, thresholds_fitted=True)
    assert found.refinement is refinement
    assert found.notices == ("The fit of the thresholds ended early: no start grows.",)
