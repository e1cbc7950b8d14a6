"""Bits that are read are those that are mapped."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glioquery.errors import InputError
from glioquery.query.index import bits

N_BLOCKS = 500


@pytest.fixture
def all_bits(tmp_path, monkeypatch):
    """Bits of blocks in a file, mapped, and the file; few enough bytes to be read count as many."""
    rng = np.random.default_rng(0)
    file = tmp_path / "mixed_bits.npy"
    np.save(file, rng.integers(0, 2**64, (N_BLOCKS, 8), np.uint64))
    monkeypatch.setattr(bits, "MAPPED_AT_MOST", 0)
    return np.load(file, mmap_mode="r").view(np.ndarray), file


@settings(max_examples=100)
@given(
    entries=st.lists(st.integers(0, N_BLOCKS - 1), max_size=60),
    ascending=st.booleans(),
    near=st.sampled_from([1, 7, 64]),
)
def test_what_is_read_is_what_is_mapped(tmp_path_factory, entries, ascending, near):
    file = tmp_path_factory.getbasetemp() / "read_bits.npy"
    if not file.exists():
        np.save(file, np.random.default_rng(0).integers(0, 2**64, (N_BLOCKS, 8), np.uint64))
    mapped = np.load(file, mmap_mode="r").view(np.ndarray)
    asked = np.array(sorted(entries) if ascending else entries, np.intp)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bits, "MAPPED_AT_MOST", 0)
        patch.setattr(bits, "NEAR", near)
        found = bits.take_bits(mapped, file, asked)
    np.testing.assert_array_equal(found, mapped[asked])


def test_blocks_that_lie_together_are_read_at_once(all_bits, monkeypatch):
    mapped, file = all_bits
    places = []
    read = bits.os.preadv
    monkeypatch.setattr(bits.os, "preadv", lambda *a: places.append(a[-1]) or read(*a))
    entries = np.array([3, 4, 9, 300, 301, 2])
    np.testing.assert_array_equal(bits.take_bits(mapped, file, entries), mapped[entries])
    header = file.stat().st_size - mapped.nbytes
    assert places == [header + 64 * first for first in (3, 300, 2)]


def test_a_file_that_is_gone_is_still_mapped(all_bits):
    mapped, file = all_bits
    expected = mapped.copy()
    file.unlink()
    np.testing.assert_array_equal(bits.take_bits(mapped, file, np.arange(N_BLOCKS)), expected)


def test_a_file_that_has_become_shorter_is_refused(all_bits, monkeypatch):
    mapped, file = all_bits
    monkeypatch.setattr(bits.os, "preadv", lambda *_: 0)
    with pytest.raises(InputError, match="has become shorter"):
        bits.take_bits(mapped, file, np.arange(3))
