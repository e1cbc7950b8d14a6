import pytest


@pytest.fixture
def files(tmp_path):
    """A folder with files that a table may name; no test of a table opens them."""
    for name in ("t1.nii.gz", "seg.nii.gz"):
        (tmp_path / name).write_bytes(b"no image")
    return tmp_path
