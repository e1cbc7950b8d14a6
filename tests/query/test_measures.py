"""Every measure ranks as a plain loop over all volumes does, ties by ascending id."""

import dataclasses
import math
import sys
import types
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glioquery.atlas import Grid
from glioquery.query import (
    MEASURES,
    Match,
    exact,
    find_measure,
    score_samples,
    search,
    search_counted,
    search_many,
)
from glioquery.query.measures import hausdorff95
from glioquery.solver import TumorMasks


def dice(a, b, empty):
    return 2 * int((a & b).sum()) / (int(a.sum()) + int(b.sum())) if (a | b).any() else empty


NAIVE = {
    "dice": lambda tumor, query, tissue, empty: dice(tumor, query, empty),
    "jaccard": lambda tumor, query, tissue, empty: (
        int((tumor & query).sum()) / int((tumor | query).sum()) if (tumor | query).any() else empty
    ),
    "dice-in-tissue": lambda tumor, query, tissue, empty: dice(tumor, query & tissue, empty),
    "l2": lambda tumor, query, tissue, empty: math.sqrt(int((tumor ^ query).sum())),
}


def test_every_measure_of_counts_is_tested_here():
    assert set(NAIVE) == {name for name, m in MEASURES.items() if m.from_counts is not None}


def naive_search(source, masks, k, name, weights, empty):
    """The loop that defines what a search by a measure returns."""
    tissue = np.zeros(source.grid.shape, bool)
    tissue[source.box] = source.tissue
    sign = 1 if MEASURES[name].larger_is_better else -1
    rows = []
    for sample, tumor in enumerate(zip(source.core, source.whole, strict=True)):
        pairs = list(zip(tumor, (masks.core, masks.whole), strict=True))
        core, whole = (NAIVE[name](a, b, tissue, empty) for a, b in pairs)
        score = weights[0] * core + weights[1] * whole
        rows.append((-sign * score, sample, score, *(dice(a, b, empty) for a, b in pairs)))
    return [Match(*row[1:]) for row in sorted(rows)[:k]]


@st.composite
def some_masks(draw, source):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    whole = source.whole[rng.integers(source.n_samples)]
    whole = np.roll(whole, rng.integers(-4, 5, 3), (0, 1, 2)) ^ (rng.random(whole.shape) < 0.01)
    core = whole & (rng.random(whole.shape) < rng.uniform(0, 1))
    if draw(st.integers(0, 3)) == 0:
        core[:] = False
    return TumorMasks(core, whole, source.grid)


@settings(max_examples=120)
@given(data=st.data())
def test_same_as_the_loop(data, source, shared_index):
    masks = data.draw(some_masks(source))
    name = data.draw(st.sampled_from(sorted(NAIVE)))
    weight = data.draw(st.sampled_from([0.0, 0.3, 1.0, 1.9, 2.0]))
    empty = data.draw(st.sampled_from([0.0, 0.5, 1.0]))
    k = data.draw(st.integers(1, source.n_samples + 20))
    measure = find_measure(name, weights=(weight, 2 - weight))
    sizes = {name: data.draw(st.integers(1, 50)) for name in ("FIRST_BATCH", "FIRST_GROUPS")}
    with patch.multiple(exact, **sizes):
        found = search(shared_index, masks, k=k, measure=measure, empty_score=empty)
    assert found == naive_search(source, masks, k, name, measure.weights, empty)
    some = [match.sample for match in found][::-2]
    again = score_samples(shared_index, masks, some, measure=measure, empty_score=empty)
    assert again == found[::-2]


def test_bounds_rule_tumours_out_for_every_measure_of_counts(source, shared_index, tumor):
    moved = np.roll(tumor(2).whole, 1, axis=0)
    for name in NAIVE:
        with patch.multiple(exact, FIRST_BATCH=4, FIRST_GROUPS=1):
            result = search_counted(
                shared_index,
                TumorMasks(tumor(2).core, moved, source.grid),
                k=1,
                measure=MEASURES[name],
            )
        assert result.n_scored < 0.6 * source.n_samples, name


def test_many_is_one_after_the_other_for_any_measure(shared_index, tumor):
    queries = [tumor(i) for i in (4, 40, 85, 3, 3)]
    for name in NAIVE:
        measure = find_measure(name, weights=(0.5, 1.5))
        assert search_many(shared_index, queries, k=5, measure=measure) == [
            search(shared_index, masks, k=5, measure=measure) for masks in queries
        ]
    assert search_many(shared_index, [], k=5) == []


def naive_hausdorff95(a, b, spacing):
    if not (a.any() or b.any()):
        return 0.0
    if not (a.any() and b.any()):
        return math.inf
    edges = []
    for mask in (a, b):
        points = []
        for voxel in np.argwhere(mask):
            sides = [voxel + sign * axis for axis in np.eye(3, dtype=int) for sign in (-1, 1)]
            if any((s < 0).any() or (s >= mask.shape).any() or not mask[tuple(s)] for s in sides):
                points.append(voxel * spacing)
        edges.append(np.array(points))
    apart = np.linalg.norm(edges[0][:, None] - edges[1], axis=-1)
    return max(np.percentile(apart.min(axis=1), 95), np.percentile(apart.min(axis=0), 95))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_hausdorff_is_that_of_all_pairs_of_edge_voxels(seed):
    rng = np.random.default_rng(seed)
    spacing = np.array([1.0, 2.0, 2.5])
    grid = Grid((9, 8, 7), np.diag([*spacing, 1]))
    masks = []
    for _ in range(4):
        low = rng.integers(0, 6, 3)
        mask = np.zeros(grid.shape, bool)
        mask[tuple(slice(a, a + n) for a, n in zip(low, rng.integers(0, 6, 3), strict=True))] = True
        masks.append(mask & (rng.random(grid.shape) < 0.9))
    query, tumor = (TumorMasks(*pair, grid) for pair in (masks[:2], masks[2:]))
    naive = [
        naive_hausdorff95(a, b, spacing)
        for a, b in ((query.core, tumor.core), (query.whole, tumor.whole))
    ]
    assert hausdorff95(query, tumor) == pytest.approx(sum(naive), rel=1e-12)
    assert hausdorff95(query, tumor, (0.0, 3.0)) == pytest.approx(3 * naive[1], rel=1e-12)


def test_hausdorff_ranks_all_tumours_and_says_how_far_it_is(shared_index, source, tumor):
    calls = []
    measure = MEASURES["hausdorff95"]
    found = search(
        shared_index, tumor(3), k=90, measure=measure, progress=lambda *c: calls.append(c)
    )
    assert (found[0].sample, found[0].score, found[0].dice_whole) == (3, 0.0, 1.0)
    scores = [hausdorff95(tumor(3), tumor(i)) for i in range(90)]
    assert [m.score for m in found] == sorted(scores)
    # Sample 84 has no core, 85 nothing: infinitely far, by ascending id.
    assert [m.sample for m in found if math.isinf(m.score)] == [
        i for i in range(90) if math.isinf(scores[i])
    ]
    assert calls[-1] == (90, 90)
    with pytest.raises(ValueError, match=r"on a grid of .*, the tumour .* needs .*: resample"):
        hausdorff95(
            tumor(3), dataclasses.replace(tumor(3), grid=Grid(source.grid.shape, np.eye(4)))
        )


def test_a_function_of_ones_own(shared_index, source, tumor, tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(
        "def like_in_volume(query, tumor):\n"
        "    return -abs(int(query.whole.sum()) - int(tumor.whole.sum()))\n"
        "def undefined(query, tumor):\n"
        "    return float('nan')\n"
        "number = 3\n"
        "class Shapes:\n"
        "    def alike(query, tumor):\n"
        "        return 1.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = search(shared_index, tumor(3), k=90, measure=find_measure("mine:like_in_volume"))
    volumes = source.whole.sum(axis=(1, 2, 3)).astype(int)
    expected = sorted(range(90), key=lambda i: (abs(volumes[i] - volumes[3]), i))
    assert [match.sample for match in found] == expected
    # Dice stands beside whatever is ranked by.
    assert found[0].dice_whole == 1.0 and found[0].score == 0
    with pytest.raises(ValueError, match=r"mine:undefined returned NaN"):
        search(shared_index, tumor(3), k=1, measure=find_measure("mine:undefined"))
    # As a model's class may, a function may lie in a class, or in the script that runs.
    assert find_measure("mine:Shapes.alike").from_masks(tumor(3), tumor(4), (1.0, 1.0)) == 1.0
    script = types.ModuleType("__main__")
    script.__file__, script.mine = "of_a_script.py", lambda query, tumor: 2.0
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert find_measure("of_a_script:mine").from_masks(tumor(3), tumor(4), (1.0, 1.0)) == 2.0
    for name, message in (
        ("mine:number", "is no function"),
        ("mine:missing", "cannot be imported .* PYTHONPATH"),
        ("nowhere:f", "cannot be imported .* PYTHONPATH"),
        ("cosine", "unknown measure 'cosine': choose one of dice, jaccard, .* module:function"),
    ):
        with pytest.raises(ValueError, match=message):
            find_measure(name)
    with pytest.raises(ValueError, match="weighs the outlines itself"):
        find_measure("mine:like_in_volume", weights=(0.5, 1.5))


@pytest.mark.parametrize("weights", [(-0.1, 2.1), (0.0, 0.0), (math.inf, 1.0), (math.nan, 1.0)])
def test_weights_are_checked(weights):
    with pytest.raises(ValueError, match=r"numbers >= 0, not both 0"):
        find_measure("dice", weights=weights)


def test_samples_that_are_not_there_are_refused(shared_index, tumor):
    with pytest.raises(ValueError, match=r"numbered 0 to 89, got \[3, 90\]"):
        score_samples(shared_index, tumor(0), [3, 90])
