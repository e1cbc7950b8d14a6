"""How well the stored tumours of a database are matched by the others."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.image import imread

from glioquery.atlas import Grid
from glioquery.pipeline.cohort import match_quality
from glioquery.pipeline.cohort.match_quality import (
    DiceScores,
    draw_dice,
    match_stored,
    scores_of_matches,
)
from glioquery.query import Match, dice_of_masks
from glioquery.query.index.opening import open_index
from glioquery.solver import TumorMasks


def test_stored_tumors_are_matched_outside_their_own_run(database):
    scores = match_stored(database, open_index(database))
    assert len(scores.whole) == 8
    for sample in (0, 5):
        found = [
            dice_of_masks(database.outlines(sample), database.outlines(i))
            for i in database
            if i // 2 != sample // 2
        ]
        assert (scores.core[sample], scores.whole[sample]) == max(found, key=sum)


def test_a_tumour_without_a_core_has_no_dice_of_it(monkeypatch):
    grid = Grid((2, 1, 1), np.eye(4))
    whole, core = np.ones(grid.shape, bool), np.array([True, False]).reshape(grid.shape)
    stored = [TumorMasks(core, whole, grid), TumorMasks(~whole, whole, grid)]

    class Pair(list):
        parameters = SimpleNamespace(run=SimpleNamespace(values=np.array([0, 1])))
        outlines = list.__getitem__

    found = [Match(sample, 0.9, dice_core=0.0, dice_whole=0.9) for sample in (0, 1)]
    monkeypatch.setattr(match_quality, "search", lambda *_, k: found)
    scores = match_stored(Pair(stored), None)
    np.testing.assert_array_equal(scores.core, [0.0, np.nan])
    np.testing.assert_array_equal(scores.whole, [0.9, 0.9])
    outline = {"patient_ml": 0.001}  # its one voxel is none on the atlas
    results = [
        {"best": {"dice_core": core, "dice_whole": 0.9}, "quality": {"core": outline}}
        for core in (0.0, None)
    ]
    np.testing.assert_array_equal(scores_of_matches(results).core, scores.core)


def test_a_tumor_that_is_matched_better_has_a_longer_bar():
    def painted(*whole):
        scores = DiceScores(np.array([np.nan, np.nan]), np.array(whole))
        image = imread(io.BytesIO(draw_dice(scores)), format="png")
        return (image[..., 2] - image[..., 0] > 0.4).sum()

    assert painted(0.5, 1.0) / painted(0.25, 1.0) == pytest.approx(1.5 / 1.25, rel=0.05)
