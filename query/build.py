"""Building an index from the outlines of a database."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from .blocks import WORDS, block_shape, coarse_shape, count_voxels, cut_blocks, sum_coarse
from .index import ARRAYS, MANIFEST, Index, manifest_of
from .source import OutlineSource

CHUNK = 256
"""Samples handled at a time: about 40 MB of blocks on the atlas."""

Progress = Callable[[int, int], None]


def build_index(
    source: OutlineSource, path: str | Path, *, progress: Progress | None = None
) -> Index:
    """Build the index of a database; an index that stands at the path is replaced.

    The database is read twice, first for the union of all outlines, then for their blocks.
    Memory does not grow with its size. The index appears at the path only when complete.

    Parameters
    ----------
    source : OutlineSource
        The database.
    path : path
        The directory to make.
    progress : callable(done, total), optional
        Called now and then with the work done, in samples read.

    Returns
    -------
    Index
        The index, opened.

    Raises
    ------
    ValueError
        If the database is empty, or its box or outlines are not what an OutlineSource promises.
    FileExistsError
        If something that is no index stands at the path.
    """
    path = Path(path).absolute()
    _check(source)
    if path.exists() and not (path / MANIFEST).is_file():
        raise FileExistsError(f"{path} exists and is not an index: remove it or name another path")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        folder.chmod(0o755)  # mkdtemp makes it private, an index may be shared
        _write_arrays(source, folder, progress)
        with (folder / MANIFEST).open("w", encoding="utf-8") as file:
            json.dump(manifest_of(source, version("glioquery"), folder), file, indent=2)
        for file_path in [*folder.iterdir(), folder]:
            _fsync(file_path)
        _replace(folder, path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Index.open(path)


def _check(source: OutlineSource) -> None:
    if source.n_samples < 1:
        raise ValueError("the database holds no sample, there is nothing to index")
    fits = all(
        0 <= s.start < s.stop <= n for s, n in zip(source.box, source.grid.shape, strict=True)
    )
    if not fits or (source.box[2].stop - source.box[2].start) % 8:
        raise ValueError(
            f"the outlines' box lies inside the grid {source.grid.shape} and is a multiple of 8 "
            f"long along z, got {source.box}"
        )


def _chunks(source: OutlineSource) -> Iterator[tuple[int, int, NDArray[np.uint64]]]:
    """Blocks (stop - start, 2, n_blocks, WORDS) of the samples start .. stop - 1, by and by."""
    x, y, z = (s.stop - s.start for s in source.box)
    for start in range(0, source.n_samples, CHUNK):
        stop = min(start + CHUNK, source.n_samples)
        outlines = source.packed_outlines(start, stop)
        for packed in outlines:
            if packed.shape != (stop - start, x, y, z // 8) or packed.dtype != np.uint8:
                raise ValueError(
                    f"packed outlines are uint8 of shape {(stop - start, x, y, z // 8)}, the "
                    f"database gave {packed.dtype} of shape {packed.shape}"
                )
        yield start, stop, np.stack([cut_blocks(packed) for packed in outlines], axis=1)


def _write_arrays(source: OutlineSource, folder: Path, progress: Progress | None) -> None:
    n = source.n_samples
    shape = block_shape(tuple(s.stop - s.start for s in source.box))
    n_blocks = int(np.prod(shape))
    report = progress or (lambda done, total: None)

    union = np.zeros((n_blocks, WORDS), ARRAYS["union"])
    for _, stop, blocks in _chunks(source):
        union |= np.bitwise_or.reduce(blocks, axis=(0, 1))
        report(stop, 2 * n)
    union_counts = count_voxels(union)

    coarse = npy.open_memmap(
        folder / "coarse.npy",
        mode="w+",
        dtype=ARRAYS["coarse"],
        shape=(2, int(np.prod(coarse_shape(shape))), n),
    )
    volumes = np.zeros((2, n), ARRAYS["volumes"])
    n_entries = {kind: np.zeros(2 * n + 1, np.int64) for kind in ("full", "mixed")}
    with (
        _GrowingArray(folder / "full_blocks.npy", ARRAYS["full_blocks"]) as full_blocks,
        _GrowingArray(folder / "mixed_blocks.npy", ARRAYS["mixed_blocks"]) as mixed_blocks,
        _GrowingArray(folder / "mixed_bits.npy", ARRAYS["mixed_bits"], WORDS) as mixed_bits,
    ):
        for start, stop, blocks in _chunks(source):
            counts = count_voxels(blocks)
            volumes[:, start:stop] = counts.sum(axis=2, dtype=np.int32).T
            coarse[:, :, start:stop] = sum_coarse(counts, shape).transpose(1, 2, 0)
            touched = counts > 0
            full = touched & (counts == union_counts)
            mixed = touched & ~full
            for kind, where in (("full", full), ("mixed", mixed)):
                n_entries[kind][2 * start + 1 : 2 * stop + 1] = where.sum(axis=2).ravel()
            full_blocks.append(np.nonzero(full)[2])
            mixed_blocks.append(np.nonzero(mixed)[2])
            mixed_bits.append(blocks[mixed])
            report(n + stop, 2 * n)
    coarse.flush()
    np.save(folder / "union.npy", union)
    np.save(folder / "volumes.npy", volumes)
    for kind, lengths in n_entries.items():
        np.save(folder / f"{kind}_starts.npy", np.cumsum(lengths))


class _GrowingArray:
    """A .npy file whose first axis grows while it is written."""

    def __init__(self, path: Path, dtype: str, *row: int) -> None:
        self._path, self._dtype, self._row, self._n = path, np.dtype(dtype), row, 0

    def __enter__(self) -> _GrowingArray:
        self._file = self._path.open("wb")
        self._write_header()
        self._data_start = self._file.tell()
        return self

    def append(self, rows: NDArray[np.integer]) -> None:
        """Write further rows."""
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self._n += len(rows)

    def __exit__(self, *_: object) -> None:
        with self._file:
            # NumPy pads headers so that the first axis can be enlarged in place.
            self._file.seek(0)
            self._write_header()
            if self._file.tell() != self._data_start:
                raise RuntimeError(f"the header of {self._path} outgrew its place")

    def _write_header(self) -> None:
        descr = npy.dtype_to_descr(self._dtype)
        shape = (self._n, *self._row)
        npy.write_array_header_1_0(
            self._file, {"descr": descr, "fortran_order": False, "shape": shape}
        )


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(folder: Path, path: Path) -> None:
    """Bring a complete folder to its final name; what was there goes away afterwards."""
    old = folder.with_suffix(".old")
    if path.exists():
        path.rename(old)
    folder.rename(path)
    _fsync(path.parent)
    shutil.rmtree(old, ignore_errors=True)
