import shutil

import pytest

from glioquery.dbgen import ParameterSpace, Plan, Range, generate

SMALL = Plan(ParameterSpace(whole_ml=Range(5, 15), snapshots_per_run=2), seed=7)
"""Small tumours are quick to simulate."""


@pytest.fixture(scope="session")
def small_plan():
    return SMALL


@pytest.fixture(scope="session")
def database(ray, tmp_path_factory):
    """Eleven small tumours in three shards."""
    return generate(tmp_path_factory.mktemp("database") / "db", 11, plan=SMALL, shard_size=4)


@pytest.fixture
def copy(database, tmp_path):
    """A copy of the small database that a test may damage."""
    shutil.copytree(database.path, tmp_path / "copy")
    return tmp_path / "copy"
