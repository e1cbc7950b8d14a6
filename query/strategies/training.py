"""Training the two networks of a learned strategy, one an outline.

Training depends on the database, its outlines, the settings and the seed alone: epoch e of an
outline shuffles by (seed, outline, e), so that an interrupted training goes on from its last
checkpoint as if it had never stopped. A checkpoint bears the digest of all four in its name; it is
in equinox's own format of plain arrays, written whole or not at all.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ...dbgen.machine.files import completed
from ...dbgen.machine.progress import Progress, silent
from ...errors import ExtraError, InputError
from ...solver.own_settings import own_jax
from ..dice import OUTLINES
from ..index.index import Index
from .inputs import pool_packed
from .networks import FLAT_EDGE, Autoencoder, eqx
from .store import folder_of

try:
    import optax
except ImportError:
    raise ExtraError(
        "learned strategies need equinox and optax: `pip install 'glioquery[learned]'`"
    ) from None

CHECKPOINT_EVERY_S = 60.0

WARM_UP = 0.02
"""Share of the steps in which the learning rate rises from zero."""

CLIP_NORM = 1.0
"""Largest norm of a gradient; a longer one is shortened to it."""


@dataclass(frozen=True)
class Settings:
    """Sizes of a network and of its training.

    Attributes
    ----------
    edge : int
        Voxels along the edge of the input, 16 x 2^(number of levels).
    channels : tuple of int
        Channels of each level.
    latent : int
        Length of the latent vector, bits of a code; a multiple of 64.
    n_training, n_validation : int
        Tumours, at most; a small database is shared out 10 to 1.
    epochs, batch : int
        Bi-half layers degenerate in batches of less than 32.
    learning_rate : float
        Learning rate of Adam after its warm-up; it falls to zero along a cosine.
    kl_weight : float
        Weight of the variational autoencoder's divergence.
    gamma : float
        Strength of the pull of the Bi-half layer's input towards its code. Its authors' 6 outweighs
        the Dice loss, whose gradients are small; 0.06 was best of 6, 0.6, 0.06 and 0.006.
    """

    edge: int
    channels: tuple[int, ...]
    latent: int
    n_training: int = 1500
    n_validation: int = 150
    epochs: int = 100
    batch: int = 32
    learning_rate: float = 1e-3
    kl_weight: float = 1e-4
    gamma: float = 0.06

    def __post_init__(self) -> None:
        if self.edge != FLAT_EDGE * 2 ** len(self.channels):
            raise InputError(
                f"a network of {len(self.channels)} levels has an input of edge "
                f"{FLAT_EDGE * 2 ** len(self.channels)}, got {self.edge}"
            )
        if self.latent % 64 or self.latent < 64:
            raise InputError(f"latent is a multiple of 64, got {self.latent}")
        if self.batch < 32:
            raise InputError(f"batch is 32 or more, got {self.batch}")
        if min(self.n_training, self.n_validation) < self.batch:
            raise InputError(
                f"training and validation take a batch of {self.batch} tumours at least, got "
                f"n_training={self.n_training} and n_validation={self.n_validation}"
            )


PRESETS = MappingProxyType(
    {
        "paper": Settings(edge=128, channels=(8, 16, 32), latent=1024),
        "small": Settings(edge=32, channels=(4,), latent=256, epochs=12, learning_rate=3e-3),
    }
)
"""`paper`: full resolution and the latent size of the paper, which names no channels; for a GPU.
`small`: the tissue's box at 6 mm, on two CPU cores in minutes."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network.

    Attributes
    ----------
    network : Autoencoder
    losses : (epochs, 2) float64 array
        Training loss of each epoch, and the Dice loss of unseen tumours' reconstructions after it.
    training : (n,) array of int
        Samples it was trained on, by rising id.
    """

    network: Autoencoder
    losses: NDArray[np.float64]
    training: NDArray[np.intp]


@own_jax()
def train_network(
    index: Index,
    kind: str,
    outline: int,
    settings: Settings,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Trained:
    """Train one network, or go on with one that was begun.

    Parameters
    ----------
    index : Index
        Index whose outlines are learned.
    kind : {'ae', 'vae', 'bf-hash'}
    outline : {0, 1}
        Core, whole.
    settings : Settings
    seed : int
    progress : callable
        Called with the number of epochs done and their total.

    Raises
    ------
    InputError
        If the database is too small for a batch to train on and one to validate with, or the seed
        is below 0.
    """
    training, validation = share_out(index, settings, seed)
    path = _checkpoint_path(index, kind, outline, settings, seed)
    optimiser = _optimiser(settings, len(training) // settings.batch)
    key = jax.random.key(seed + outline)
    network = Autoencoder(kind, settings.channels, settings.latent, key=key)
    state = _State(
        np.zeros((), np.int64),
        np.zeros((settings.epochs, 2)),
        network,
        optimiser.init(eqx.filter(network, eqx.is_array)),
    )
    if path.is_file():
        # One that was cut short or is of another program is begun anew.
        with path.open("rb") as file, contextlib.suppress(RuntimeError, ValueError, EOFError):
            state = eqx.tree_deserialise_leaves(file, state)
    seen = _outlines(index, training, outline)
    unseen = _outlines(index, validation, outline)
    saved = time.monotonic()
    for epoch in range(int(state.epoch), settings.epochs):
        progress(epoch, settings.epochs)
        rng = np.random.default_rng([seed, outline, epoch])
        network, memory, losses = state.network, state.optimiser, []
        for rows in _batches(len(seen), settings.batch, rng):
            x = pool_packed(seen[rows], settings.edge)
            noise = jax.random.key(int(rng.integers(2**32)))
            network, memory, loss = _step(network, memory, x, noise, optimiser, settings)
            losses.append(loss)
        curve = state.losses.copy()
        curve[epoch] = np.mean(losses), _validate(network, unseen, settings)
        state = _State(np.array(epoch + 1), curve, network, memory)
        last = epoch + 1 == settings.epochs
        if last or time.monotonic() - saved > CHECKPOINT_EVERY_S:
            with completed(path) as temporary, temporary.open("wb") as file:
                eqx.tree_serialise_leaves(file, state)
            saved = time.monotonic()
    progress(settings.epochs, settings.epochs)
    return Trained(state.network, state.losses, training)


def remove_checkpoints(index: Index, kind: str, settings: Settings, seed: int) -> None:
    """Remove the checkpoints of a finished training, and those of other states of the database.

    Other settings and seeds keep theirs: somebody may go on with them.
    """
    done = {_checkpoint_name(index, name, settings, seed) for name in OUTLINES}
    for path in folder_of(index, kind).glob("checkpoint-*.eqx"):
        is_of_this_state = path.name.split("-")[2] == _state_of(index)
        if path.name in done or not is_of_this_state:
            path.unlink(missing_ok=True)


class _State(eqx.Module):
    """What a checkpoint holds."""

    epoch: NDArray[np.int64]
    losses: NDArray[np.float64]
    network: Autoencoder
    optimiser: Any


@eqx.filter_jit
def _step(
    network: Autoencoder, memory: Any, x: Any, noise: Any, optimiser: Any, settings: Settings
) -> tuple[Autoencoder, Any, Any]:
    """One step of the optimiser: the network, its memory, and the loss before the step."""
    weights = {"kl_weight": settings.kl_weight, "gamma": settings.gamma}
    loss, gradient = eqx.filter_value_and_grad(lambda one: one.loss(x, noise, **weights))(network)
    updates, memory = optimiser.update(gradient, memory)
    return eqx.apply_updates(network, updates), memory, loss


@eqx.filter_jit
def _reconstruction_loss(network: Autoencoder, x: Any) -> Any:
    return network.reconstruction_loss(x)


def _validate(network: Autoencoder, unseen: NDArray[np.uint8], settings: Settings) -> float:
    """Mean Dice loss of tumours that were not trained on, in whole batches."""
    n = len(unseen) // settings.batch * settings.batch
    losses = [
        _reconstruction_loss(
            network, pool_packed(unseen[start : start + settings.batch], settings.edge)
        )
        for start in range(0, n, settings.batch)
    ]
    return float(jnp.stack(losses).mean())


@functools.cache  # a new one would be a new program to compile
def _optimiser(settings: Settings, steps_an_epoch: int) -> Any:
    n_steps = settings.epochs * steps_an_epoch
    rate = optax.warmup_cosine_decay_schedule(
        0.0, settings.learning_rate, warmup_steps=round(WARM_UP * n_steps), decay_steps=n_steps
    )
    return optax.chain(optax.clip_by_global_norm(CLIP_NORM), optax.adam(rate))


def share_out(
    index: Index, settings: Settings, seed: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Samples to train on, and the last ones, which share no run with most, to validate with.

    Raises
    ------
    InputError
        If the database is too small, or the seed is below 0.
    """
    if seed < 0:
        raise InputError(f"seed is a whole number from 0 up, got {seed}")
    n_validation = min(settings.n_validation, max(index.n_samples // 11, settings.batch))
    n_training = min(settings.n_training, index.n_samples - n_validation)
    if n_training < settings.batch:
        raise InputError(
            f"training needs {2 * settings.batch} tumours at least, the database holds "
            f"{index.n_samples}: extend it with `glioquery generate`"
        )
    n_others = index.n_samples - n_validation
    chosen = np.random.default_rng(seed).permutation(n_others)
    return np.sort(chosen[:n_training]), np.arange(n_others, index.n_samples)


def _outlines(index: Index, samples: NDArray[np.intp], outline: int) -> NDArray[np.uint8]:
    """Packed outlines of some samples."""
    return np.concatenate([index.packed_outlines(int(i), int(i) + 1)[outline] for i in samples])


def _batches(n: int, batch: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    """Whole batches of a shuffled epoch."""
    order = rng.permutation(n)
    for start in range(0, n - batch + 1, batch):
        yield order[start : start + batch]


def _checkpoint_path(index: Index, kind: str, outline: int, settings: Settings, seed: int) -> Path:
    folder = folder_of(index, kind)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / _checkpoint_name(index, OUTLINES[outline], settings, seed)


def _checkpoint_name(index: Index, outline: str, settings: Settings, seed: int) -> str:
    made_for = [index.database_checksum, index.drawn_at]
    decides = [*made_for, dataclasses.asdict(settings), seed]
    digest = hashlib.sha256(json.dumps(decides).encode()).hexdigest()[:12]
    return f"checkpoint-{outline}-{_state_of(index)}-{digest}.eqx"


def _state_of(index: Index) -> str:
    """What the names of checkpoints tell of the database's state."""
    return index.database_checksum[:12]
