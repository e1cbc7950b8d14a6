"""Strategies that loop over volumes, full or coarse, and what all strategies share."""

import json
import shlex
import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from glioquery.atlas import Grid
from glioquery.dbgen.store.header import HEADER
from glioquery.errors import InputError
from glioquery.query import build_index, search
from glioquery.query.match import nearest
from glioquery.query.strategies import (
    STRATEGIES,
    needs_preparation,
    open_strategy,
    prepare_strategy,
    search_with,
)
from glioquery.query.strategies.downsampled import FACTORS, taken_voxels
from glioquery.query.strategies.naive import Naive
from glioquery.query.strategies.store import folder_of, made, remedy
from glioquery.solver import Thresholds, TumorMasks


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 40))
@settings(max_examples=200)
def test_nearest_breaks_ties_by_position(values, n):
    expected = [i for _, i in sorted((v, i) for i, v in enumerate(values))][:n]
    assert nearest(np.array(values), n).tolist() == expected


@pytest.mark.parametrize("factor", [2, 4])
def test_the_voxels_that_a_spline_of_order_0_takes(factor):
    for n in range(4, 140):
        # Off its border SciPy rounds the last voxel, for some n, past the end of the array.
        expected = ndimage.zoom(np.arange(n), 1 / factor, order=0, mode="nearest")
        assert taken_voxels(n, factor).tolist() == expected.tolist(), n
    as_in_the_paper = ndimage.zoom(np.arange(128), 1 / factor, order=0)
    assert taken_voxels(128, factor).tolist() == as_in_the_paper.tolist()


def test_resampling_the_density_and_then_drawing_is_the_same():
    u = np.random.default_rng(0).random((16, 12, 24))
    coarse = np.ix_(*(taken_voxels(n, 2) for n in u.shape))
    resampled = ndimage.zoom(u, 0.5, order=0, mode="nearest")
    assert ((u >= 0.6)[coarse] == (resampled >= 0.6)).all()


def coarse_scores(source, masks, factor):
    """The definition: resample everything whole, then a loop of Dice."""

    def zoom(mask):
        return ndimage.zoom(mask.astype(np.uint8), 1 / factor, order=0, mode="nearest") > 0

    scores = np.zeros(source.n_samples)
    for query, volumes in ((masks.core, source.core), (masks.whole, source.whole)):
        ours = zoom(query)
        for sample, volume in enumerate(volumes):
            theirs = zoom(volume)
            total = int(ours.sum()) + int(theirs.sum())
            scores[sample] += 2 * int((ours & theirs).sum()) / total if total else 0.0
    return scores


@pytest.mark.parametrize("name", FACTORS)
def test_downsampled_scores_are_those_of_the_loop(name, source, shared_index, queries):
    prepare_strategy(shared_index, name)
    strategy = open_strategy(shared_index, name)
    for masks in queries:
        expected = coarse_scores(source, masks, FACTORS[name])
        np.testing.assert_array_equal(strategy.scores(masks), expected)
        order = np.lexsort((np.arange(source.n_samples), -expected))
        assert strategy.rank(masks, 12).tolist() == order[:12].tolist()


def test_direct_is_exact_search(shared_index, queries):
    direct = open_strategy(shared_index, "direct")
    for masks in queries:
        assert search_with(direct, shared_index, masks, k=7) == search(shared_index, masks, k=7)


def test_naive_is_the_loop(ray, source, shared_index, queries, naive):
    strategy = open_strategy(shared_index, "naive")
    for masks in queries[2:4]:
        assert search_with(strategy, shared_index, masks, k=9) == naive(source, masks, 9)
    some = Naive(shared_index, 31).scores(queries[3])
    all_scores = {m.sample: m.score for m in naive(source, queries[3], source.n_samples)}
    assert some.tolist() == [all_scores[i] for i in range(31)]


@dataclass(frozen=True)
class Fixed:
    """Always the same ids."""

    ids: tuple[int, ...]
    name: str = "fixed"
    fingerprint: str = ""

    def rank(self, masks, n):
        return np.array(self.ids[:n])


def test_matches_keep_the_strategys_order_and_have_exact_scores(source, shared_index, tumor, naive):
    exact = {m.sample: m for m in naive(source, tumor(0), source.n_samples)}
    ids = (40, 0, 87, 3, 12, 5)
    found = search_with(Fixed(ids), shared_index, tumor(0), k=4)
    assert found == [exact[i] for i in ids[:4]]


def test_reranking_orders_the_first_candidates_by_score(source, shared_index, tumor, naive):
    exact = naive(source, tumor(0), source.n_samples)
    ids = (40, 87, 3, 0, 12, 5)
    found = search_with(Fixed(ids), shared_index, tumor(0), k=2, rerank=4)
    assert found == [m for m in exact if m.sample in ids[:4]][:2]
    assert [m.sample for m in found] == [0, 87]  # one tumour, stored twice
    everything = Fixed(tuple(reversed(range(source.n_samples))))
    assert search_with(everything, shared_index, tumor(5), k=9, rerank=source.n_samples) == naive(
        source, tumor(5), 9
    )


def test_what_cannot_be_asked_is_refused(source, shared_index, tumor):
    direct = open_strategy(shared_index, "direct")
    with pytest.raises(ValueError, match="k = 5 or more, got 4"):
        search_with(direct, shared_index, tumor(0), k=5, rerank=4)
    with pytest.raises(ValueError, match="1 or more, got 0"):
        search_with(direct, shared_index, tumor(0), k=0)
    assert len(search_with(direct, shared_index, tumor(0), k=91)) == 90
    moved = Grid(source.grid.shape, source.grid.affine + np.eye(4)[:, [1, 2, 3, 0]] * 0.5)
    with pytest.raises(ValueError, match="resample"):
        search_with(direct, shared_index, TumorMasks(source.core[0], source.whole[0], moved))
    with pytest.raises(
        ValueError, match=r"unknown strategy 'ds16': choose one of direct, naive, ds64"
    ):
        open_strategy(shared_index, "ds16")


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name not in ("direct", "naive")])
def test_an_unprepared_strategy_names_its_command(name, index):
    assert needs_preparation(index, name)
    (index.path.parent / HEADER).touch()  # what tells a database's folder
    command = f"glioquery train {index.path.parent} --strategy radiomics"
    if not name.startswith("radiomics"):
        command = f"glioquery train {index.path.parent} --strategy {name}"
    with pytest.raises(FileNotFoundError, match=command):
        open_strategy(index, name)


def test_a_remedy_opens_no_database(index, tmp_path, monkeypatch):
    """The embedded one cannot be opened where another atlas is in use."""
    monkeypatch.setenv("GLIOQUERY_ATLAS", str(tmp_path / "nowhere"))
    assert remedy(index, "ds32") == "run `glioquery train DB --strategy ds32`"  # index in a cache
    (index.path.parent / HEADER).touch()
    assert remedy(index, "ds32") == f"run `glioquery train {index.path.parent} --strategy ds32`"
    own = replace(
        index,
        path=tmp_path / "databases" / "0123456789abcdef" / "index",
        database_checksum=4 * "0123456789abcdef",
    )
    assert remedy(own, "ds32") == "run `glioquery train --strategy ds32`"
    named = replace(index, path=tmp_path / "my databases" / "DB 1" / "index-0.5-0.2")
    named.path.parent.mkdir(parents=True)
    (named.path.parent / HEADER).touch()
    said = remedy(replace(named, thresholds=Thresholds(core=0.5, whole=0.2)), "ae,vae")
    assert shlex.split(said.removeprefix("run `").removesuffix("`")) == [
        "glioquery", "train", str(tmp_path / "my databases" / "DB 1"), "--strategy", "ae,vae",
        "--core-threshold", "0.5", "--whole-threshold", "0.2", "--normalise", "absolute",
    ]  # fmt: skip


def test_what_was_made_for_another_database_is_refused(index, make_source, source, tmp_path):
    prepare_strategy(index, "ds32")
    assert not needs_preparation(index, "ds32")
    other = make_source(
        source.core, source.whole, source.grid, source.box, source.tissue, checksum="of others"
    )
    rebuilt = build_index(other, tmp_path / "index")
    with pytest.raises(ValueError, match=r"another state of .*--strategy ds32"):
        open_strategy(rebuilt, "ds32")
    assert needs_preparation(rebuilt, "ds32")


def test_damaged_files_are_refused(index):
    prepare_strategy(index, "ds32")
    folder = index.path.parent / "strategies" / "ds32"
    bits = (folder / "bits.npy").read_bytes()
    (folder / "bits.npy").write_bytes(bits[:-8])
    with pytest.raises(ValueError, match=r"bits.npy should have .* bytes, but has"):
        open_strategy(index, "ds32")
    (folder / "bits.npy").write_bytes(b"\0" * len(bits))
    with pytest.raises(ValueError, match=r"bits.npy is no longer an array"):
        open_strategy(index, "ds32")
    manifest = json.loads((folder / "strategy.json").read_text())
    (folder / "strategy.json").write_text(json.dumps(manifest["files"]))
    with pytest.raises(ValueError, match=r"was altered .*--strategy ds32"):
        open_strategy(index, "ds32")


def test_a_strategy_is_opened_for_the_outlines_that_it_was_made_of(index):
    prepare_strategy(index, "ds32")
    for change in ({"thresholds": Thresholds(0.5, 0.1)}, {"normalisation": "own-maximum"}):
        with pytest.raises(InputError, match="the strategy ds32 was prepared for other outlines"):
            open_strategy(replace(index, **change), "ds32")
    path = folder_of(index, "ds32") / "strategy.json"
    manifest = json.loads(path.read_text())
    del manifest["thresholds"], manifest["normalisation"]  # as older versions wrote it
    path.write_text(json.dumps(manifest))
    open_strategy(replace(index, normalisation="own-maximum"), "ds32")


def test_one_process_at_a_time_makes_a_strategy(index):
    with made(index, "ds32"):
        waiting = threading.Thread(target=prepare_strategy, args=(index, "ds32"))
        waiting.start()
        waiting.join(1.0)
        assert waiting.is_alive() and needs_preparation(index, "ds32")
    waiting.join()
    open_strategy(index, "ds32")
