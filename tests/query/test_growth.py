"""An index that follows its database is the index that would be built afresh, bit for bit."""

import dataclasses
import json

import numpy as np
import pytest

from glioquery.query import Index, build_index
from glioquery.query.index import build, writing
from glioquery.solver import Thresholds


def first_samples(source, n):
    return dataclasses.replace(
        source, core=source.core[:n], whole=source.whole[:n], checksum=f"first {n}"
    )


def watch(source):
    """The source, and a list of the spans that are read from it."""
    spans, watched = [], dataclasses.replace(source)

    def packed_outlines(start, stop):
        spans.append((start, stop))
        return source.packed_outlines(start, stop)

    watched.packed_outlines = packed_outlines
    return watched, spans


@pytest.mark.parametrize(("n", "n_kept"), [(1, 0), (25, 25), (50, 50), (60, 50), (89, 75)])
def test_a_grown_database_is_added(source, index, tmp_path, monkeypatch, n, n_kept):
    monkeypatch.setattr(build, "SPAN", 20)
    build_index(first_samples(source, n), tmp_path / "grown")
    watched, spans = watch(source)
    progress = []
    grown = build_index(watched, tmp_path / "grown", progress=lambda *c: progress.append(c))
    # The part in which the old database ended is another one now; those before it stay unread.
    assert spans[0][0] == n_kept and spans[-1][1] == 90
    assert progress[0] == (n_kept, 90) and progress[-1] == (90, 90)
    assert grown.files == index.files
    said, fresh = (json.loads((i.path / "index.json").read_text()) for i in (grown, index))
    assert said.pop("arrays") == grown.folder.name and fresh.pop("arrays") == index.folder.name
    assert said == fresh


def test_an_index_that_lacks_nothing_is_left_alone(source, index):
    watched, spans = watch(source)
    before = (index.path / "index.json").stat().st_mtime_ns
    build_index(watched, index.path)
    assert spans == [] and (index.path / "index.json").stat().st_mtime_ns == before


def test_what_changed_in_the_database_is_read_again(source, index, monkeypatch):
    monkeypatch.setattr(build, "SPAN", 25)
    core = source.core.copy()
    core[30] = source.core[31]
    watched, spans = watch(dataclasses.replace(source, core=core, checksum="another"))
    changed = build_index(watched, index.path)
    assert spans == [(25, 50), (50, 75), (75, 90)]
    np.testing.assert_array_equal(changed.outlines(30).core, source.core[31])
    changed.check_source(watched)


def test_a_smaller_database_takes_the_index_over(source, index, tmp_path):
    smaller = build_index(first_samples(source, 50), index.path)
    assert smaller.files == build_index(first_samples(source, 50), tmp_path / "fresh").files


def test_a_damaged_index_is_not_added_to(source, index, tmp_path):
    grown = build_index(first_samples(source, 50), tmp_path / "grown")
    file = grown.folder / "mixed_bits.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    watched, spans = watch(source)
    assert build_index(watched, tmp_path / "grown").files == index.files
    assert spans[0] == (0, 90)


@pytest.mark.parametrize("change", ["thresholds", "normalisation", "tissue"])
def test_other_outlines_are_not_added_to(source, index, change):
    other = {
        "thresholds": Thresholds(core=0.5),
        "normalisation": "own-maximum",
        "tissue": source.tissue | True,
    }
    watched, spans = watch(dataclasses.replace(source, **{change: other[change]}))
    built = build_index(watched, index.path)
    assert spans == [(0, 90)]
    assert (built.thresholds, built.normalisation) == (watched.thresholds, watched.normalisation)


def test_several_processes_build_the_same(ray, source, index, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "SPAN", 20)
    assert build_index(source, tmp_path / "parallel", n_workers=2).files == index.files
    core = source.core.copy()
    core[70, *source.box] = True
    with pytest.raises(ValueError, match="samples 60 to 79 leaves the tissue"):
        build_index(dataclasses.replace(source, core=core), tmp_path / "out", n_workers=2)
    with pytest.raises(ValueError, match="number of workers is 1 or more, got 0"):
        build_index(source, tmp_path / "out", n_workers=0)


def test_an_index_gives_back_the_outlines(source, index):
    for a, b in ((0, 90), (84, 88), (85, 86)):
        for bits, expected in zip(
            index.packed_outlines(a, b), source.packed_outlines(a, b), strict=True
        ):
            np.testing.assert_array_equal(bits, expected)
    tumor = Index.open(index.path).outlines(7)
    np.testing.assert_array_equal(tumor.whole, source.whole[7])
    np.testing.assert_array_equal(tumor.core, source.core[7])


def build_until(source, path, sample):
    """Build an index, and end like a process that is interrupted when it reads a sample."""
    watched = dataclasses.replace(source)

    def packed_outlines(start, stop):
        if stop > sample:
            raise KeyboardInterrupt
        return source.packed_outlines(start, stop)

    watched.packed_outlines = packed_outlines
    with pytest.raises(KeyboardInterrupt):
        build_index(watched, path)


@pytest.mark.parametrize("n_kept", [0, 25])
def test_a_build_goes_on_where_another_was_interrupted(
    source, index, tmp_path, monkeypatch, n_kept
):
    monkeypatch.setattr(build, "SPAN", 10)
    if n_kept:
        build_index(first_samples(source, n_kept), tmp_path / "other")
    build_until(source, tmp_path / "other", 70)
    watched, spans = watch(source)
    progress = []
    again = build_index(watched, tmp_path / "other", progress=lambda *c: progress.append(c))
    first = spans[0][0]
    assert 40 <= first <= 70 and progress[0] == (first, 90)
    assert again.files == index.files
    assert list(again.path.parent.glob(".other*")) == []


def test_a_build_that_is_killed_has_saved_what_it_had_seconds_before(source, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "SPAN", 10)
    monkeypatch.setattr(writing, "SAVE_EVERY_S", -1.0)
    watched, saved = dataclasses.replace(source), []

    def packed_outlines(start, stop):
        for path in tmp_path.rglob(writing.CHECKPOINT):
            saved.append(json.loads(path.read_text("utf-8"))["rows"]["sizes"])
        return source.packed_outlines(start, stop)

    watched.packed_outlines = packed_outlines
    build_index(watched, tmp_path / "other")
    assert saved and saved == sorted(saved) and saved[-1] >= 50


def test_a_build_does_not_go_on_with_another_source(source, index, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "SPAN", 10)
    other = dataclasses.replace(source, core=source.core[::-1], checksum="another")
    build_until(other, tmp_path / "other", 70)
    watched, spans = watch(source)
    assert build_index(watched, tmp_path / "other").files == index.files
    assert spans[0] == (0, 10)


def test_a_build_that_was_interrupted_as_it_ended_reads_nothing_again(
    source, index, tmp_path, monkeypatch
):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(writing.groups, "order_alike", interrupt)
        build_index(source, tmp_path / "other")
    watched, spans = watch(source)
    assert build_index(watched, tmp_path / "other").files == index.files
    assert spans == []
