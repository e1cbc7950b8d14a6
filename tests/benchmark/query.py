"""Time and memory of exact search: `python tests/benchmark/query.py DB`, or `--synthetic 50000`.

100 queries: the real cases in `--cases` (segmentations in the SRI24 world frame), 80 unseen tumours
drawn from the database's own space with another seed, and stored tumours with uneven boundaries.
Ten random blobs, which no bound is good at, are reported apart. With `--synthetic N`, shapes stand
in for simulated tumours: level sets of an uneven, anisotropic distance from a seed inside the
atlas's tissue, four sizes a seed, 5 to 300 ml, with 5 to 60 % of the volume in the core.

Searches run on one core. `--growth` shows how the time grows with the size, beyond the database's
own by copies of it under small shifts (`--replicate 500000`); `--gpu` searches on JAX's device too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from shapes import (
    Replicated,
    Shapes,
    blob,
    on_grid,
    real_cases,
    roughen,
    synthetic_source,
    unseen_tumors,
)

from glioquery.dbgen import Database
from glioquery.dbgen.machine.cores import processor
from glioquery.query import (
    Index,
    build_index,
    dice_from_counts,
    outlines_of,
    search_counted,
    search_many,
)
from glioquery.solver import TumorMasks

N_QUERIES, N_UNSEEN, N_BLOBS = 100, 80, 10
GROWTH = (1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000)


def make_queries(index: Index, arguments: argparse.Namespace) -> dict[str, list[TumorMasks]]:
    """Queries by kind; the blobs stand apart."""
    rng, box = np.random.default_rng(5), index.box
    kinds: dict[str, list[TumorMasks]] = {}
    if arguments.cases:
        kinds["real"] = real_cases(arguments.cases, arguments.labels)
    if arguments.synthetic:
        shapes = Shapes(seed=2)
        kinds["unseen"] = [on_grid(shapes.four(i)[i % 4], box) for i in range(N_UNSEEN)]
    else:
        kinds["unseen"] = unseen_tumors(Database.open(arguments.database), N_UNSEEN)
    n_left = N_QUERIES - sum(map(len, kinds.values()))
    kinds["uneven"] = []
    for sample in rng.integers(index.n_samples, size=n_left).tolist():
        masks = index.outlines(sample)
        pair = np.array([masks.core[box], masks.whole[box]])
        kinds["uneven"].append(on_grid(roughen(pair, rng), box))
    shape = tuple(s.stop - s.start for s in box)
    kinds["blobs"] = [on_grid(blob(shape, rng), box) for _ in range(N_BLOBS)]
    return kinds


def resident_mb(field: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process, from Linux."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} on this system")


def time_queries(index: Index, queries: list[TumorMasks], k: int) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds of each query, and how many tumours were scored for it."""
    taken, scored = [], []
    for masks in queries:
        start = time.perf_counter()
        result = search_counted(index, masks, k=k)
        taken.append(1e3 * (time.perf_counter() - start))
        scored.append(result.n_scored)
    return np.array(taken), np.array(scored)


def time_naive(index: Index, masks: TumorMasks, n: int) -> float:
    """Seconds of the loop over unpacked volumes, over n samples, scaled to all."""
    volumes = [np.unpackbits(bits, axis=-1).view(bool) for bits in index.packed_outlines(0, n)]
    query = [mask[index.box] for mask in (masks.core, masks.whole)]
    start = time.perf_counter()
    for sample in range(n):
        for ours, theirs in zip(query, volumes, strict=True):
            volume = theirs[sample]
            dice_from_counts(np.sum(ours & volume), np.sum(ours) + np.sum(volume))
    return (time.perf_counter() - start) * index.n_samples / n


def time_packed_scan(index: Index, masks: TumorMasks, n: int) -> float:
    """Seconds of a scan over packed bits, over n samples held in memory, scaled to all."""
    packed = [np.ascontiguousarray(bits).reshape(n, -1) for bits in index.packed_outlines(0, n)]
    query = [np.packbits(mask[index.box], axis=-1) for mask in (masks.core, masks.whole)]
    # Words instead of bytes: the box has a multiple of 8 bytes only by chance, so pad.
    padding = -packed[0].shape[1] % 8
    words = [np.pad(bits, ((0, 0), (0, padding))).view(np.uint64) for bits in packed]
    asked = [np.pad(bits.ravel(), (0, padding)).view(np.uint64) for bits in query]
    start = time.perf_counter()
    for stored, wanted in zip(words, asked, strict=True):
        for first in range(0, n, 64):
            np.bitwise_count(stored[first : first + 64] & wanted).sum(axis=1, dtype=np.int64)
    return (time.perf_counter() - start) * index.n_samples / n


def report_searches(index: Index, kinds: dict[str, list[TumorMasks]], k: int) -> None:
    """Print times, work and memory for each kind of query, and against the plain ways."""
    before = resident_mb("VmRSS")
    tumors = []
    for kind, queries in kinds.items():
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is resident
        taken, scored = time_queries(index, queries, k)
        if kind != "blobs":
            tumors += taken.tolist()
        print(
            f"{kind:8} {len(queries):4} queries: median {np.median(taken):.1f} ms, "
            f"worst {taken.max():.1f} ms; scored median {np.median(scored):.0f}, worst "
            f"{scored.max()}; resident +{resident_mb('VmRSS') - before:.0f} MB, "
            f"peak +{resident_mb('VmHWM') - before:.0f} MB"
        )
    median = float(np.median(tumors))
    print(f"all but blobs      median {median:.1f} ms, worst {max(tumors):.1f} ms")
    n = min(1000, index.n_samples)
    for name, timer in (("naive loop", time_naive), ("packed-bit scan", time_packed_scan)):
        seconds = timer(index, kinds["uneven"][0], n)
        print(f"{name:18} {seconds:.1f} s (timed on {n}, scaled): x {1e3 * seconds / median:.0f}")


def report_gpu(index: Index, queries: list[TumorMasks], k: int) -> None:
    """Print times on JAX's default device, and see that the matches are the same."""
    import jax

    from glioquery.query.device import DeviceIndex

    start = time.perf_counter()
    device = DeviceIndex.load(index)
    found = device.search_many(queries, k=k)
    print(f"device             {jax.devices()[0]}: ready in {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    device.search_many(queries, k=k)
    per_query = 1e3 * (time.perf_counter() - start) / len(queries)
    same = found == search_many(index, queries, k=k)
    print(f"                   {per_query:.2f} ms a query; same matches: {same}")


def report_growth(index: Index, queries: list[TumorMasks], k: int, most: int, work: Path) -> None:
    """Print times for the first tumours of the index, and for copies of all of them."""
    path = work / "growing"
    for n in [n for n in GROWTH if n < most] + [most]:
        grown = build_index(Replicated(index, n), path, n_workers=1)
        time_queries(grown, queries, k)  # maps what will be read
        taken, scored = time_queries(grown, queries, k)
        print(
            f"{n:8} tumours: median {np.median(taken):.1f} ms, worst {taken.max():.1f} ms; "
            f"scored median {np.median(scored):.0f}",
            flush=True,
        )


def run(arguments: argparse.Namespace, work: Path) -> None:
    """The benchmark, with a folder to work in."""
    if arguments.synthetic:
        source = synthetic_source(arguments.synthetic, work)
    else:
        source = outlines_of(Database.open(arguments.database))
    path = work / f"index-{source.n_samples}"
    shutil.rmtree(path, ignore_errors=True)
    start = time.perf_counter()
    build_index(source, path)
    size_mb = sum(file.stat().st_size for file in path.iterdir()) / 1e6
    print(f"processor          {processor()}; searches on one core")
    print(f"samples            {source.n_samples}; k = {arguments.k}")
    print(f"build              {time.perf_counter() - start:.1f} s, {size_mb:.0f} MB")
    kinds = make_queries(Index.open(path), arguments)
    start = time.perf_counter()
    index = Index.open(path)
    print(f"open               {1e3 * (time.perf_counter() - start):.1f} ms")

    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    tumors = [masks for kind, queries in kinds.items() if kind != "blobs" for masks in queries]
    report_searches(index, kinds, arguments.k)
    if arguments.growth or arguments.replicate:
        most = max(arguments.replicate or 0, index.n_samples)
        report_growth(index, tumors, arguments.k, most, work)
    os.sched_setaffinity(0, cores)
    if arguments.gpu:
        report_gpu(index, tumors, arguments.k)


def main() -> None:
    """Build an index, ask it all queries, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", nargs="?", type=Path, help="a database on disk")
    parser.add_argument("--synthetic", type=int, metavar="N", help="N shapes instead")
    parser.add_argument("--cases", type=Path, help="folder of segmentations in SRI24 space")
    parser.add_argument("--labels", default="brats2021", help="their label convention")
    parser.add_argument("--growth", action="store_true", help="time smaller databases too")
    parser.add_argument("--replicate", type=int, metavar="N", help="and up to N by shifted copies")
    parser.add_argument("--gpu", action="store_true", help="search on JAX's default device too")
    parser.add_argument("--work", type=Path, help="keep shapes and indexes in this folder")
    parser.add_argument("-k", type=int, default=15)
    arguments = parser.parse_args()
    if (arguments.database is None) == (arguments.synthetic is None):
        parser.error("name a database or --synthetic N")

    work = arguments.work or Path(tempfile.mkdtemp(prefix="glioquery-benchmark-"))
    work.mkdir(parents=True, exist_ok=True)
    try:
        run(arguments, work)
    finally:
        if arguments.work is None:
            shutil.rmtree(work)


if __name__ == "__main__":
    main()
