"""Search spread over actors finds what one process finds, whoever dies meanwhile."""

import dataclasses
import importlib
import os
import signal

import numpy as np
import pytest

from glioquery.query import MEASURES, build_index, search, search_many
from glioquery.query.measures import Measure, find_measure
from glioquery.query.sharded import sharded
from glioquery.solver import TumorMasks

pytestmark = pytest.mark.usefixtures("ray")


@pytest.fixture(scope="module")
def queries(source):
    """More than two batches: samples, some twice in the database, moved and empty ones."""
    rng = np.random.default_rng(5)
    found = []
    for sample in [0, 11, 84, 85, 86, *rng.integers(0, 90, 35).tolist()]:
        core, whole = source.core[sample], source.whole[sample]
        if len(found) % 3 == 2:
            core, whole = (np.roll(mask, (1, -1, 2), (0, 1, 2)) for mask in (core, whole))
        found.append(TumorMasks(core, whole, source.grid))
    return found


@pytest.fixture(scope="module")
def spread(ray, shared_index):
    with sharded(shared_index, n_shards=4) as spread:
        yield spread


def check_same(spread, index, queries):
    assert spread.spans[0][0] == 0 and spread.spans[-1][1] == index.n_groups
    for k, empty_score in ((1, 0.0), (7, 1.0), (90, 0.0)):
        options = {"k": k, "empty_score": empty_score}
        assert spread.search_many(queries, **options) == search_many(index, queries, **options)
    for name in ("l2", "hausdorff95"):  # the smaller, the better
        options = {"k": 15, "measure": MEASURES[name]}
        expected = search_many(index, queries[:3], **options)
        assert spread.search_many(queries[:3], **options) == expected


def test_four_shards_find_what_one_process_finds(spread, shared_index, queries):
    assert len(spread.spans) == 4
    check_same(spread, shared_index, queries)


@pytest.mark.slow
@pytest.mark.parametrize("n_shards", [1, 2])
def test_other_numbers_of_shards_do_so_too(n_shards, shared_index, queries):
    with sharded(shared_index, n_shards=n_shards) as other:
        assert len(other.spans) == n_shards
        check_same(other, shared_index, queries)


def test_one_query_tells_how_far_it_is(spread, shared_index, queries):
    calls = []
    matches = spread.search(queries[7], k=5, progress=lambda *call: calls.append(call))
    assert matches == search(shared_index, queries[7], k=5)
    assert len(calls) == 4 and calls[-1] == (90, 90)
    assert calls == sorted(set(calls))


def common_voxels_once_killed(marker):
    """A measure that kills the first process that comes to its 5th tumour."""
    seen = []

    def common_voxels(query, tumor, weights):
        seen.append(tumor)
        if len(seen) == 5 and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return float((query.core & tumor.core).sum() + (query.whole & tumor.whole).sum())

    return Measure("common-voxels", from_masks=common_voxels)


def test_an_actor_killed_in_the_middle_of_a_batch(spread, shared_index, queries, tmp_path):
    marker = tmp_path / "killed"
    measure = common_voxels_once_killed(marker)
    found = spread.search_many(queries[:20], k=6, measure=measure)
    assert marker.exists()
    assert found == search_many(shared_index, queries[:20], k=6, measure=measure)


def test_a_users_function_travels_to_actors_that_lack_its_module(
    spread, shared_index, queries, tmp_path, monkeypatch
):
    (tmp_path / "elsewhere.py").write_text(
        "def common(query, tumor):\n    return (query.whole & tumor.whole).sum()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "farther.py").write_text(
        "def least(intersections, totals, *, empty_score):\n    return intersections / 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    of_counts = Measure("least", importlib.import_module("farther").least)
    for measure in (find_measure("elsewhere:common"), of_counts):
        found = spread.search(queries[7], k=5, measure=measure)
        assert found == search(shared_index, queries[7], k=5, measure=measure)


@pytest.mark.slow
def test_an_actor_that_always_dies_is_said(shared_index, queries, monkeypatch):
    def deadly(query, tumor, weights):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr("glioquery.query.sharded.MAX_DEATHS", 1)
    with (
        sharded(shared_index, n_shards=2) as spread,
        pytest.raises(RuntimeError, match="a process of the search died 2 times"),
    ):
        spread.search(queries[0], measure=Measure("deadly", from_masks=deadly))


def test_an_index_built_anew_is_not_mistaken_for_the_old(make_source, source, index, queries):
    changed = dataclasses.replace(
        source, core=source.core[::-1], whole=source.whole[::-1], checksum="another"
    )
    build_index(changed, index.path)
    with (
        sharded(index, n_shards=1) as spread,
        pytest.raises(ValueError, match=r"sees another index at .* build it once"),
    ):
        spread.search(queries[0])


def test_bad_requests_are_refused_before_any_work(spread, shared_index, queries):
    for n_shards in (0, 13):
        with pytest.raises(ValueError, match=f"n_shards is 1 to 12, .* got {n_shards}"):
            sharded(shared_index, n_shards=n_shards).__enter__()
    for ask in (spread.search, spread.search_many):
        with pytest.raises(ValueError, match=r"is 1 or more, got 0"):
            ask(queries[0], k=0)


def test_a_part_finds_the_samples_of_its_groups(shared_index, tumor):
    part = shared_index.part(3, 7)
    assert set(part.samples) == set(shared_index.members[3:7].ravel())
    everything = search(shared_index, tumor(30), k=90)
    inside = [match for match in everything if match.sample in part.samples]
    assert search(part, tumor(30), k=32) == inside
    assert search(part, tumor(30), k=90) == inside
