"""Dice on a coarser grid: every second or fourth voxel along each axis, in packed bits.

The paper resamples the density by a spline of order 0, then draws the outlines. Such a spline
takes the value of the nearest voxel, so thresholds may come first and stored outlines suffice. Of
n voxels along an axis, m = round(n / factor) are taken, the ends among them:

    voxel i of the coarse grid is voxel floor(i (n - 1) / (m - 1) + 1/2) of the fine one,

which is what `scipy.ndimage.zoom(u, 1 / factor, order=0)` does. From 128 to 64 voxels these are
0, 2, 4, ..., 62, 65, ..., 127: the coarse grid ends where the fine one does.

References
----------
I. Ezhov et al., "A for-loop is all you need. For solving the inverse problem in the case of
personalized tumor growth modeling", PMLR 193:566-577, 2022, section 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dbgen.machine.files import completed, reserved_array
from ...dbgen.machine.progress import Progress, silent
from ...solver import TumorMasks
from ..dice import OUTLINES, dice_from_counts
from ..index.index import Index
from ..match import nearest
from .store import fingerprint_of, finish, made, map_array, read_manifest, write_array

FACTORS = {"ds64": 2, "ds32": 4}
"""How many times coarser than the simulation grid of 128 voxels."""

CHUNK = 256


def taken_voxels(n: int, factor: int) -> NDArray[np.intp]:
    """Which of n voxels along an axis a grid takes that is `factor` times coarser."""
    m = max(round(n / factor), 1)
    step = (n - 1) / (m - 1) if m > 1 else 1.0
    return np.floor(np.arange(m) * step + 0.5).astype(np.intp)


def prepare(index: Index, name: str, *, progress: Progress = silent) -> None:
    """Resample all outlines of a database and store their bits beside the index.

    `bits.npy`, (2, n_words, n_samples) uint64, lies word by word: a query reads only the words in
    which it has voxels. Bit j of a word's bytes is one voxel of `voxels.npy`, those of the coarse
    grid that any tumour has, as flat positions in the fine one. `volumes.npy`, (2, n_samples)
    int32, are the tumours' voxels on the coarse grid.
    """
    coarse = _CoarseBox.of(index, FACTORS[name])
    n = index.n_samples
    union = np.zeros(coarse.positions.size, bool)
    for start in range(0, n, CHUNK):
        stop = min(start + CHUNK, n)
        for packed in index.packed_outlines(start, stop):
            union |= coarse.take(np.bitwise_or.reduce(packed, axis=0)).ravel()
        progress(stop, 2 * n)
    volumes = np.zeros((2, n), np.int32)
    n_words = -(-int(union.sum()) // 64)
    with made(index, name) as folder:
        with completed(folder / "bits.npy") as temporary:
            bits = reserved_array(temporary, "<u8", (2, n_words, n))
            for start in range(0, n, CHUNK):
                stop = min(start + CHUNK, n)
                for outline, packed in enumerate(index.packed_outlines(start, stop)):
                    taken = coarse.take(packed).reshape(stop - start, -1)[:, union]
                    volumes[outline, start:stop] = taken.sum(axis=1)
                    bits[outline, :, start:stop] = _pack_words(taken).T
                progress(n + stop, 2 * n)
            bits.flush()
        write_array(folder / "volumes.npy", volumes)
        write_array(folder / "voxels.npy", coarse.positions[union])
        finish(index, name, ["bits.npy", "volumes.npy", "voxels.npy"], factor=FACTORS[name])


@dataclass(frozen=True, eq=False)
class Downsampled:
    """Dice on a grid that is coarser by a factor; see `prepare` for the arrays."""

    name: str
    index: Index
    bits: NDArray[np.uint64]
    volumes: NDArray[np.int32]
    voxels: NDArray[np.int64]
    fingerprint: str

    @classmethod
    def open(cls, index: Index, name: str) -> Downsampled:
        """Open what `prepare` made.

        Raises
        ------
        InputError
            As `store.read_manifest`.
        """
        manifest = read_manifest(index, name)
        arrays: dict[str, Any] = {
            field: map_array(index, name, f"{field}.npy") for field in ("bits", "volumes", "voxels")
        }
        return cls(name, index, fingerprint=fingerprint_of(manifest), **arrays)

    def rank(self, masks: TumorMasks, n: int) -> NDArray[np.intp]:
        """Ids of the n tumours of highest score on the coarse grid."""
        return nearest(-self.scores(masks), n)

    def scores(self, masks: TumorMasks) -> NDArray[np.float64]:
        """Sum of the two Dice on the coarse grid for every tumour, in [0, 2]."""
        masks.require_grid(self.index.grid, "the index")
        factor = FACTORS[self.name]
        everywhere = np.ix_(*(taken_voxels(n, factor) for n in masks.grid.shape))
        scores = np.zeros(self.index.n_samples)
        for outline, name in enumerate(OUTLINES):
            mask = getattr(masks, name)
            query = _pack_words(mask.ravel()[self.voxels][None])[0]
            common = np.zeros(self.index.n_samples, np.int32)
            for word in np.flatnonzero(query):
                common += np.bitwise_count(self.bits[outline, word] & query[word])
            total = self.volumes[outline] + mask[everywhere].sum()
            scores += dice_from_counts(common, total)
        return scores


@dataclass(frozen=True, eq=False)
class _CoarseBox:
    """The voxels that a coarse grid takes from the box of an index."""

    axes: list[NDArray[np.intp]]  # along each axis, counted from the corner of the box
    positions: NDArray[np.int64]  # flat positions of all of them in the whole grid

    @classmethod
    def of(cls, index: Index, factor: int) -> _CoarseBox:
        in_grid, in_box = [], []
        for n, part in zip(index.grid.shape, index.box, strict=True):
            taken = taken_voxels(n, factor)
            inside = taken[(taken >= part.start) & (taken < part.stop)]
            in_grid.append(inside)
            in_box.append(inside - part.start)
        positions = np.ravel_multi_index(np.ix_(*in_grid), index.grid.shape).ravel()
        return cls(in_box, positions.astype(np.int64))

    def take(self, packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Their values in packed outlines (..., bx, by, bz // 8)."""
        x, y, z = self.axes
        rows = packed[..., x, :, :][..., y, :]
        return np.unpackbits(rows, axis=-1).view(bool)[..., z]


def _pack_words(values: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Bits (n, m) as 64-bit words (n, ceil(m / 64)), the last one filled up with zeros."""
    packed = np.packbits(values, axis=-1)
    filled = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    return np.ascontiguousarray(filled).view("<u8")
