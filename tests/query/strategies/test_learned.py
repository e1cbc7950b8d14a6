"""Networks against their definitions, training that can be interrupted, and the ranking."""

import dataclasses
import sys
from contextlib import nullcontext
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from glioquery.dbgen.machine.progress import silent
from glioquery.query.strategies import learned, needs_preparation, open_strategy, training
from glioquery.query.strategies.inputs import pool_packed, pool_query
from glioquery.query.strategies.networks import (
    Autoencoder,
    Convolution,
    Doubling,
    Halving,
    _convolve_by_library,
    _convolve_by_lines,
    bi_half,
    dice_loss,
    eqx,
)
from glioquery.solver import Thresholds

TINY = training.Settings(edge=32, channels=(2,), latent=64, epochs=3, learning_rate=3e-3)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(learned, "PRESETS", {"small": TINY})
    monkeypatch.setattr(training, "CHECKPOINT_EVERY_S", -1.0)


def bars(task, unit):
    return nullcontext(silent)


def random(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def test_doubling_is_the_transpose_of_halving():
    halving = Halving(3, 5, key=jax.random.key(0))
    doubling = Doubling(5, 3, key=jax.random.key(1))
    doubling = eqx.tree_at(lambda layer: layer.kernel, doubling, halving.kernel)
    x, y = random(2, 8, 6, 4, 3), random(2, 4, 3, 2, 5)

    @jax.jit
    def products():
        return (halving(x) * y).sum(), (x * doubling(y)).sum()

    np.testing.assert_allclose(*products(), rtol=1e-4)


@pytest.mark.parametrize(("layer", "stride"), [(Convolution, 1), (Halving, 2)])
def test_convolution_by_lines_is_a_convolution(layer, stride):
    layer, x = layer(3, 4, key=jax.random.key(0)), random(2, 5, 6, 7, 3)

    @jax.jit
    def convolved():
        ways = _convolve_by_library, _convolve_by_lines
        return *(way(x, layer.kernel, stride=stride) for way in ways), layer(x)

    expected, *found = convolved()
    for values in found:
        np.testing.assert_allclose(values, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["ae", "vae", "bf-hash"])
def test_the_decoder_mirrors_the_encoder(kind):
    def coded(x):
        network = Autoencoder(kind, (2, 3), 64, key=jax.random.key(0))
        return network.encode(x), network.decode(network.encode(x))

    x = jax.ShapeDtypeStruct((1, 64, 64, 64, 1), np.float32)
    z, volume = jax.eval_shape(coded, x)  # traced: three kinds take seconds to compile
    assert z.shape == (1, 64)
    assert (volume.shape, volume.dtype) == (x.shape, x.dtype)


def test_dice_loss_is_least_where_both_are_equal():
    t = np.random.default_rng(0).uniform(size=(3, 4, 4, 4, 1)).astype(np.float32)
    disjoint = np.zeros_like(t), np.zeros_like(t)
    for side, volume in enumerate(disjoint):
        volume[:, side] = 1
    loss_and_slope = jax.jit(jax.value_and_grad(dice_loss))
    loss, slope = loss_and_slope(t, t)
    assert float(loss) == pytest.approx(0, abs=1e-6)
    assert np.abs(slope).max() < 1e-6
    assert float(loss_and_slope(np.zeros_like(t), t)[0]) == pytest.approx(1, abs=1e-4)
    assert float(loss_and_slope(np.zeros_like(t), np.zeros_like(t))[0]) == 0
    assert float(loss_and_slope(*disjoint)[0]) == pytest.approx(1)


def test_bi_half_halves_every_bit():
    u = random(32, 20) * 3 + 5
    code = np.asarray(bi_half(u, 6.0))
    assert set(np.unique(code)) == {-1, 1}
    assert (code.sum(axis=0) == 0).all()
    for bit, values in zip(code.T, np.asarray(u).T, strict=True):
        assert values[bit > 0].min() > values[bit < 0].max()
    assert bi_half(jnp.zeros((5, 2)), 6.0).sum(axis=0).tolist() == [-1, -1]


def test_the_gradient_passes_bi_half_with_a_pull_towards_the_code():
    u, weight = random(32, 20), random(32, 20) + 1
    found = jax.grad(lambda v: (bi_half(v, 6.0) * weight).sum())(u)
    expected = weight + 6.0 * (u - bi_half(u, 6.0)) / u.size
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.slow
def test_the_divergence_is_that_of_two_normal_distributions(monkeypatch):
    network = Autoencoder("vae", (2,), 64, key=jax.random.key(0))
    x = np.random.default_rng(1).uniform(size=(4, 32, 32, 32, 1)).astype(np.float32)

    decoded, decode = [], Autoencoder.decode
    monkeypatch.setattr(
        Autoencoder, "decode", lambda self, z: decoded.append(decode(self, z)) or decoded[-1]
    )

    @eqx.filter_jit
    def computed(network, weight):
        loss = network.loss(x, jax.random.key(2), kl_weight=weight, gamma=0)
        return loss, network._encode(x), decoded.pop()

    (with_divergence, z, volume), (without, *_) = (
        computed(network, jnp.float32(w)) for w in (1, 0)
    )
    z = np.asarray(z, np.float64)
    mean, variance = z[:, :64], np.exp(z[:, 64:])
    expected = 0.5 * (mean**2 + variance - 1 - np.log(variance)).sum(axis=1).mean()
    assert float(with_divergence - without) == pytest.approx(expected, rel=1e-3)
    assert 0 < volume.min() < volume.max() < 1


@pytest.mark.parametrize("edge", [32, 16, 8, 4, 3])
def test_inputs_are_the_shares_that_an_outline_fills(edge, source, shared_index, tumor):
    volume = source.whole[20][source.box].astype(float)
    factor = -(-max(volume.shape) // edge)
    padded = np.zeros((edge * factor,) * 3)
    padded[tuple(slice(n) for n in volume.shape)] = volume
    expected = padded.reshape(edge, factor, edge, factor, edge, factor).mean(axis=(1, 3, 5))
    packed = source.packed_outlines(20, 21)[1]
    np.testing.assert_allclose(pool_packed(packed, edge)[0, ..., 0], expected, atol=1e-6)
    _, whole = pool_query(shared_index, tumor(20), edge)
    np.testing.assert_array_equal(whole, pool_packed(packed, edge))


def leaves(network):
    return jax.tree.leaves(eqx.filter(network, eqx.is_array))


class StoppedError(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vae", "bf-hash"])
def test_an_interrupted_training_goes_on_as_if_it_had_not_stopped(kind, index, tmp_path, tiny):
    whole = training.train_network(index, kind, 1, TINY, seed=4)
    assert np.isfinite(whole.losses).all()
    training.remove_checkpoints(index, kind, TINY, 4)

    def stop(done, total):
        if done == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        training.train_network(index, kind, 1, TINY, seed=4, progress=stop)
    told = []
    resumed = training.train_network(
        index, kind, 1, TINY, seed=4, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(2, 3), (3, 3)]
    np.testing.assert_array_equal(resumed.losses, whole.losses)
    for a, b in zip(leaves(resumed.network), leaves(whole.network), strict=True):
        np.testing.assert_array_equal(a, b)
    other = training.train_network(index, kind, 1, TINY, seed=5)
    assert (other.losses != whole.losses).any()  # another seed does not take up the checkpoint


@pytest.mark.slow
@pytest.mark.parametrize("share", [0, 0.5])
def test_a_damaged_checkpoint_is_begun_anew(index, tiny, share):
    whole = training.train_network(index, "bf-hash", 1, TINY, seed=6)
    path = training._checkpoint_path(index, "bf-hash", 1, TINY, 6)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    again = training.train_network(index, "bf-hash", 1, TINY, seed=6)
    np.testing.assert_array_equal(again.losses, whole.losses)


@pytest.mark.slow
def test_training_lowers_the_loss_of_tumours_it_has_not_seen(index):
    settings = dataclasses.replace(TINY, epochs=20)
    losses = training.train_network(index, "ae", 1, settings).losses
    assert losses[-1, 0] < losses[0, 0] - 0.05
    assert losses[-1, 1] < losses[0, 1] - 0.05


@pytest.mark.parametrize(
    "kind", [*(pytest.param(kind, marks=pytest.mark.slow) for kind in ("ae", "vae")), "bf-hash"]
)
def test_ranked_by_the_distance_of_latent_vectors(kind, index, source, queries, tiny):
    learned.train(index, kind, bars=bars)
    strategy = open_strategy(index, kind)
    assert not list((index.path.parent / "strategies" / kind).glob("checkpoint*"))

    def latent(packed, outline):
        z = np.asarray(strategy.networks[outline].encode(pool_packed(packed, 32)))
        if kind == "bf-hash":
            return np.where(z > strategy.medians[outline], 1.0, -1.0)
        return z / np.linalg.norm(z, axis=1, keepdims=True)

    stored = [latent(p, o) for o, p in enumerate(source.packed_outlines(0, source.n_samples))]
    for masks in queries:
        distances = np.zeros(source.n_samples)
        for outline, mask in enumerate((masks.core, masks.whole)):
            query = latent(np.packbits(mask[None, *source.box], axis=-1), outline)
            distances += np.linalg.norm(stored[outline] - query, axis=1)
        np.testing.assert_allclose(strategy.distances(masks), distances, atol=2e-3)
        assert len(strategy.rank(masks, 5)) == 5
    for sample in (0, 11, 60):  # a stored tumour is nothing but itself
        distances = strategy.distances(source_masks(source, sample))
        assert distances[sample] < 2e-3
        assert np.median(distances) > 0.1  # and not all the same


def test_equal_tumours_stand_by_ascending_id(index, source):
    rng = np.random.default_rng(0)
    network = dataclasses.make_dataclass("Network", ["encode"])
    for _ in range(20):
        latents = np.repeat(rng.standard_normal((2, 1, 256), np.float32), 90, axis=1)
        latents /= np.linalg.norm(latents, axis=2, keepdims=True)
        z = rng.standard_normal((1, 256)).astype(np.float32)
        strategy = learned.Learned(
            "ae", index, 32, (network(lambda _, z=z: z),) * 2, latents, None, ""
        )
        with patch.object(learned, "encode_batch", lambda network, x: network.encode(x)):
            ranked = strategy.rank(source_masks(source, 0), 90)
        assert ranked.tolist() == list(range(90))


def test_what_is_trained_is_kept_and_not_ready_while_it_is_made_anew(index, tiny, monkeypatch):
    learned.train(index, "bf-hash", bars=bars)
    manifest = index.path.parent / "strategies" / "bf-hash" / "strategy.json"
    made = manifest.stat().st_mtime_ns
    learned.train(index, "bf-hash", bars=bars)
    assert manifest.stat().st_mtime_ns == made
    monkeypatch.setattr(learned, "_write_latents", stop)
    with pytest.raises(StoppedError):
        learned.train(index, "bf-hash", seed=1, bars=bars)
    assert needs_preparation(index, "bf-hash")


def stop(*_):
    raise StoppedError


def source_masks(source, sample):
    from glioquery.solver import TumorMasks

    return TumorMasks(source.core[sample], source.whole[sample], source.grid)


def test_half_of_the_tumours_have_each_bit(index, tiny):
    learned.train(index, "bf-hash", bars=bars)
    strategy = open_strategy(index, "bf-hash")
    bits = np.unpackbits(np.ascontiguousarray(strategy.latents).view(np.uint8), axis=-1)
    share = bits.mean(axis=1)  # over the tumours, 58 of 90 of which decided the medians
    assert abs(share.mean() - 0.5) < 0.1


def test_what_cannot_be_trained_is_refused(index, make_source, source, tmp_path):
    with pytest.raises(ValueError, match="paper, small, got 'large'"):
        learned.train(index, "ae", preset="large", bars=bars)
    with pytest.raises(ValueError, match="32 or more, got 16"):
        dataclasses.replace(TINY, batch=16)
    with pytest.raises(ValueError, match="a batch of 35 tumours at least"):
        dataclasses.replace(TINY, batch=35, n_validation=32)
    with pytest.raises(ValueError, match="input of edge 32, got 64"):
        dataclasses.replace(TINY, edge=64)
    with pytest.raises(ValueError, match="needs 200 tumours at least, the database holds 90"):
        training.train_network(index, "ae", 0, dataclasses.replace(TINY, batch=100))
    with pytest.raises(ValueError, match="seed is a whole number from 0 up, got -1"):
        training.train_network(index, "ae", 0, TINY, seed=-1)


@pytest.mark.parametrize(
    "package, module, extra",
    [
        ("equinox", "networks", "learned"),
        ("optax", "training", "learned"),
        ("SimpleITK", "shape", "radiomics"),
    ],
)
def test_a_missing_extra_names_its_command(package, module, extra, monkeypatch):
    name = f"glioquery.query.strategies.{module}"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"pip install 'glioquery\[{extra}\]'"):
        __import__(name)


def test_a_finished_training_leaves_the_checkpoints_of_others(index):
    other = dataclasses.replace(TINY, epochs=4)
    grown = dataclasses.replace(index, database_checksum="another" * 8)
    lower = dataclasses.replace(index, thresholds=Thresholds(0.5, 0.2))
    mine, others = [], []
    for outline in (0, 1):
        mine.append(training._checkpoint_path(index, "ae", outline, TINY, 4))
        mine.append(training._checkpoint_path(grown, "ae", outline, TINY, 4))  # nobody goes on
        others.append(training._checkpoint_path(index, "ae", outline, TINY, 5))
        others.append(training._checkpoint_path(index, "ae", outline, other, 4))
        others.append(training._checkpoint_path(lower, "ae", outline, TINY, 4))
    older = mine[0].with_name("checkpoint-core-0123456789ab.eqx")  # of an older version
    for path in [*mine, *others, older]:
        path.touch()
    training.remove_checkpoints(index, "ae", TINY, 4)
    assert sorted(mine[0].parent.glob("checkpoint-*")) == sorted(others)
