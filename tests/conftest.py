import pytest
from glioquery.atlas import load_atlas
from glioquery.solver import Tissue


@pytest.fixture(scope="session")
def atlas():
    return load_atlas()


@pytest.fixture(scope="session")
def tissue(atlas):
    return Tissue.from_atlas(atlas)
