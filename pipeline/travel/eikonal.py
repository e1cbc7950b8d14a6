"""Solver of the eikonal equation |grad T| = slowness on a voxel grid, in tissue of any shape.

First every voxel takes the time of Godunov's upwind scheme (Rouy and Tourin 1992), the largest root
T of

    sum over axes of (max(T - T_axis, 0) / h_axis)^2 = slowness^2,

T_axis the earlier one of the two neighbours, until nothing changes: times only fall, so this ends.
Its error is of first order, about half a millimetre at 50 mm from a tumour. Then the differences
become those of second order, (3 T - 4 T_1 + T_2) / 2 h, with the two voxels upwind of T (Sethian
1999). Which voxels are upwind is what the first scheme found: times depend on earlier ones alone,
in a fixed order, so this ends, too. Where both neighbours along an axis are upwind, the earlier
difference counts: fronts meet there, and neither side comes first.

Both run in blocks of voxels, in the order in which the front reaches them (after the fast iterative
method of Jeong and Whitaker 2008): a block is computed when a time beside it has changed. So
compiled programs of one shape serve all images.

References
----------
E. Rouy, A. Tourin, "A viscosity solutions approach to shape-from-shading", SIAM Journal on
Numerical Analysis 29:867-884, 1992. J. A. Sethian, "Fast marching methods", SIAM Review 41:199-235,
1999. W.-K. Jeong, R. T. Whitaker, "A fast iterative method for eikonal equations", SIAM Journal on
Scientific Computing 30:2512-2534, 2008.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

FAR = 1e6
"""Time where no front has arrived, later than any arrival."""

EDGE = 8
"""Voxels along a block's edges."""

RIM = 2
"""Voxels that a block sees on each side, all that the differences need."""

BATCH = 128
"""Blocks computed at once."""

N_STEPS = 8
"""Updates of each voxel of a block before its neighbours learn of them."""

TOLERANCE_MM = 1e-3
"""Smallest change of a time that neighbours have to follow."""

SPARE = 1.05
"""Share of the reach that the first scheme goes: its times are too late, never too early."""

INSIDE = (slice(RIM, RIM + EDGE),) * 3
"""A block in its tile, the block with its rim."""

Relaxation = Callable[..., tuple[Array, Array]]


def solve_eikonal(
    start: NDArray[np.float32],
    slowness: NDArray[np.float32],
    within: NDArray[np.bool_],
    spacing_mm: ArrayLike,
    reach: float = np.inf,
) -> NDArray[np.float32]:
    """Carry known times on through a region.

    Parameters
    ----------
    start : (nx, ny, nz) float32 array
        Known times, `FAR` where there is none. Times below 0, behind the front, serve only the
        differences of second order: they are those of a front in the medium before it.
    slowness : (nx, ny, nz) float32 array
        > 0, used inside the region.
    within : (nx, ny, nz) bool array
        Where paths may lead; times are computed there, and known ones stay.
    spacing_mm : (3,) array
        Distance between voxel centres along each axis.
    reach : float
        Longer times are +inf.

    Returns
    -------
    (nx, ny, nz) float32 array
        +inf where no path leads.
    """
    n_blocks = [-(-n // EDGE) for n in start.shape]
    ends = [(RIM, RIM + EDGE * n - size) for n, size in zip(n_blocks, start.shape, strict=True)]
    times = np.pad(start, ends, constant_values=FAR)
    slow = np.pad(slowness, ends, constant_values=1)
    wanted = np.pad(within & (start == FAR), ends)
    spacing = np.asarray(spacing_mm, np.float32)

    farthest = min(FAR, SPARE * (reach + float(spacing.max() * slow[wanted].max(initial=0))))
    _settle(times, wanted, functools.partial(_first_order, spacing), (slow,), farthest)
    fields = (slow, times.copy())
    _settle(times, wanted, functools.partial(_second_order, spacing), fields, farthest)

    found = times[tuple(slice(RIM, RIM + n) for n in start.shape)]
    return np.where(found > min(reach, FAR / 2), np.inf, found)


def _tiles(padded: NDArray[Any]) -> NDArray[Any]:
    """Views of all blocks with their rims, by block."""
    return sliding_window_view(padded, (EDGE + 2 * RIM,) * 3)[::EDGE, ::EDGE, ::EDGE]


def _blocks(padded: NDArray[Any]) -> NDArray[Any]:
    """Views of all blocks, by block."""
    inner = padded[RIM:-RIM, RIM:-RIM, RIM:-RIM]
    return sliding_window_view(inner, (EDGE,) * 3, writeable=True)[::EDGE, ::EDGE, ::EDGE]


def _settle(
    times: NDArray[np.float32],
    wanted: NDArray[np.bool_],
    relax: Relaxation,
    fields: tuple[NDArray[Any], ...],
    farthest: float,
) -> None:
    """Relax blocks, the earliest first, until no time changes; `times` is changed in place.

    Parameters
    ----------
    times : padded float32 array
    wanted : padded bool array
        Voxels whose times may change.
    relax : callable
        Takes tiles of the times, of `wanted` and of the fields; returns the blocks' times after all
        its updates and before the last one.
    fields : tuple of padded arrays
    farthest : float
        Blocks that the front enters later are left out.
    """
    tiles, blocks = _tiles(times), _blocks(times)
    others = [_tiles(field) for field in (wanted, *fields)]
    is_wanted = np.pad(_blocks(wanted).any(axis=(3, 4, 5)), 1)
    due = np.pad(np.where(tiles < FAR, tiles, np.inf).min(axis=(3, 4, 5)), 1)
    due[~is_wanted] = np.inf
    while True:
        waiting = np.argwhere(due < farthest)
        if not len(waiting):
            return
        if len(waiting) > BATCH:
            waiting = waiting[np.argpartition(due[tuple(waiting.T)], BATCH)[:BATCH]]
        n = len(waiting)
        padding = np.repeat(waiting[:1], BATCH - n, axis=0)
        x, y, z = np.concatenate([waiting, padding]).T - 1
        before = _last(tiles[x, y, z])
        after, last = map(np.asarray, relax(before, *(_last(field[x, y, z]) for field in others)))
        blocks[x, y, z] = np.moveaxis(after, -1, 0)

        after, last, before = after[..., :n], last[..., :n], before[INSIDE][..., :n]
        here = tuple(waiting.T)
        due[here] = np.where(np.abs(after - last) > TOLERANCE_MM, after, np.inf).min(axis=(0, 1, 2))
        changed = np.where(np.abs(after - before) > TOLERANCE_MM, after, np.inf)
        for axis in range(3):
            for side, seen in ((-1, slice(None, RIM)), (1, slice(-RIM, None))):
                there = list(here)
                there[axis] = there[axis] + side
                news = np.moveaxis(changed, axis, 0)[seen].min(axis=(0, 1, 2))
                due[tuple(there)] = np.minimum(due[tuple(there)], news)
        due[~is_wanted] = np.inf


def _last(tiles: NDArray[Any]) -> NDArray[Any]:
    """The batch's axis last, where processors do best with it."""
    return np.ascontiguousarray(np.moveaxis(tiles, 0, -1))


def _shifted(tile: Array, axis: int, by: int) -> Array:
    """A block's neighbours along an axis."""
    window = list(INSIDE)
    window[axis] = slice(RIM + by, RIM + by + EDGE)
    return tile[tuple(window)]


@jax.jit
def _first_order(spacing: Array, tile: Array, wanted: Array, slow: Array) -> tuple[Array, Array]:
    slow, wanted = slow[INSIDE], wanted[INSIDE]

    def update(times: Array) -> Array:
        upwind = [
            jnp.minimum(_shifted(times, axis, -1), _shifted(times, axis, 1)) for axis in range(3)
        ]
        found = _root(upwind, [1 / spacing[axis] ** 2 + 0 * slow for axis in range(3)], slow)
        return jnp.where(wanted, jnp.minimum(found, times[INSIDE]), times[INSIDE])

    return _repeated(update, tile)


@jax.jit
def _second_order(
    spacing: Array, tile: Array, wanted: Array, slow: Array, first: Array
) -> tuple[Array, Array]:
    own, wanted = slow[INSIDE], wanted[INSIDE]
    sides = [
        [_side(spacing[axis], axis, sign, slow, first) for sign in (-1, 1)] for axis in range(3)
    ]

    def update(times: Array) -> Array:
        upwind, weights = [], []
        for (time_low, weight_low), (time_high, weight_high) in (
            [time_beside(times) for time_beside in of_axis] for of_axis in sides
        ):
            upwind.append(jnp.minimum(time_low, time_high))
            both = jnp.maximum(weight_low, weight_high)
            one = jnp.where(time_low < time_high, weight_low, weight_high)
            weights.append(jnp.where(time_low == time_high, both, one))
        return jnp.where(wanted, jnp.minimum(_root(upwind, weights, own), FAR), times[INSIDE])

    return _repeated(update, tile)


def _side(
    spacing: Array, axis: int, sign: int, slow: Array, first: Array
) -> Callable[[Array], tuple[Array, Array]]:
    """The time beside each voxel of a block on one side along an axis, and its weight.

    A difference of second order has the time T_1 + (T_1 - T_2) / 3 and the weight 9 / 4 h^2. The
    time is `FAR` where the side is not upwind in the first scheme.
    """
    one, two = (_shifted(first, axis, sign * by) for by in (1, 2))
    is_upwind, is_second = one < first[INSIDE], two <= one
    most = spacing * jnp.maximum(slow[INSIDE], _shifted(slow, axis, sign))
    weight = jnp.where(is_second, 2.25, 1.0) / spacing**2

    def time_beside(times: Array) -> tuple[Array, Array]:
        one, two = (_shifted(times, axis, sign * by) for by in (1, 2))
        rise = jnp.clip(one - two, 0, most)  # else errors grow from voxel to voxel
        time = one + jnp.where(is_second, rise / 3, 0)
        return jnp.where(is_upwind, time, FAR), weight

    return time_beside


def _repeated(update: Callable[[Array], Array], tile: Array) -> tuple[Array, Array]:
    """A block's times after all updates, and before the last one."""
    tile = lax.fori_loop(0, N_STEPS - 1, lambda _, t: t.at[INSIDE].set(update(t)), tile)
    return update(tile), tile[INSIDE]


def _root(times: list[Array], weights: list[Array], slow: Array) -> Array:
    """The root T of sum of weight max(T - time, 0)^2 = slow^2 over the three axes."""
    terms = list(zip(times, weights, strict=True))
    for low, high in ((0, 1), (1, 2), (0, 1)):  # sorted by time
        (t, w), (u, v) = terms[low], terms[high]
        terms[low] = jnp.minimum(t, u), jnp.where(t > u, v, w)
        terms[high] = jnp.maximum(t, u), jnp.where(t > u, w, v)
    (earliest, weight), *later = terms
    # In delays after the earliest, which float32 holds better than times.
    linear, square = 0 * earliest, -(slow**2)
    root = slow / jnp.sqrt(weight)
    for time, more in later:
        delay = time - earliest
        weight, linear, square = weight + more, linear + more * delay, square + more * delay**2
        inner = jnp.maximum(linear**2 - weight * square, 0)
        root = jnp.where(root > delay, (linear + jnp.sqrt(inner)) / weight, root)
    return earliest + root
