"""A search with ventricles returns what the loop over all tumours returns, term included."""

import itertools
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glioquery.atlas import Grid
from glioquery.errors import InputError
from glioquery.query import (
    MEASURES,
    PushedVentricles,
    VentricleTerm,
    exact,
    score_samples,
    search,
    search_counted,
)
from glioquery.query.dice import dice_of


@settings(max_examples=60)
@given(data=st.data())
def test_same_as_the_loop(data, source, shared_index, naive, tumor):
    n = source.n_samples
    masks = tumor(data.draw(st.integers(0, n - 1)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    dice = rng.choice([0.0, 0.5, 1.0], n) if data.draw(st.booleans()) else rng.random(n)
    term = VentricleTerm(dice, data.draw(st.sampled_from([0.0, 0.3, 1.0, 40.0])))
    k = data.draw(st.integers(1, n + 5))
    first, groups, batch = (data.draw(st.integers(1, most)) for most in (12, 12, 100))
    with patch.multiple(exact, FIRST_GROUPS=first, MAX_GROUPS=groups, FIRST_BATCH=batch):
        found = search(shared_index, masks, k=k, ventricles=term)
    rows = [
        (-(one.score + term.weight * dice[one.sample]), one.sample, one.dice_core, one.dice_whole)
        for one in naive(source, masks, n)
    ]
    assert [(-m.score, m.sample, m.dice_core, m.dice_whole) for m in found] == sorted(rows)[:k]
    assert [m.dice_ventricles for m in found] == [dice[m.sample] for m in found]
    again = score_samples(shared_index, masks, [m.sample for m in found], ventricles=term)
    assert again == found


def test_ventricles_that_only_one_tumour_has_decide_and_few_are_looked_at(
    source, shared_index, tumor
):
    dice = np.zeros(source.n_samples)
    dice[41] = 1.0
    with patch.multiple(exact, FIRST_GROUPS=1, FIRST_BATCH=1):
        found = search_counted(
            shared_index, tumor(3), k=1, ventricles=VentricleTerm(dice, weight=5.0)
        )
    assert found.matches[0].sample == 41 and found.n_scored < 10


class Stored:
    """What `PushedVentricles` reads of a database: random masks in shards of odd sizes."""

    def __init__(self, n=23, seed=0):
        rng = np.random.default_rng(seed)
        self.grid = Grid((12, 11, 10), np.diag([2, 2, 2, 1]))
        self.box = (slice(2, 11), slice(1, 10), slice(1, 9))
        inside = np.argwhere(rng.random((9, 9, 8)) < 0.8)
        self.voxels = rng.permutation(inside).astype(np.int16)
        self.n_samples = n
        part = rng.random(len(self.voxels)) < 0.3  # elsewhere no tumour has a ventricle
        self.held = part & (rng.random((n, len(self.voxels))) < 0.5)
        ends = [0, 5, 6, n]
        self.records = [SimpleNamespace(first=a, last=b) for a, b in itertools.pairwise(ends)]

    def ventricle_bits(self, start, stop):
        return np.packbits(self.held[start:stop], axis=1)

    def mask(self, sample):
        mask = np.zeros(self.grid.shape, bool)
        mask[self.box][tuple(self.voxels.T)] = self.held[sample]
        return mask


def test_their_dice_is_that_of_the_masks_also_beyond_the_box():
    database = Stored()
    pushed = PushedVentricles.of(database)
    rng = np.random.default_rng(1)
    for asked in (database.mask(7), rng.random(database.grid.shape) < 0.4):
        expected = [dice_of(asked, database.mask(i)) for i in range(database.n_samples)]
        np.testing.assert_array_equal(pushed.compared(asked).dice, expected)
    assert pushed.bits.shape[1] < database.ventricle_bits(0, 1).shape[1]


@pytest.mark.parametrize(
    ("ventricles", "message"),
    [
        (np.zeros((12, 11, 10), bool), "mask of the ventricles is empty"),
        (np.ones((12, 11, 9), bool), r"boolean array of shape \(12, 11, 10\), got bool"),
        (np.ones((12, 11, 10)), "got float64"),
    ],
)
def test_no_ventricles_are_refused(ventricles, message):
    with pytest.raises(InputError, match=message):
        PushedVentricles.of(Stored()).compared(ventricles)


def test_what_they_cannot_be_added_to_is_refused(source, shared_index, tumor):
    term = VentricleTerm(np.ones(source.n_samples))
    for name in ("l2", "hausdorff95"):
        with pytest.raises(InputError, match=f"added to a score of overlap, {name} is none"):
            search(shared_index, tumor(0), measure=MEASURES[name], ventricles=term)
    with pytest.raises(InputError, match="of 3 tumours, the index of 90"):
        search(shared_index, tumor(0), ventricles=VentricleTerm(np.ones(3)))
    with pytest.raises(InputError, match="weight of the ventricles is a number >= 0, got -1"):
        VentricleTerm(np.ones(3), -1)
