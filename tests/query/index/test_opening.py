import contextlib
import errno
import fcntl
import os
import shutil
import tempfile

import pytest

from glioquery.dbgen import DatabaseError
from glioquery.dbgen.store.embedded import EMBEDDED
from glioquery.dbgen.store.opening import open_database
from glioquery.errors import FailedError
from glioquery.query import Index, search
from glioquery.query.index import opening
from glioquery.query.index.opening import open_index
from glioquery.query.index.outlines import INDEX_FOLDER


@pytest.fixture(scope="module")
def built():
    """The index of the embedded database, which the first test of a session that asks builds."""
    index = open_index(open_database(None))
    assert index.path.is_relative_to(os.environ["GLIOQUERY_CACHE"])
    assert not (EMBEDDED / INDEX_FOLDER).exists()
    return index


@pytest.fixture
def copied(built, monkeypatch):
    """Where an index was built, which is quick: it is that of `built`."""
    paths = []

    def copy(outlines, path, progress):
        paths.append(path)
        shutil.copytree(built.path, path)
        return Index.open(path)

    monkeypatch.setattr(opening, "build_index", copy)
    return paths


@pytest.fixture
def temporary(monkeypatch, tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def finds(index, database):
    (match,) = search(index, database.outlines(4321), k=1)
    return (match.sample, match.score) == (4321, 2.0)


def test_the_embedded_database_is_indexed_once_in_the_cache(built, monkeypatch, copied):
    monkeypatch.setenv("GLIOQUERY_CACHE", str(built.path.parents[2]))
    database = open_database(None)
    assert open_index(database).path == built.path and copied == []
    assert finds(built, database)


def test_what_is_opened_shows_no_bar_and_what_is_built_does(monkeypatch, tmp_path, copied):
    monkeypatch.setenv("GLIOQUERY_CACHE", str(tmp_path))
    bars = []

    def bar(task, unit):
        bars.append(task)
        return contextlib.nullcontext(lambda done, total: None)

    for _ in range(2):
        open_index(open_database(None), bars=bar)
    assert bars == ["index the embedded database, once"]


def test_a_damaged_index_in_the_cache_is_built_anew(monkeypatch, tmp_path, copied):
    monkeypatch.setenv("GLIOQUERY_CACHE", str(tmp_path))
    database = open_database(None)
    index = open_index(database)
    (index.path / "index.json").unlink()
    assert finds(open_index(database), database)
    assert copied == [index.path] * 2


@pytest.mark.parametrize("cache", ["", "file/cache"])
def test_without_a_cache_the_index_is_kept_among_temporary_files(
    monkeypatch, tmp_path, temporary, copied, cache
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GLIOQUERY_CACHE", cache and str(tmp_path / cache))
    told = []
    index = open_index(open_database(None), tell=told.append)
    assert index.path.is_relative_to(temporary)
    assert len(told) == bool(cache)
    assert all(f"{tmp_path}/file" in line and "GLIOQUERY_CACHE" in line for line in told)
    assert open_index(open_database(None)).path == index.path and len(copied) == 1


def test_a_cache_on_a_full_disk_is_done_without(monkeypatch, tmp_path, temporary, built):
    def build(outlines, path, progress):
        if path.is_relative_to(tmp_path / "cache"):
            raise OSError(errno.ENOSPC, "No space left on device")
        shutil.copytree(built.path, path)
        return Index.open(path)

    monkeypatch.setattr(opening, "build_index", build)
    monkeypatch.setenv("GLIOQUERY_CACHE", str(tmp_path / "cache"))
    with pytest.warns(match=rf"{tmp_path}/cache\S*: No space left on device; GLIOQUERY_CACHE"):
        assert open_index(open_database(None)).path.is_relative_to(temporary)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    with pytest.raises(FailedError, match=r"has no place .*No space left.*GLIOQUERY_CACHE"):
        open_index(open_database(None), tell=lambda sentence: None)


def test_a_cache_without_locks_serves_as_well(monkeypatch, tmp_path, copied):
    def refuse(file, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setenv("GLIOQUERY_CACHE", str(tmp_path))
    assert open_index(open_database(None)).path.is_relative_to(tmp_path)


def test_a_named_database_is_not_replaced_by_the_embedded_one(tmp_path):
    with pytest.raises(DatabaseError, match="holds no database"):
        open_database(tmp_path)
