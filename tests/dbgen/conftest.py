import shutil

import pytest
from generating import SMALL, in_this_process

from glioquery.dbgen import generate


@pytest.fixture(scope="session")
def small_plan():
    return SMALL


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """Eleven small tumours in three shards."""
    with in_this_process():
        return generate(tmp_path_factory.mktemp("database") / "db", 11, plan=SMALL, shard_size=4)


@pytest.fixture
def copy(database, tmp_path):
    """A copy of the small database that a test may damage."""
    shutil.copytree(database.path, tmp_path / "copy")
    return tmp_path / "copy"
