"""How well the stored tumours of a database are matched by the others."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from glioquery.pipeline.cohort.match_quality import DiceScores, draw_dice, match_stored
from glioquery.query import dice_of_masks
from glioquery.query.index.opening import open_index


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


def test_a_tumor_that_is_matched_better_has_a_longer_bar():
    def painted(*whole):
        scores = DiceScores(np.array([np.nan, np.nan]), np.array(whole))
        image = imread(io.BytesIO(draw_dice(scores)), format="png")
        return (image[..., 2] - image[..., 0] > 0.4).sum()

    assert painted(0.5, 1.0) / painted(0.25, 1.0) == pytest.approx(1.5 / 1.25, rel=0.05)
