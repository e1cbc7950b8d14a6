import numpy as np
import pytest

from glioquery.dbgen.store.curve import (
    along_curve,
    decode_outlines,
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
    bits = np.stack([encode_outline(mask, voxels) for mask in masks])
    assert bits.shape == (3, -(-domain.sum() // 8))
    packed = np.stack([np.packbits(mask, axis=-1) for mask in masks])
    decoded = decode_outlines(bits, packed_places(voxels, domain.shape), packed[0].size)
    np.testing.assert_array_equal(decoded.reshape(packed.shape), packed)
