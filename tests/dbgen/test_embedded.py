import json

import numpy as np
import pytest

from glioquery.dbgen import Plan
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
    monkeypatch.setenv("GLIOQUERY_CACHE", "")
    assert not companion_folder(database).is_relative_to(EMBEDDED)
