"""Convolutional autoencoders of outlines: what is learned, and what is minimised.

    encoder   levels of a convolution of stride 2 and one without, 3 x 3 x 3 each, down to 16^3;
              then a linear map to the latent vector z (ae), to its mean and log variance (vae), or
              to u, whose signs are the code (bf-hash)
    decoder   the same backwards: from z, from a draw of z, or from the code

    loss      1 - 2 sum p t / (sum p^2 + sum t^2)       p reconstruction, t input
              + weight x KL(N(mean, variance) || N(0, 1))                             (vae)

The Bi-half layer turns u into a code b of +1 and -1: in each batch, a bit is +1 for the half of
the tumours with the larger u and -1 for the others, which maximises its entropy. Backwards,

    dL/du = dL/db + gamma (u - b) / (number of elements),

that is, the identity and the gradient of gamma |u - b|^2 / 2.

References
----------
I. Ezhov et al., "A for-loop is all you need. For solving the inverse problem in the case of
personalized tumor growth modeling", PMLR 193:566-577, 2022, section 2.4.
Y. Li and J. van Gemert, "Deep unsupervised image hashing by maximizing bit entropy", AAAI 2021.
F. Milletari et al., "V-Net", 3DV 2016: the Dice loss with squares.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from ...errors import ExtraError

try:
    import equinox as eqx
except ImportError:
    raise ExtraError(
        "learned strategies need equinox and optax: `pip install 'glioquery[learned]'`"
    ) from None

__all__ = ["FLAT_EDGE", "Autoencoder", "encode_batch", "eqx"]

FLAT_EDGE = 16
"""Voxels along the edge of the volume that the encoder flattens."""

FEW = 1e-6
"""Added above and below in the Dice loss: two empty volumes agree."""

EMPTY_LOGIT = -4.0
"""Before training the decoder says that a voxel is empty, as nearly all are. From one half
everywhere the Dice loss hardly slopes."""

FIRST_LOG_VARIANCE = -6.0
"""Log variance of the variational latents before training: from noise of variance 1, far above
their means, a decoder learns to ignore them."""


class Convolution(eqx.Module):
    """A 3 x 3 x 3 convolution of stride 1 over (batch, x, y, z, channels), zeros around."""

    kernel: jax.Array  # (3, 3, 3, c_in, c_out)
    bias: jax.Array

    def __init__(self, c_in: int, c_out: int, *, key: jax.Array) -> None:
        self.kernel, self.bias = _kernel(c_in, c_out, key), jnp.zeros(c_out)

    def __call__(self, x: jax.Array) -> jax.Array:
        return _convolve(x, self.kernel, 1) + self.bias


class Halving(eqx.Module):
    """A 3 x 3 x 3 convolution of stride 2: half as many voxels along each axis.

    Output voxel i sees the inputs 2i - 1, 2i, 2i + 1.
    """

    kernel: jax.Array  # (3, 3, 3, c_in, c_out)
    bias: jax.Array

    def __init__(self, c_in: int, c_out: int, *, key: jax.Array) -> None:
        self.kernel, self.bias = _kernel(c_in, c_out, key), jnp.zeros(c_out)

    def __call__(self, x: jax.Array) -> jax.Array:
        return _convolve(x, self.kernel, 2) + self.bias


class Doubling(eqx.Module):
    """The transpose of `Halving`: twice as many voxels along each axis."""

    kernel: jax.Array  # (3, 3, 3, c_out, c_in), as of the convolution that it transposes
    bias: jax.Array

    def __init__(self, c_in: int, c_out: int, *, bias: float = 0.0, key: jax.Array) -> None:
        self.kernel = _kernel(c_out, c_in, key) * math.sqrt(8 * c_out / c_in)
        self.bias = jnp.full(c_out, bias)

    def __call__(self, x: jax.Array) -> jax.Array:
        n, *edges, _ = x.shape
        doubled = (n, *(2 * edge for edge in edges), len(self.bias))
        (y,) = jax.linear_transpose(
            lambda y: _convolve(y, self.kernel, 2), jax.ShapeDtypeStruct(doubled, x.dtype)
        )(x)
        return y + self.bias


class Linear(eqx.Module):
    """A linear map over (batch, n)."""

    weight: jax.Array  # (n_in, n_out)
    bias: jax.Array

    def __init__(self, n_in: int, n_out: int, *, key: jax.Array) -> None:
        self.weight = jax.random.normal(key, (n_in, n_out)) / math.sqrt(n_in)
        self.bias = jnp.zeros(n_out)

    def __call__(self, x: jax.Array) -> jax.Array:
        return x @ self.weight + self.bias


class Autoencoder(eqx.Module):
    """One network for one outline; `kind` is 'ae', 'vae' or 'bf-hash'.

    Parameters
    ----------
    kind : str
    channels : tuple of int
        Channels of each level, the first one next to the input, whose edge is 16 x 2^(number of
        levels).
    latent : int
        Length of the latent vector, bits of the code.
    key : JAX random key
        Key of the initial weights.
    """

    down: list[tuple[Halving, Convolution]]
    to_latent: Linear  # twice as wide for the vae: mean, then log variance
    from_latent: Linear
    up: list[tuple[Convolution, Doubling]]
    kind: str = eqx.field(static=True)
    latent: int = eqx.field(static=True)

    def __init__(
        self, kind: str, channels: tuple[int, ...], latent: int, *, key: jax.Array
    ) -> None:
        self.kind, self.latent = kind, latent
        keys = iter(jax.random.split(key, 4 * len(channels) + 2))
        steps = list(zip((1, *channels[:-1]), channels, strict=True))
        self.down = [
            (Halving(a, b, key=next(keys)), Convolution(b, b, key=next(keys))) for a, b in steps
        ]
        flat = FLAT_EDGE**3 * channels[-1]
        self.to_latent = Linear(flat, 2 * latent if kind == "vae" else latent, key=next(keys))
        if kind == "vae":
            first = jnp.zeros(2 * latent).at[latent:].set(FIRST_LOG_VARIANCE)
            self.to_latent = eqx.tree_at(lambda linear: linear.bias, self.to_latent, first)
        self.from_latent = Linear(latent, flat, key=next(keys))
        self.up = [
            (
                Convolution(b, b, key=next(keys)),
                Doubling(b, a, bias=EMPTY_LOGIT if a == 1 else 0.0, key=next(keys)),
            )
            for a, b in reversed(steps)
        ]

    def encode(self, x: jax.Array) -> jax.Array:
        """Latent vectors (batch, latent) of volumes (batch, x, y, z, 1): z, the mean, or u."""
        return self._encode(x)[:, : self.latent]

    def _encode(self, x: jax.Array) -> jax.Array:
        for halving, convolution in self.down:
            x = jax.nn.relu(convolution(jax.nn.relu(halving(x))))
        return self.to_latent(x.reshape(len(x), -1))

    def decode(self, z: jax.Array) -> jax.Array:
        """Volumes (batch, x, y, z, 1), each value in (0, 1), of latent vectors or codes."""
        x = jax.nn.relu(self.from_latent(z))
        x = x.reshape(len(z), FLAT_EDGE, FLAT_EDGE, FLAT_EDGE, -1)
        for i, (convolution, doubling) in enumerate(self.up):
            x = doubling(jax.nn.relu(convolution(x)))
            if i < len(self.up) - 1:
                x = jax.nn.relu(x)
        return jax.nn.sigmoid(x)

    def reconstruction_loss(self, x: jax.Array) -> jax.Array:
        """Dice loss of a batch (batch, x, y, z, 1) decoded from its z, its means or its codes."""
        z = self.encode(x)
        return dice_loss(self.decode(bi_half(z, 0.0) if self.kind == "bf-hash" else z), x)

    def loss(self, x: jax.Array, key: jax.Array, *, kl_weight: float, gamma: float) -> jax.Array:
        """What training minimises, the mean over a batch (batch, x, y, z, 1)."""
        if self.kind == "ae":
            return self.reconstruction_loss(x)
        z = self._encode(x)
        if self.kind == "bf-hash":
            return dice_loss(self.decode(bi_half(z, gamma)), x)
        mean, log_variance = z[:, : self.latent], z[:, self.latent :]
        noise = jax.random.normal(key, mean.shape)
        drawn = mean + jnp.exp(log_variance / 2) * noise
        divergence = (mean**2 + jnp.exp(log_variance) - 1 - log_variance).sum(axis=1) / 2
        return dice_loss(self.decode(drawn), x) + kl_weight * divergence.mean()


def dice_loss(p: jax.Array, t: jax.Array) -> jax.Array:
    """Mean over the batch of 1 - Dice of two volumes with values in [0, 1]; least where p = t."""
    axes = tuple(range(1, t.ndim))
    common, total = (p * t).sum(axes), (p**2).sum(axes) + (t**2).sum(axes)
    return (1 - (2 * common + FEW) / (total + FEW)).mean()


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def bi_half(u: jax.Array, gamma: float) -> jax.Array:
    """The Bi-half layer: codes of +1 and -1 for a batch (batch, bits); see the module.

    In an odd batch, the smaller half is +1. The place in the batch decides between equal values of
    u.
    """
    order = jnp.argsort(jnp.argsort(-u, axis=0), axis=0)
    return jnp.where(order < len(u) // 2, 1.0, -1.0)


def _bi_half_forward(u: jax.Array, gamma: float) -> tuple[jax.Array, jax.Array]:
    b = bi_half(u, gamma)
    return b, u - b


def _bi_half_backward(gamma: float, away: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    return (gradient + gamma * away / away.size,)


bi_half.defvjp(_bi_half_forward, _bi_half_backward)


def _kernel(c_in: int, c_out: int, key: jax.Array) -> jax.Array:
    return jax.random.normal(key, (3, 3, 3, c_in, c_out)) * math.sqrt(2 / (27 * c_in))


def _convolve(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """A convolution with one voxel of zeros around.

    On a CPU it is computed as one product of matrices: XLA's own convolutions of so few channels
    take 8 times as long.
    """
    return jax.lax.platform_dependent(
        x,
        kernel,
        cpu=functools.partial(_convolve_by_lines, stride=stride),
        default=functools.partial(_convolve_by_library, stride=stride),
    )


def _convolve_by_library(x: jax.Array, kernel: jax.Array, *, stride: int) -> jax.Array:
    layout = ("NDHWC", "DHWIO", "NDHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (stride,) * 3, [(1, 1)] * 3, dimension_numbers=layout
    )


def _convolve_by_lines(x: jax.Array, kernel: jax.Array, *, stride: int) -> jax.Array:
    """The nine lines along z around each line of outputs, times a banded matrix."""
    n, nx, ny, nz, a = x.shape
    padded = jnp.pad(x.reshape(n, nx, ny, nz * a), ((0, 0), (1, 1), (1, 1), (0, 0)))
    lines = [
        padded[:, i : i + nx : stride, j : j + ny : stride] for i in range(3) for j in range(3)
    ]
    # Output t sees the inputs stride t + k - 1.
    band = jnp.stack([jnp.eye(nz, k=1 - k)[:, ::stride] for k in range(3)])
    matrix = jnp.einsum("ijkab,kst->ijsatb", kernel, band).reshape(9 * nz * a, -1)
    product = jnp.concatenate(lines, axis=-1) @ matrix
    return product.reshape(n, -(-nx // stride), -(-ny // stride), -(-nz // stride), -1)


@eqx.filter_jit
def encode_batch(network: Autoencoder, x: jax.Array) -> jax.Array:
    """`Autoencoder.encode`, compiled."""
    return network.encode(x)
