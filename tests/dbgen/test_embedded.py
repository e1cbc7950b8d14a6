import json
import os

import numpy as np
import pytest

from glioquery.dbgen import DatabaseError, Plan
from glioquery.dbgen.embedded import EMBEDDED, companion_folder, embedded_database, is_embedded
from glioquery.dbgen.header import read_header


def test_it_is_the_beginning_of_the_default_plan():
    # If this fails the default plan or the solver has changed: make the database anew, as the
    # docstring of dbgen/embedded.py says.
    assert read_header(EMBEDDED)["plan"] == json.loads(json.dumps(Plan().describe()))


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


def test_what_is_made_from_it_lies_in_the_users_cache(monkeypatch, tmp_path):
    database = embedded_database()
    monkeypatch.setenv("GLIOQUERY_CACHE", str(tmp_path))
    assert is_embedded(database)
    assert companion_folder(database).is_relative_to(tmp_path)


def test_without_a_cache_it_lies_in_a_folder_that_is_the_users_alone(monkeypatch, tmp_path):
    database = embedded_database()
    monkeypatch.setenv("GLIOQUERY_CACHE", "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = companion_folder(database)
    (private,) = tmp_path.iterdir()
    assert place.is_relative_to(private) and private.stat().st_mode & 0o777 == 0o700
    assert companion_folder(database) == place
    for others in (0o777, 0o720):
        private.chmod(others)
        with pytest.raises(DatabaseError, match="others may write to it: remove it, or let GLIO"):
            companion_folder(database)
    private.rmdir()
    private.symlink_to(EMBEDDED)
    with pytest.raises(DatabaseError, match="is another user's"):
        companion_folder(database)
    private.unlink()
    other = os.geteuid() + 1
    (tmp_path / f"glioquery-{other}").mkdir(mode=0o700)
    monkeypatch.setattr("os.geteuid", lambda: other)
    with pytest.raises(DatabaseError, match="is another user's"):
        companion_folder(database)
