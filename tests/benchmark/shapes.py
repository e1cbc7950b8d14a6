"""Outlines for benchmarks of the query: made up, roughened, replicated, or of noise alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from glioquery.atlas import SIMULATION_GRID, load_atlas
from glioquery.dbgen import Database
from glioquery.dbgen.study.samples import draw_samples
from glioquery.pipeline.images.labels import label_convention, outlines_from_labels
from glioquery.pipeline.images.nifti import read_nifti
from glioquery.pipeline.images.resampling import resample_masks
from glioquery.query import Index, Portion
from glioquery.query.index.blocks import join_blocks
from glioquery.solver import Thresholds, Tissue, TumorMasks
from glioquery.solver import on_grid as density_on_grid

SIZES_PER_SEED = 4
VOXELS_PER_ML = 125
SHIFTS = np.array(
    sorted(
        ((dx, dy) for dx in range(-6, 7) for dy in range(-6, 7)),
        key=lambda shift: (shift[0] ** 2 + shift[1] ** 2, shift),
    )
)
"""Voxels along x and y by which the copies of a database are moved; the first stays in place."""


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


def real_cases(folder: Path, labels: str) -> list[TumorMasks]:
    """Outlines of all segmentations below a folder, on the simulation grid."""
    queries = []
    for path in sorted(folder.rglob("*seg*.nii*")):
        file = read_nifti(path, "segmentation")
        masks = outlines_from_labels(file.values, file.grid, label_convention(labels))
        queries.append(resample_masks(masks, SIMULATION_GRID))
    return queries


def unseen_tumors(database: Database, n: int) -> list[TumorMasks]:
    """Tumours of the database's plan with another seed, one of each run."""
    plan = dataclasses.replace(database.plan, seed=(database.plan.seed + 1) % 2**32)
    tissue = Tissue.from_atlas(load_atlas())
    m = plan.space.snapshots_per_run
    samples = [draw_samples(tissue, plan, run)[run % m] for run in range(n)]
    return [
        density_on_grid(tissue, sample.snapshot.u).outlines(plan.thresholds) for sample in samples
    ]


@dataclass
class StoredShapes:
    """An OutlineSource over shapes in a file."""

    packed: np.ndarray  # (n, 2, bx, by, bz // 8), mapped
    box: tuple[slice, slice, slice]
    tissue: np.ndarray
    thresholds = Thresholds()
    normalisation = "absolute"
    grid = SIMULATION_GRID

    @property
    def n_samples(self) -> int:
        return len(self.packed)

    @property
    def checksum(self) -> str:
        return f"shapes-{self.n_samples}"

    @property
    def portions(self) -> tuple[Portion, ...]:
        return (Portion(0, self.n_samples, self.checksum),)

    def packed_outlines(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        return self.packed[start:stop, 0], self.packed[start:stop, 1]


@dataclass
class Replicated:
    """An OutlineSource of any size over an index: its first tumours, or copies of all of them.

    Copies are shifted and cut to the tissue.
    """

    index: Index
    n_samples: int
    thresholds = Thresholds()
    normalisation = "absolute"

    def __post_init__(self) -> None:
        most = len(SHIFTS) * self.index.n_samples
        if self.n_samples > most:
            raise ValueError(f"{self.index.n_samples} tumours make {most} at most")
        self.grid, self.box = self.index.grid, self.index.box
        x, y, z = (s.stop - s.start for s in self.box)
        self.tissue_bits = join_blocks(np.asarray(self.index.tissue), (x, y, z))
        self.tissue = np.unpackbits(self.tissue_bits, axis=-1).view(bool)

    @property
    def checksum(self) -> str:
        return f"{self.index.database_checksum} to {self.n_samples}"

    @property
    def portions(self) -> tuple[Portion, ...]:
        """Of 1,000 tumours, so that a longer source extends a shorter one's index."""
        firsts = range(0, self.n_samples, 1000)
        return tuple(
            Portion(first, min(first + 1000, self.n_samples), self.index.database_checksum)
            for first in firsts
        )

    def packed_outlines(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        pieces = []
        while start < stop:
            copy, first = divmod(start, self.index.n_samples)
            last = min(self.index.n_samples, first + stop - start)
            bits = np.stack(self.index.packed_outlines(first, last))
            dx, dy = SHIFTS[copy]
            pieces.append(np.roll(bits, (dx, dy), axis=(2, 3)) & self.tissue_bits)
            start += last - first
        core, whole = np.concatenate(pieces, axis=1)
        return core, whole


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
    return StoredShapes(np.load(path, mmap_mode="r"), shapes.box, shapes.brain)


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


def blob(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Level sets of noise: many pieces all over the brain, like no tumour of a database."""
    noise = smooth_noise(shape, rng.uniform(2, 8), rng)
    levels = np.sort(noise.ravel())[::-1]
    return np.array([noise > levels[n] for n in (3000, 20000)])
