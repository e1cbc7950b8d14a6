import pytest

from glioquery.dbgen import DatabaseError
from glioquery.dbgen.embedded import EMBEDDED
from glioquery.pipeline.opening import open_database, open_index
from glioquery.query import search


def test_the_embedded_database_is_indexed_once_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("GLIOQUERY_CACHE", str(tmp_path))
    before = sorted(EMBEDDED.rglob("*"))
    database = open_database(None)
    index = open_index(database)
    assert index.path.is_relative_to(tmp_path)
    (match,) = search(index, database.outlines(4321), k=1)
    assert (match.sample, match.score) == (4321, 2.0)
    made = index.path.stat().st_mtime_ns
    assert open_index(database).path.stat().st_mtime_ns == made
    assert sorted(EMBEDDED.rglob("*")) == before


def test_a_damaged_index_in_the_cache_is_built_anew(monkeypatch, tmp_path):
    monkeypatch.setenv("GLIOQUERY_CACHE", str(tmp_path))
    database = open_database(None)
    index = open_index(database)
    (index.path / "index.json").unlink()
    (match,) = search(open_index(database), database.outlines(4321), k=1)
    assert (match.sample, match.score) == (4321, 2.0)


def test_a_named_database_is_not_replaced_by_the_embedded_one(tmp_path):
    with pytest.raises(DatabaseError, match="holds no database"):
        open_database(tmp_path)
