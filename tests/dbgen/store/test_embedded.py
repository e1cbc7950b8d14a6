import dataclasses
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest

from glioquery.dbgen import DatabaseError, Plan
from glioquery.dbgen.store.embedded import EMBEDDED, companion_path, embedded_database, is_embedded
from glioquery.dbgen.store.header import read_header


def test_it_is_the_beginning_of_the_default_plan(atlas):
    # If this fails the default plan or the solver has changed: make the database again, as the
    # docstring of dbgen/store/embedded.py says.
    assert read_header(EMBEDDED)["plan"] == json.loads(json.dumps(Plan().describe(atlas)))


def test_it_holds_what_it_promises_in_little_space():
    database = embedded_database()
    assert len(database) >= 5000
    files = [path for path in EMBEDDED.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12e6


@pytest.mark.parametrize("sample", [0, 3210, 6499])
def test_its_outlines_are_those_of_a_fresh_simulation(sample):
    database = embedded_database()
    density = database.density(sample)  # compares the outlines, and refuses where they differ
    volume = np.count_nonzero(density.u >= np.float32(0.2)) * database.grid.voxel_ml
    assert volume == pytest.approx(float(database.parameters.whole_ml[sample]), rel=1e-3)


@pytest.fixture
def places(monkeypatch, tmp_path):
    """A cache and a folder of temporary files."""
    monkeypatch.setenv("GLIOQUERY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / "cache", tmp_path / f"glioquery-{os.geteuid()}"


@pytest.fixture
def sealed(monkeypatch):
    """Make a folder read-only, to root as well."""
    access = os.access

    def seal(folder):
        monkeypatch.setattr(
            os, "access", lambda path, mode: access(path, mode) and not path.is_relative_to(folder)
        )

    return seal


def test_what_is_made_from_it_lies_in_the_users_cache(places, monkeypatch):
    database = embedded_database()
    cache, temporary = places
    assert is_embedded(database)
    assert companion_path(database, "index").is_relative_to(cache)
    monkeypatch.setenv("GLIOQUERY_CACHE", "")
    assert companion_path(database, "index").is_relative_to(temporary)


def test_a_cache_that_cannot_be_written_is_done_without(places, sealed):
    database = embedded_database()
    cache, temporary = places
    sealed(cache.parent / "cache")
    cache.mkdir()
    assert companion_path(database, "index").is_relative_to(temporary)
    made = cache / "databases" / database.checksum[:16] / "index"
    made.mkdir(parents=True)  # by whoever looks after the cache
    assert companion_path(database, "index") == made


def test_a_cache_below_what_is_no_folder_or_may_not_be_seen_is_done_without(places, monkeypatch):
    database = embedded_database()
    cache, temporary = places
    cache.write_bytes(b"")
    assert companion_path(database, "index").is_relative_to(temporary)
    exists = Path.exists

    def hidden(path):
        if path.is_relative_to(cache):
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", hidden)  # as it is in a home of mode 700
    monkeypatch.setattr(os, "access", lambda path, mode: path != cache.parent)
    assert companion_path(database, "index").is_relative_to(temporary)


def test_what_is_made_from_a_read_only_database_lies_in_the_cache(places, sealed, tmp_path):
    database = dataclasses.replace(embedded_database(), path=tmp_path / "db")
    database.path.mkdir()
    cache, _ = places
    assert companion_path(database, "index") == database.path / "index"
    sealed(database.path)
    assert companion_path(database, "index").is_relative_to(cache)
    (database.path / "index").mkdir()
    assert companion_path(database, "index") == database.path / "index"
    assert companion_path(database, "index-0.5-0.1").is_relative_to(cache)


def test_a_temporary_folder_that_others_may_write_to_is_not_used(places, monkeypatch):
    database = embedded_database()
    cache, temporary = places
    temporary.mkdir()
    temporary.chmod(0o777)
    assert companion_path(database, "index").is_relative_to(cache)
    monkeypatch.setenv("GLIOQUERY_CACHE", "")
    with pytest.raises(DatabaseError, match=f"{temporary} is another user's.*GLIOQUERY_CACHE"):
        companion_path(database, "index")


def test_without_a_cache_it_lies_in_a_folder_that_is_the_users_alone(places, monkeypatch, tmp_path):
    database = embedded_database()
    monkeypatch.setenv("GLIOQUERY_CACHE", "")
    place = companion_path(database, "index")
    (private,) = tmp_path.iterdir()
    assert place.is_relative_to(private) and private.stat().st_mode & 0o777 == 0o700
    assert companion_path(database, "index") == place
    for others in (0o777, 0o720):
        private.chmod(others)
        with pytest.raises(DatabaseError, match="others may write to it: remove it, or let GLIO"):
            companion_path(database, "index")
    private.rmdir()
    private.symlink_to(EMBEDDED)
    with pytest.raises(DatabaseError, match="is another user's"):
        companion_path(database, "index")
    private.unlink()
    other = os.geteuid() + 1
    (tmp_path / f"glioquery-{other}").mkdir(mode=0o700)
    monkeypatch.setattr("os.geteuid", lambda: other)
    with pytest.raises(DatabaseError, match="is another user's"):
        companion_path(database, "index")
