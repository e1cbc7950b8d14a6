import pytest

from glioquery.atlas import load_atlas
from glioquery.dbgen.machine.cluster import connected
from glioquery.solver import Tissue


@pytest.fixture(scope="session")
def atlas():
    return load_atlas()


@pytest.fixture(scope="session")
def tissue(atlas):
    return Tissue.from_atlas(atlas)


@pytest.fixture(scope="session")
def ray():
    """One local cluster for all tests that generate databases."""
    with connected(n_workers=2) as ray:
        yield ray
