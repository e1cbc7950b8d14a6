"""Which blocks bound best: `python tests/benchmark/blocks.py DB`, ten minutes and 3 GB at 10,000.

The bound of exact search, 2 sum_b min(a_b, q_b) / (|A| + |Q|) for each outline, is computed with
blocks of several edges for unseen tumours. Told are the counts that a query has to read, the
time that one core takes to bound all tumours by them, and how many tumours a search then cannot
avoid to score: those whose bound reaches the k-th best score. One block is the bound by volumes.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from shapes import unseen_tumors

from glioquery.dbgen import Database
from glioquery.query import Index, dice_from_counts, outlines_of, search
from glioquery.solver import TumorMasks

EDGES = (4, 8, 16, 32, 128)
"""Voxels along the edge of a block; the last is larger than the box."""

KS = (1, 15)
PORTION = 250


def count_in_blocks(outlines: NDArray[np.bool_], edge: int) -> NDArray[np.uint32]:
    """Voxels of outlines (n, x, y, z) in each block: (n_blocks, n)."""
    widths = [(0, -n % edge) for n in outlines.shape[1:]]
    padded = np.pad(outlines, [(0, 0), *widths]).view(np.uint8)
    for axis in (3, 2, 1):
        starts = np.arange(0, padded.shape[axis], edge)
        padded = np.add.reduceat(padded, starts, axis=axis, dtype=np.uint32)
    return padded.reshape(len(padded), -1).T


def count_all(index: Index, edge: int, n: int) -> NDArray[np.unsignedinteger]:
    """Counts (2, n_blocks, n) of the first n tumours, in as few bytes as they fit in."""
    dtype = np.min_scalar_type(edge**3)
    parts = []
    for first in range(0, n, PORTION):
        packed = index.packed_outlines(first, min(first + PORTION, n))
        unpacked = (np.unpackbits(bits, axis=-1).view(bool) for bits in packed)
        parts.append(np.array([count_in_blocks(part, edge).astype(dtype) for part in unpacked]))
        index.release_bits()
    return np.concatenate(parts, axis=-1)


def bound(counts: NDArray, asked: list[NDArray], totals: NDArray) -> tuple[NDArray, int]:
    """Bounds (n,) on the score of one query, and the bytes of the counts read for them."""
    score, n_bytes = np.zeros(counts.shape[-1]), 0
    for stored, query, total in zip(counts, asked, totals, strict=True):
        intersection = np.zeros(counts.shape[-1], np.uint32)
        for block in np.flatnonzero(query):
            intersection += np.minimum(stored[block], query[block].astype(stored.dtype))
            n_bytes += stored[block].nbytes
        score += dice_from_counts(intersection, total)
    return score, n_bytes


def report(index: Index, queries: list[TumorMasks], n: int) -> None:
    """A row for each edge."""
    boxed = [np.array([masks.core[index.box], masks.whole[index.box]]) for masks in queries]
    volumes = np.asarray(index.volumes[:, :n], np.int64)
    levels = []
    for masks in queries:
        found = search(index, masks, k=index.n_samples)
        scores = [match.score for match in found if match.sample < n]
        levels.append([scores[k - 1] for k in KS])
    print("| edge, voxels | MB read | ms | scored at least, k = 1 | k = 15 |")
    print("|---|---|---|---|---|")
    for edge in EDGES:
        counts = count_all(index, edge, n)
        rows = []
        for outlines, level in zip(boxed, levels, strict=True):
            asked = list(count_in_blocks(outlines, edge).T)
            totals = volumes + outlines.sum(axis=(1, 2, 3))[:, None]
            start = time.perf_counter()
            bounds, n_bytes = bound(counts, asked, totals)
            taken = 1e3 * (time.perf_counter() - start)
            rows.append([n_bytes / 1e6, taken, *((bounds >= one).sum() for one in level)])
        told = " | ".join(f"{x:.3g}" for x in np.median(rows, axis=0))
        print(f"| {edge} | {told} |", flush=True)


def main() -> None:
    """Count, bound, tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", type=Path)
    parser.add_argument("--queries", type=int, default=80)
    parser.add_argument("--n", type=int, default=10_000, help="tumours that are bounded")
    arguments = parser.parse_args()
    database = Database.open(arguments.database)
    queries = unseen_tumors(database, arguments.queries)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    report(outlines_of(database).open_index(), queries, min(arguments.n, len(database)))


if __name__ == "__main__":
    main()
