"""Time and memory of exact search: `python tests/benchmark/query.py --synthetic 50000`.

With `DB`, a database on disk is indexed (if it is not yet) and its own tumours, moved by a voxel
or two and made uneven, are the queries. With `--synthetic N`, shapes stand in for simulated
tumours: level sets of an uneven, anisotropic distance from a seed inside the atlas's tissue, four
sizes a seed, 5 to 300 ml, with 5 to 60 % of the volume in the core.

Run it on one core (`taskset -c 0`, OMP_NUM_THREADS=1) to compare with the stated figures.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from glioquery.atlas import SIMULATION_GRID, load_atlas
from glioquery.query import Index, OutlineSource, build_index, dice_from_counts, search_counted
from glioquery.solver import Thresholds, TumorMasks
from scipy import ndimage

SIZES_PER_SEED = 4
VOXELS_PER_ML = 125


class Shapes:
    """Pairs of outlines; shape i depends on the seed and on i alone."""

    def __init__(self, seed: int) -> None:
        atlas = load_atlas()
        labels, _ = ndimage.label(atlas.wm + atlas.gm > atlas.csf)
        brain = labels == 1 + np.bincount(labels.ravel())[1:].argmax()
        voxels = np.argwhere(brain)
        low, high = voxels.min(axis=0), voxels.max(axis=0) + 1
        high[2] = low[2] + -(-(high[2] - low[2]) // 8) * 8
        self.box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        self.brain = brain[self.box]
        self.voxels = np.argwhere(self.brain)
        self.grey = ndimage.gaussian_filter(atlas.gm[self.box], 1).astype(np.float32)
        self.axes = np.ogrid[tuple(slice(float(n)) for n in self.brain.shape)]
        rng = np.random.default_rng(99)
        self.noise = [smooth_noise(self.brain.shape, s, rng) for s in (4, 4, 4, 7, 7, 7)]
        self.seed = seed

    def four(self, i: int) -> np.ndarray:
        """Shapes 4i .. 4i + 3, which share a seed: (4, 2, x, y, z) bool, core and whole."""
        rng = np.random.default_rng([self.seed, i])
        centre = self.voxels[rng.integers(len(self.voxels))] + rng.uniform(-0.5, 0.5, 3)
        axes = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        stretch = np.exp(rng.normal(0, 0.18, 3))
        distance2 = np.zeros(self.brain.shape, np.float32)
        for row in (axes * stretch) @ axes.T:
            distance2 += (
                sum(
                    np.float32(a) * np.float32(x - c)
                    for a, x, c in zip(row, self.axes, centre, strict=True)
                )
                ** 2
            )
        uneven = np.roll(self.noise[rng.integers(6)], rng.integers(0, 64, 3), (0, 1, 2))
        uneven = 1 + np.float32(rng.uniform(0.03, 0.2)) * uneven
        distance = np.sqrt(distance2) * (uneven + np.float32(0.35) * self.grey)
        levels = np.sort(distance[self.brain])
        shapes = []
        for _ in range(SIZES_PER_SEED):
            n_whole = int(np.exp(rng.uniform(np.log(5), np.log(300))) * VOXELS_PER_ML)
            n_core = int(n_whole * rng.uniform(0.05, 0.6))
            shapes.append([self.brain & (distance < levels[n]) for n in (n_core, n_whole)])
        return np.array(shapes)


@dataclass
class StoredShapes:
    """An OutlineSource over shapes in a file."""

    packed: np.ndarray  # (n, 2, bx, by, bz // 8), mapped
    box: tuple[slice, slice, slice]
    checksum: str
    thresholds = Thresholds()
    grid = SIMULATION_GRID

    @property
    def n_samples(self) -> int:
        return len(self.packed)

    def packed_outlines(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        return self.packed[start:stop, 0], self.packed[start:stop, 1]


def synthetic_source(n: int, folder: Path) -> StoredShapes:
    """Draw n shapes into a file in the folder, or take up those that are there."""
    shapes, path = Shapes(seed=1), folder / f"shapes-{n}.npy"
    if not path.exists():
        x, y, z = shapes.brain.shape
        partial = path.with_suffix(".partial")
        packed = np.lib.format.open_memmap(
            partial, mode="w+", dtype=np.uint8, shape=(n, 2, x, y, z // 8)
        )
        for start in range(0, n, SIZES_PER_SEED):
            bits = np.packbits(shapes.four(start // SIZES_PER_SEED), axis=-1)
            packed[start : start + SIZES_PER_SEED] = bits[: n - start]
            if start % 1000 == 0:
                print(f"\rdrawing shapes: {start} of {n}", end="", flush=True)
        print()
        partial.rename(path)
    return StoredShapes(np.load(path, mmap_mode="r"), shapes.box, f"shapes-{n}")


def smooth_noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of unit variance, correlated over `sigma` voxels."""
    noise = rng.standard_normal(shape).astype(np.float32)
    noise = ndimage.gaussian_filter(noise, sigma, mode="wrap")
    return noise / noise.std()


def on_grid(outlines: np.ndarray, box: tuple[slice, slice, slice]) -> TumorMasks:
    """A query from outlines (2, bx, by, bz) inside the box."""
    masks = np.zeros((2, *SIMULATION_GRID.shape), bool)
    masks[:, *box] = outlines
    return TumorMasks(*masks, SIMULATION_GRID)


def roughen(outlines: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move the boundaries by about 2.5 voxels, in and out, and the core by two voxels as well."""
    noise = 2.5 * smooth_noise(outlines.shape[1:], 3, rng)

    def roughen_one(mask: np.ndarray) -> np.ndarray:
        edt = ndimage.distance_transform_edt
        return edt(mask) - edt(~mask) + noise > 0

    whole = roughen_one(outlines[1])
    return np.array([whole & roughen_one(np.roll(outlines[0], 2, axis=0)), whole])


def blob(brain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Level sets of noise: many pieces all over the brain, like no tumour of a database."""
    noise = smooth_noise(brain.shape, rng.uniform(2, 8), rng)
    levels = np.sort(noise.ravel())[::-1]
    return np.array([noise > levels[n] for n in (3000, 20000)])


def make_queries(source: OutlineSource, synthetic: bool) -> dict[str, list[TumorMasks]]:
    """Queries by kind; the blobs stand apart, for no bound is good at them."""
    rng, shapes, box = np.random.default_rng(5), Shapes(seed=2), source.box

    def stored(sample: int) -> np.ndarray:
        bits = np.concatenate(source.packed_outlines(sample, sample + 1))
        return np.unpackbits(bits, axis=-1).view(bool)

    kinds = {}
    if synthetic:
        kinds["unseen"] = [shapes.four(i)[i % 4] for i in range(80)]
        kinds["uneven"] = [roughen(shapes.four(100 + i)[i % 4], rng) for i in range(20)]
    else:
        samples = rng.integers(source.n_samples, size=100)
        kinds["uneven"] = [roughen(stored(int(sample)), rng) for sample in samples]
    brain = np.zeros([s.stop - s.start for s in box], bool)
    kinds["blobs"] = [blob(brain, rng) for _ in range(10)]
    return {kind: [on_grid(pair, box) for pair in pairs] for kind, pairs in kinds.items()}


def resident_mb(field: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process, from Linux."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {field} on this system")


def time_naive(source: OutlineSource, masks: TumorMasks, n: int) -> float:
    """Seconds of the loop over unpacked volumes, over n samples, scaled to all."""
    volumes = [np.unpackbits(bits, axis=-1).view(bool) for bits in source.packed_outlines(0, n)]
    query = [mask[source.box] for mask in (masks.core, masks.whole)]
    start = time.perf_counter()
    for sample in range(n):
        for ours, theirs in zip(query, volumes, strict=True):
            volume = theirs[sample]
            dice_from_counts(np.sum(ours & volume), np.sum(ours) + np.sum(volume))
    return (time.perf_counter() - start) * source.n_samples / n


def time_packed_scan(source: OutlineSource, masks: TumorMasks, n: int) -> float:
    """Seconds of a scan over packed bits, over n samples held in memory, scaled to all."""
    packed = [np.ascontiguousarray(bits).reshape(n, -1) for bits in source.packed_outlines(0, n)]
    query = [np.packbits(mask[source.box], axis=-1) for mask in (masks.core, masks.whole)]
    # Words instead of bytes: the box has a multiple of 8 bytes only by chance, so pad.
    padding = -packed[0].shape[1] % 8
    words = [np.pad(bits, ((0, 0), (0, padding))).view(np.uint64) for bits in packed]
    asked = [np.pad(bits.ravel(), (0, padding)).view(np.uint64) for bits in query]
    start = time.perf_counter()
    for stored, wanted in zip(words, asked, strict=True):
        for first in range(0, n, 64):
            np.bitwise_count(stored[first : first + 64] & wanted).sum(axis=1, dtype=np.int64)
    return (time.perf_counter() - start) * source.n_samples / n


def main() -> None:
    """Build or open an index, ask it all queries, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", nargs="?", type=Path, help="a database on disk")
    parser.add_argument("--synthetic", type=int, metavar="N", help="N shapes instead")
    parser.add_argument("--work", type=Path, help="keep shapes and index in this folder")
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


def run(arguments: argparse.Namespace, work: Path) -> None:
    """The benchmark, with a folder to work in."""
    source: OutlineSource
    if arguments.synthetic:
        source = synthetic_source(arguments.synthetic, work)
    else:
        from glioquery.dbgen import Database

        source = Database.open(arguments.database)
    path = work / f"index-{source.n_samples}"
    start = time.perf_counter()
    build_index(source, path)
    size_mb = sum(file.stat().st_size for file in path.iterdir()) / 1e6
    print(f"samples            {source.n_samples}")
    print(f"build              {time.perf_counter() - start:.1f} s, {size_mb:.0f} MB")

    kinds = make_queries(source, synthetic=arguments.synthetic is not None)
    before = resident_mb("VmRSS")
    start = time.perf_counter()
    index = Index.open(path)
    print(f"open               {1e3 * (time.perf_counter() - start):.1f} ms")
    times = {}
    for kind, queries in kinds.items():
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is resident
        taken, scored, best = [], [], []
        for masks in queries:
            start = time.perf_counter()
            result = search_counted(index, masks, k=arguments.k)
            taken.append(1e3 * (time.perf_counter() - start))
            scored.append(result.n_scored)
            best.append(result.matches[0].score)
        times[kind] = np.median(taken)
        print(
            f"{kind:8} {len(queries):4} queries: median {np.median(taken):.1f} ms, "
            f"worst {max(taken):.1f} ms; scored median {np.median(scored):.0f}, worst "
            f"{max(scored)}; best score, mean {np.mean(best):.2f}; "
            f"resident +{resident_mb('VmRSS') - before:.0f} MB, "
            f"peak +{resident_mb('VmHWM') - before:.0f} MB"
        )
    n = min(1000, source.n_samples)
    masks, median = kinds["uneven"][0], times["uneven"]
    for name, timer in (("naive loop", time_naive), ("packed-bit scan", time_packed_scan)):
        seconds = timer(source, masks, n)
        print(f"{name:18} {seconds:.1f} s (timed on {n}, scaled): x {1e3 * seconds / median:.0f}")


if __name__ == "__main__":
    main()
