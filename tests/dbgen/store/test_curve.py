import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glioquery.dbgen.store.curve import (
    Arrangement,
    along_curve,
    encode_outline,
    hilbert_rank,
    packed_places,
)


@pytest.mark.parametrize("n_bits", [1, 2, 4])
def test_the_curve_visits_every_voxel_once_and_steps_to_a_neighbour(n_bits):
    voxels = np.argwhere(np.ones((2**n_bits,) * 3, bool))
    rank = hilbert_rank(voxels, n_bits)
    np.testing.assert_array_equal(np.sort(rank), np.arange(8**n_bits))
    steps = np.abs(np.diff(voxels[np.argsort(rank)], axis=0))
    assert (steps.sum(axis=1) == 1).all()


def test_outlines_survive_the_curve():
    rng = np.random.default_rng(0)
    domain = rng.uniform(size=(13, 5, 21)) < 0.7
    voxels = along_curve(domain)
    masks = [domain & (rng.uniform(size=domain.shape) < share) for share in (0, 0.3, 1)]
    in_c_order = np.ravel_multi_index(tuple(voxels.T), masks[0].shape)
    bits = np.stack([encode_outline(mask, in_c_order) for mask in masks])
    assert bits.shape == (3, -(-domain.sum() // 8))
    packed = np.stack([np.packbits(mask, axis=-1) for mask in masks])
    arrangement = Arrangement(packed_places(voxels, domain.shape), packed[0].size)
    for _ in range(2):  # nothing of an outline is left for the next
        np.testing.assert_array_equal(arrangement.arrange(bits).reshape(packed.shape), packed)


@settings(max_examples=60)
@given(n=st.integers(1, 700), n_bytes=st.integers(88, 300), seed=st.integers(0, 2**32 - 1))
def test_bits_come_to_the_places_that_are_asked(n, n_bytes, seed):
    rng = np.random.default_rng(seed)
    places = rng.permutation(8 * n_bytes)[:n].astype(np.intp)
    outlines = rng.random((4, n)) < np.array([0, 0.02, 0.5, 1])[:, None]
    wanted = np.zeros((4, 8 * n_bytes), np.uint8)
    wanted[:, places] = outlines
    arranged = Arrangement(places, n_bytes).arrange(np.packbits(outlines, axis=1))
    np.testing.assert_array_equal(arranged, np.packbits(wanted, axis=1))
