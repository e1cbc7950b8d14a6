"""Exact search with the whole index in the memory of a GPU (or whatever device JAX finds).

    |A n Q| = sum over full blocks b of q_b  +  sum over mixed blocks of popcount(bits_A & bits_Q)

for every tumour, without bounds: a GPU reads the 200 MB that the bits of 50,000 tumours take faster
than it would find out which to leave out. The device returns integers; scores and ranks are formed
from them in float64 on the host, so that matches are those of `search`, bit for bit.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..solver import TumorMasks
from ..solver.own_settings import own_jax
from .counting import CutQuery
from .exact import check_request, make_matches
from .index.index import Index
from .match import Match, nearest
from .measures import DICE, Measure

BATCH = 16
"""Queries sent at a time: their counts for 50,000 tumours are 6 MB."""


@dataclass(frozen=True, eq=False)
class DeviceIndex:
    """An index held by a device; make it with `DeviceIndex.load`.

    Attributes
    ----------
    index : Index
    arrays : tuple of jax.Array
        Places of the full blocks among those of a query (cores before wholes), outlines they
        belong to; the same of the mixed blocks; bits of the mixed blocks.
    """

    index: Index
    arrays: tuple[jax.Array, ...]

    @classmethod
    @own_jax()
    def load(cls, index: Index, device: Any = None) -> DeviceIndex:
        """Copy an index to a device, JAX's default one unless another is named."""
        arrays: list[NDArray[Any]] = []
        for kind in ("full", "mixed"):
            starts, blocks = getattr(index, f"{kind}_starts"), getattr(index, f"{kind}_blocks")
            owners = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))
            arrays += [blocks + len(index.tissue) * (owners % 2), owners]
        # JAX has no 64-bit integers unless it is told to.
        arrays.append(np.asarray(index.mixed_bits).view(np.uint32))
        return cls(index, tuple(jax.device_put(array, device) for array in arrays))

    @own_jax()
    def search_many(
        self,
        queries: Iterable[TumorMasks],
        *,
        k: int = 15,
        measure: Measure = DICE,
        empty_score: float = 0.0,
    ) -> list[list[Match]]:
        """The matches of each query, as `search` finds them.

        Raises
        ------
        InputError
            As `search`, or if the measure does not follow from counts.
        """
        check_request(k, empty_score)
        if measure.from_counts is None:
            raise InputError(f"the measure {measure.name} needs masks, a device counts voxels only")
        found = []
        waiting = iter(queries)
        while batch := [CutQuery.of(self.index, masks) for masks in islice(waiting, BATCH)]:
            counts = np.stack([query.counts for query in batch]).astype(np.int32)
            bits = np.stack([query.blocks for query in batch]).view(np.uint32)
            sums = _intersect_all(self.arrays, counts, bits, 2 * self.index.n_samples)
            for query, intersections in zip(batch, np.asarray(sums, np.int64), strict=True):
                by_outline = intersections.reshape(-1, 2).T
                found.append(self._rank(query, by_outline, k, measure, empty_score))
        return found

    def _rank(
        self,
        query: CutQuery,
        intersections: NDArray[np.int64],
        k: int,
        measure: Measure,
        empty_score: float,
    ) -> list[Match]:
        totals = query.totals(self.index, measure)
        merits = measure.merit(intersections, totals, empty_score)
        ids = nearest(-merits, k)
        return make_matches(
            self.index, query, ids, merits[ids], intersections[:, ids], measure, empty_score
        )


@functools.partial(jax.jit, static_argnums=3)
def _intersect_all(
    arrays: tuple[jax.Array, ...], counts: jax.Array, bits: jax.Array, n_outlines: int
) -> jax.Array:
    """Intersections (n_queries, n_outlines) int32 with counts and bits of the queries' blocks."""
    full_places, full_owners, mixed_places, mixed_owners, mixed_bits = arrays

    def sum_by(values: jax.Array, owners: jax.Array) -> jax.Array:
        return jax.ops.segment_sum(values, owners, n_outlines, indices_are_sorted=True)

    def intersect(query: tuple[jax.Array, jax.Array]) -> jax.Array:
        in_block, bits_in_block = query
        in_full = in_block.ravel()[full_places]
        common = mixed_bits & bits_in_block.reshape(-1, mixed_bits.shape[1])[mixed_places]
        in_mixed = jax.lax.population_count(common).sum(axis=1, dtype=jnp.int32)
        return sum_by(in_full, full_owners) + sum_by(in_mixed, mixed_owners)

    return jax.lax.map(intersect, (counts, bits))
