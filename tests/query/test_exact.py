"""Exact search returns what the loop over all volumes returns, bit for bit, and looks at few."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glioquery.atlas import SIMULATION_GRID, Grid, load_atlas
from glioquery.query import (
    MEASURES,
    Portion,
    build_index,
    counting,
    exact,
    kernels,
    score_samples,
    search,
    search_counted,
    search_many,
)
from glioquery.query.index import bits
from glioquery.query.kernels import plain
from glioquery.query.measures import Measure
from glioquery.solver import TumorMasks


@st.composite
def query_masks(draw, source):
    """Outlines of every kind a caller may come with."""
    shape, grid = source.grid.shape, source.grid
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def mask():
        kind = draw(st.sampled_from(["random", "sample", "moved", "empty", "full", "voxel", "out"]))
        sample = int(rng.integers(source.n_samples))
        if kind == "random":
            return rng.random(shape) < rng.uniform(0, 0.6)
        if kind == "sample":
            return source.whole[sample].copy()
        if kind == "moved":  # partly out of the brain
            return np.roll(source.whole[sample], rng.integers(-5, 6, 3), (0, 1, 2))
        one = np.full(shape, kind == "full")
        if kind == "voxel":
            one[tuple(rng.integers(shape))] = True
        if kind == "out":  # disjoint from every tumour
            one[:] = ~source.whole.any(axis=0)
        return one

    core, whole = mask(), mask()
    if draw(st.booleans()):  # nested, as outlines should be
        core &= whole
    return TumorMasks(core, whole, grid)


@settings(max_examples=150)
@given(data=st.data())
def test_same_as_the_loop(data, source, shared_index, naive):
    masks = data.draw(query_masks(source))
    k = data.draw(st.integers(1, source.n_samples + 20))
    empty_score = data.draw(st.sampled_from([0.0, 1.0]))
    # Small batches, or a database of this size would be scored whole at once.
    first, groups, batch = (data.draw(st.integers(1, most)) for most in (12, 12, 100))
    sizes = {"FIRST_GROUPS": first, "MAX_GROUPS": groups, "FIRST_BATCH": batch}
    mapped = data.draw(st.sampled_from([0, bits.MAPPED_AT_MOST]))  # at most 0 bytes: all are read
    form = data.draw(st.sampled_from([kernels, plain]))
    with (
        patch.multiple(exact, **sizes),
        patch.object(bits, "MAPPED_AT_MOST", mapped),
        patch.object(counting, "kernels", form),
    ):
        found = search(shared_index, masks, k=k, empty_score=empty_score)
    assert found == naive(source, masks, k, empty_score)


@settings(max_examples=50)
@given(data=st.data())
def test_no_bound_is_below_what_it_bounds(data, source, shared_index):
    masks = data.draw(query_masks(source))
    measure = MEASURES[data.draw(st.sampled_from(["dice", "jaccard", "dice-in-tissue", "l2"]))]
    empty_score = data.draw(st.sampled_from([0.0, 1.0]))
    query = counting.CutQuery.of(shared_index, masks)
    ids = np.random.default_rng(0).permutation(source.n_samples)
    pairs = ((masks.core, source.core), (masks.whole, source.whole))
    true = np.array([(ours & theirs).sum(axis=(1, 2, 3)) for ours, theirs in pairs])
    np.testing.assert_array_equal(counting.intersect(shared_index, query, ids), true[:, ids])
    merits = measure.merit(true, query.totals(shared_index, measure), empty_score)
    of_groups = counting.bound_groups(shared_index, query, measure, empty_score)
    for group, bound in enumerate(of_groups):
        members, bounds = counting.bound_members(
            shared_index, query, np.array([group]), measure, empty_score
        )
        assert (bounds >= merits[members]).all()
        assert (bounds <= bound).all()


def test_every_sample_is_in_one_group(source, shared_index):
    members = shared_index.members
    assert members.shape == (12, 8)
    assert sorted(members[members >= 0]) == list(range(source.n_samples))
    assert (members[:-1] >= 0).all() and (members[-1] >= 0).sum() == 2
    volumes = shared_index.volumes[:, members[-1, :2]]
    np.testing.assert_array_equal(shared_index.ends[:, :, -1], [volumes.min(1), volumes.max(1)])
    np.testing.assert_array_equal(
        shared_index.most, shared_index.counts.max(axis=3).transpose(1, 2, 0)
    )


def test_groups_hold_tumours_that_are_alike(shared_index):
    def spread(counts):
        """Most voxels less those of the mean tumour, over all coarse blocks."""
        return float((counts.max(axis=-1) - counts.mean(axis=-1)).sum())

    alike = shared_index.counts[:-1].astype(float)
    mixed = np.moveaxis(alike, -1, 1).reshape(-1, *alike.shape[1:3])
    mixed = np.random.default_rng(0).permutation(mixed).reshape(-1, 8, *alike.shape[1:3])
    assert spread(alike) < 0.8 * spread(np.moveaxis(mixed, 1, -1))


def test_ties_break_by_ascending_id(source, shared_index, tumor):
    # Samples 0 and 11 stand in the database again as 87 and 88.
    assert [m.sample for m in search(shared_index, tumor(0), k=2)] == [0, 87]
    assert [m.sample for m in search(shared_index, tumor(88), k=2)] == [11, 88]
    best = search(shared_index, tumor(11), k=1)[0]
    assert (best.sample, best.score, best.dice_core, best.dice_whole) == (11, 2.0, 1.0, 1.0)
    outside = np.zeros(source.grid.shape, bool)
    outside[0, 0, 0] = True
    with patch.multiple(exact, FIRST_BATCH=3):
        none = search_counted(shared_index, TumorMasks(outside, outside, source.grid), k=3)
    assert [(m.sample, m.score) for m in none.matches] == [(0, 0.0), (1, 0.0), (2, 0.0)]


def test_voxels_outside_the_brain_count_in_the_volume(source, shared_index, tumor):
    inside = tumor(5)
    more = inside.whole.copy()
    more[0] = True
    dice = search(shared_index, TumorMasks(inside.core, more, source.grid), k=1)[0].dice_whole
    n = inside.whole.sum()
    assert dice == 2 * n / (n + more.sum()) < 1


def test_empty_outlines_score_as_asked(source, shared_index, tumor):
    nothing = np.zeros(source.grid.shape, bool)
    masks = TumorMasks(nothing, tumor(3).whole, source.grid)
    # Sample 3 has a core; sample 84 is the same whole tumour without one.
    assert search(shared_index, masks, k=1)[0].sample == 3
    assert search(shared_index, masks, k=1)[0].score == 1.0
    assert search(shared_index, masks, k=1, empty_score=1.0)[0].sample == 84
    assert search(shared_index, masks, k=1, empty_score=1.0)[0].score == 2.0


def test_many_is_one_after_the_other(shared_index, tumor):
    queries = [tumor(i) for i in (4, 40, 85)]
    assert search_many(shared_index, queries, k=5) == [
        search(shared_index, masks, k=5) for masks in queries
    ]


def least_common(intersections, totals, *, empty_score):
    """A distance whose formula goes below 0."""
    del empty_score
    return -intersections / np.maximum(totals, 1)


def test_a_measure_of_ones_own_loses_no_match(shared_index, source, tumor):
    measure = Measure("least common", least_common, larger_is_better=False)
    for sample in (3, 40, 85, 87):
        found = search(shared_index, tumor(sample), k=7, measure=measure)
        scored = score_samples(shared_index, tumor(sample), range(90), measure=measure)
        assert found == sorted(scored, key=lambda match: (match.score, match.sample))[:7]


@pytest.mark.parametrize("samples", [[-1], [90], [1.7], ["1"]])
def test_samples_that_are_not_there_have_no_score(shared_index, tumor, samples):
    with pytest.raises(ValueError, match=r"numbered 0 to 89, got \["):
        score_samples(shared_index, tumor(0), samples)


@pytest.mark.parametrize("k", [0, -1])
def test_k_out_of_range_is_refused(shared_index, tumor, k):
    with pytest.raises(ValueError, match=rf"is 1 or more, got {k}"):
        search(shared_index, tumor(0), k=k)


def test_a_query_that_fits_not_is_refused(source, shared_index, tumor):
    with pytest.raises(ValueError, match="empty_score"):
        search(shared_index, tumor(0), empty_score=float("nan"))
    moved = Grid(source.grid.shape, source.grid.affine + np.eye(4)[:, [1, 2, 3, 0]] * 0.5)
    with pytest.raises(ValueError, match=r"25 x 24 x 30 .* the index needs 25 x 24 x 30"):
        search(shared_index, TumorMasks(source.core[0], source.whole[0], moved))


class Balls:
    """500 balls in the atlas's brain, as a database."""

    n_samples, checksum, grid = 500, "balls", SIMULATION_GRID

    def __init__(self, thresholds):
        atlas = load_atlas()
        brain = atlas.wm + atlas.gm > atlas.csf
        voxels = np.argwhere(brain)
        low, high = voxels.min(axis=0), voxels.max(axis=0) + 1
        high[2] = low[2] + -(-(high[2] - low[2]) // 8) * 8
        self.box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        self.brain = self.tissue = brain[self.box]
        self.thresholds, self.normalisation = thresholds, "absolute"
        self.portions = (Portion(0, self.n_samples, "balls"),)
        rng = np.random.default_rng(3)
        self.centres = rng.permutation(voxels)[: self.n_samples + 10] - low
        self.radii = rng.uniform(6, 18, self.n_samples + 10)
        balls = [np.packbits(self.ball(i), axis=-1) for i in range(self.n_samples)]
        self.core, self.whole = np.array(balls).swapaxes(0, 1)

    def ball(self, i):
        x, y, z = (
            (np.arange(n, dtype=np.float32) - np.float32(c)) ** 2
            for n, c in zip(self.brain.shape, self.centres[i], strict=True)
        )
        distance2 = x[:, None, None] + y[:, None] + z
        radius = np.float32(self.radii[i])
        return [self.brain & (distance2 < (f * radius) ** 2) for f in np.float32([0.6, 1])]

    def packed_outlines(self, start, stop):
        return self.core[start:stop], self.whole[start:stop]


def test_bounds_rule_out_most_tumours(tmp_path, shared_index):
    balls = Balls(shared_index.thresholds)
    index = build_index(balls, tmp_path / "balls")
    n_scored = []
    for i in range(balls.n_samples, balls.n_samples + 10):
        ball = balls.ball(i)
        masks = np.zeros((2, *SIMULATION_GRID.shape), bool)
        masks[:, *balls.box] = ball
        with patch.multiple(exact, FIRST_BATCH=8, FIRST_GROUPS=1):
            result = search_counted(index, TumorMasks(*masks, SIMULATION_GRID), k=5)
        n_scored.append(result.n_scored)
        scores = np.zeros(balls.n_samples)
        for packed, query in zip((balls.core, balls.whole), ball, strict=True):
            common = np.bitwise_count(packed & np.packbits(query, axis=-1)).sum(axis=(1, 2, 3))
            total = np.bitwise_count(packed).sum(axis=(1, 2, 3)) + query.sum()
            scores += 2 * common / total
        assert [m.sample for m in result.matches] == np.argsort(-scores, kind="stable")[:5].tolist()
        assert [m.score for m in result.matches] == np.sort(scores)[:-6:-1].tolist()
    assert np.mean(n_scored) < 0.05 * balls.n_samples, n_scored
