"""Queries in the latent space of trained encoders.

    ae, vae   distance = || z_core(Q) - z_core(A) ||_2 + || z_whole(Q) - z_whole(A) ||_2
              of latent vectors that are scaled to length one
    bf-hash   the same of codes of +1 and -1, each norm being 2 sqrt(Hamming distance)

A bit of a query is +1 where its u is above the median over the tumours that the encoder was trained
on: what the Bi-half layer does with a batch, done with all of them.
"""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from ...dbgen.machine.files import completed, reserved_array
from ...dbgen.machine.progress import Bars
from ...errors import InputError
from ...solver import TumorMasks
from ...solver.own_settings import own_jax
from ..dice import OUTLINES
from ..index.index import Index
from ..match import nearest
from .inputs import pool_packed, pool_query
from .networks import Autoencoder, encode_batch, eqx
from .store import (
    fingerprint_of,
    finish,
    folder_of,
    is_ready,
    made,
    map_array,
    read_manifest,
    remedy,
    write_array,
)
from .training import (
    PRESETS,
    Settings,
    Trained,
    remove_checkpoints,
    share_out,
    train_network,
)

BATCH = 64
"""Tumours encoded at a time."""


def check_trainable(index: Index, preset: str) -> Settings:
    """See, without work, that encoders can be trained for a database.

    Raises
    ------
    InputError
        If the preset is unknown or the database too small.
    """
    if preset not in PRESETS:
        raise InputError(f"the preset is one of {', '.join(PRESETS)}, got {preset!r}")
    share_out(index, PRESETS[preset], seed=0)
    return PRESETS[preset]


@own_jax()
def train(index: Index, kind: str, *, preset: str = "small", seed: int = 0, bars: Bars) -> None:
    """Train both networks of a strategy and encode all tumours of the database, if not done yet.

    `core.eqx`, `whole.eqx`: the networks. `latents.npy`, (2, n_samples, latent) float32: latent
    vectors of length one; for bf-hash (2, n_samples, latent / 64) uint64: codes, and
    `medians.npy`, (2, latent) float32.

    Parameters
    ----------
    index : Index
    kind : {'ae', 'vae', 'bf-hash'}
    preset : str
        One of `training.PRESETS`.
    seed : int
        Seed of the choice of tumours, the initial weights and the batches.
    bars : callable(task, unit)
        Makes a progress bar, a context that yields a callable(done, total).

    Raises
    ------
    InputError
        If the preset is unknown or the database too small.
    """
    settings = check_trainable(index, preset)
    if _is_trained(index, kind, settings, seed):
        return
    trained, seconds = [], []
    for outline, name in enumerate(OUTLINES):
        began = time.perf_counter()
        with bars(f"train {kind}, {name}", "epochs") as progress:
            trained.append(
                train_network(index, kind, outline, settings, seed=seed, progress=progress)
            )
        seconds.append(round(time.perf_counter() - began, 1))
    with made(index, kind) as folder:
        _write_latents(index, kind, trained, settings, bars)
        for name, one in zip(OUTLINES, trained, strict=True):
            with completed(folder / f"{name}.eqx") as temporary, temporary.open("wb") as file:
                eqx.tree_serialise_leaves(file, one.network)
        files = [*(f"{name}.eqx" for name in OUTLINES), "latents.npy"]
        finish(
            index,
            kind,
            files + (["medians.npy"] if kind == "bf-hash" else []),
            preset=preset,
            settings=dataclasses.asdict(settings),
            seed=seed,
            n_trained_on=len(trained[0].training),
            losses={
                name: {
                    "training": one.losses[:, 0].tolist(),
                    "validation": one.losses[:, 1].tolist(),
                }
                for name, one in zip(OUTLINES, trained, strict=True)
            },
            seconds=dict(zip(OUTLINES, seconds, strict=True)),
            device=jax.devices()[0].device_kind,
        )
    remove_checkpoints(index, kind, settings, seed)


@dataclass(frozen=True, eq=False)
class Learned:
    """Least distance of latent vectors or codes; see `train` for the arrays."""

    name: str
    index: Index
    edge: int
    networks: tuple[Autoencoder, ...]
    latents: NDArray[Any]
    medians: NDArray[np.float32] | None
    fingerprint: str

    @classmethod
    @own_jax()
    def open(cls, index: Index, name: str) -> Learned:
        """Open what `train` made.

        Raises
        ------
        InputError
            As `store.read_manifest`.
        """
        manifest = read_manifest(index, name)
        folder = folder_of(index, name)
        try:
            fields = manifest["settings"]
            settings = Settings(**(fields | {"channels": tuple(fields["channels"])}))
            like = eqx.filter_eval_shape(
                Autoencoder, name, settings.channels, settings.latent, key=jax.random.key(0)
            )
            networks = tuple(
                eqx.tree_deserialise_leaves(folder / f"{outline}.eqx", like) for outline in OUTLINES
            )
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"the encoders in {folder} cannot be read ({error!r}): {remedy(index, name)}"
            ) from error
        medians = map_array(index, name, "medians.npy") if name == "bf-hash" else None
        latents = map_array(index, name, "latents.npy")
        return cls(name, index, settings.edge, networks, latents, medians, fingerprint_of(manifest))

    def rank(self, masks: TumorMasks, n: int) -> NDArray[np.intp]:
        """Ids of the n tumours of least distance."""
        return nearest(self.distances(masks), n)

    @own_jax()
    def distances(self, masks: TumorMasks) -> NDArray[np.float64]:
        """Distance of every tumour."""
        masks.require_grid(self.index.grid, "the index")
        total = np.zeros(self.index.n_samples)
        for outline, x in enumerate(pool_query(self.index, masks, self.edge)):
            z = np.asarray(encode_batch(self.networks[outline], x))
            stored = self.latents[outline]
            if self.medians is not None:
                code = _code(z, self.medians[outline])
                total += 2 * np.sqrt(np.bitwise_count(stored ^ code).sum(axis=1, dtype=np.int64))
            else:
                # Both of length one: |a - b|^2 = 2 - 2 a.b. A product of matrices would round the
                # last rows differently, and so tear equal tumours apart.
                cosines = np.einsum("ij,j->i", stored, _scaled(z)[0])
                total += np.sqrt(np.maximum(2 - 2 * cosines, 0))
        return total


def _is_trained(index: Index, kind: str, settings: Settings, seed: int) -> bool:
    """Whether this very training was finished for this state of the database."""
    if not is_ready(index, kind):
        return False
    manifest = read_manifest(index, kind)
    described = json.loads(json.dumps(dataclasses.asdict(settings)))
    return bool(manifest["settings"] == described and manifest["seed"] == seed)


def _write_latents(
    index: Index, kind: str, trained: list[Trained], settings: Settings, bars: Bars
) -> None:
    folder = folder_of(index, kind)
    n = index.n_samples
    hashes = kind == "bf-hash"
    medians = np.zeros((2, settings.latent), np.float32)
    if hashes:
        for outline, one in enumerate(trained):
            u = [
                _encode(index, one.network, outline, int(i), int(i) + 1, settings.edge)
                for i in one.training
            ]
            medians[outline] = np.median(np.concatenate(u), axis=0)
        write_array(folder / "medians.npy", medians)
    dtype, width = ("<u8", settings.latent // 64) if hashes else ("<f4", settings.latent)
    with completed(folder / "latents.npy") as temporary, bars(f"encode {kind}", "tumours") as told:
        latents = reserved_array(temporary, dtype, (2, n, width))
        for start in range(0, n, BATCH):
            stop = min(start + BATCH, n)
            for outline, one in enumerate(trained):
                z = _encode(index, one.network, outline, start, stop, settings.edge)
                latents[outline, start:stop] = _code(z, medians[outline]) if hashes else _scaled(z)
            told(stop, n)
        latents.flush()


def _encode(
    index: Index, network: Autoencoder, outline: int, start: int, stop: int, edge: int
) -> NDArray[np.float32]:
    """Latent vectors of the samples start .. stop - 1."""
    packed = index.packed_outlines(start, stop)[outline]
    return np.asarray(encode_batch(network, pool_packed(packed, edge)))


def _scaled(z: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (n, latent) scaled to length one; zero stays zero."""
    length = np.linalg.norm(z, axis=1, keepdims=True)
    return np.divide(z, length, out=np.zeros_like(z), where=length > 0)


def _code(u: NDArray[np.float32], medians: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Codes (n, latent) as bits (n, latent / 64)."""
    return np.packbits(u > medians, axis=1).view("<u8")
