"""Build an index from the outlines of a database, or add what the database has gained.

What an index holds of a tumour depends on this tumour alone. So spans of samples are processed
independently, in one process or several, and written one after the other. Spans that an older index
holds are copied from it.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import socket
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas.regions import shape_of
from ...dbgen import Database
from ...dbgen.machine.cluster import carried_by_value, connected, remote
from ...dbgen.machine.cores import require_workers
from ...dbgen.machine.files import REFUSALS, begun, has_ended, new_owner, remove_unfinished
from ...dbgen.machine.lock import hold_in_turn
from ...dbgen.machine.progress import Progress, silent
from ...dbgen.machine.tasks import require_seen, results_of
from ...dbgen.store.header import HEADER, DatabaseError
from ...errors import InputError
from ...paths import StrPath
from ...solver.own_settings import own_arithmetic
from .blocks import (
    EDGE,
    MOST_BLOCKS,
    block_shape,
    coarse_shape,
    count_voxels,
    cut_blocks,
    sum_coarse,
)
from .index import Index
from .manifest import ARRAYS, ARRAYS_FOLDER, MANIFEST, description_of, manifest_of
from .outlines import DatabaseOutlines, outlines_of
from .source import OutlineSource
from .writing import Piece, Writer

SPAN = 256
"""Samples in a span: about 40 MB of blocks on the atlas."""

PARALLEL_FROM = 20_000
"""Number of samples from which on several processes are worth the seconds in which Ray starts."""

PARTIAL = ".partial"
"""Ending of the name of the folder in which an index is built."""


@own_arithmetic()
def build_index(
    source: Database | OutlineSource,
    path: StrPath,
    *,
    n_workers: int | None = None,
    address: str | None = None,
    progress: Progress = silent,
) -> Index:
    """Build the index of a database, or bring the one that stands at the path up to date.

    If the index at the path was built from the same outlines, its unchanged portions are kept and
    only the others are read; if it lacks nothing, it stays as it is. Otherwise it is replaced.
    Either way the result is that of a fresh build, bit for bit. The database is read once. A build
    that was killed or interrupted goes on from its last checkpoint when it is begun again. The
    index appears at the path only when it is complete; until then readers find the older one. Of
    two builds at one path, the second waits for the first.

    Parameters
    ----------
    source : Database or OutlineSource
        A database stands for its stored outlines; `outlines_of` draws others.
    path : path
        The directory to make.
    n_workers : int, optional
        Processes that read the database. One is this process; more are Ray's. By default one up
        to `PARALLEL_FROM` samples, and as many as there are cores beyond.
    address : str, optional
        Address of a Ray cluster whose workers read instead.
    progress : callable(done, total)
        Called now and then with the number of samples indexed.

    Returns
    -------
    Index
        The index, opened.

    Raises
    ------
    InputError
        If the database is empty, or its box or outlines are not what an OutlineSource promises;
        DatabaseError, if a shard of it is damaged.
    FailedError
        If a node of the cluster does not see the database, or a worker dies twice over a task.
    ClusterError
        If there is no cluster at the address, or Ray cannot start.
    FileExistsError
        If something that is no index stands at the path.
    OSError
        If the file system has no room for it, or refuses it; it names the path.
    """
    path = Path(path).absolute()
    if isinstance(source, Database):
        source = outlines_of(source)
    _check(source)
    require_workers(n_workers)
    if path.exists() and not (path / MANIFEST).is_file():
        need = "it exists and is not an index: remove it or name another path"
        raise FileExistsError(errno.EEXIST, need, str(path))
    try:
        place = (
            path.resolve()
        )  # work lies beside it, not beside a link: to move it there is one step
        place.parent.mkdir(parents=True, exist_ok=True)
        with hold_in_turn(place.with_name(f".{place.name}.lock")) as is_alone:
            index = _build(source, place, is_alone, n_workers, address, progress)
        return index if place == path else Index.open(path)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        need = f"{error.strerror}, where the index is to be: make room, or the folder writable"
        raise OSError(error.errno, need, str(path)) from error


def _build(
    source: OutlineSource,
    path: Path,
    is_alone: bool,
    n_workers: int | None,
    address: str | None,
    progress: Progress,
) -> Index:
    """Build what the index at a path lacks, and replace it by the whole."""
    tissue = cut_blocks(np.packbits(source.tissue, axis=-1))
    old = _usable(path, source, tissue)
    n_kept = _n_unchanged(old, source) if old is not None else 0
    if old is not None and old.database_checksum == source.checksum:
        progress(n_kept, source.n_samples)
        return old
    if is_alone:
        for left in path.parent.glob(f".{path.name}.*{PARTIAL}"):  # of older versions
            shutil.rmtree(left, ignore_errors=True)
        folder = path.with_name(f".{path.name}{PARTIAL}")  # to go on with, if this one is killed
        folder.mkdir(exist_ok=True)
    else:
        folder = begun(path)
        folder.mkdir()
    remove_unfinished(path.parent)  # of builds that were killed
    replaced = _named_arrays(path)
    try:
        arrays = _write_arrays(source, tissue, old, n_kept, folder, n_workers, address, progress)
        _install(folder, arrays.name, path)
    except KeyboardInterrupt:  # as by a kill: it can be begun again
        raise
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)  # what is left of it
    index = Index.open(path)
    _remove_replaced(index, replaced, is_alone)
    return index


def _write_arrays(
    source: OutlineSource,
    tissue: NDArray[np.uint64],
    old: Index | None,
    n_kept: int,
    folder: Path,
    n_workers: int | None,
    address: str | None,
    progress: Progress,
) -> Path:
    """Write a whole index in a folder, or what a killed build left to do; returns its arrays'."""
    arrays = folder / f"{ARRAYS_FOLDER}{new_owner()}"
    left = next(folder.glob(f"{ARRAYS_FOLDER}*"), None)
    if left is None:
        arrays.mkdir()
    else:
        left.rename(arrays)
    np.save(arrays / "tissue.npy", tissue)
    shape = block_shape(shape_of(source.box))
    n_coarse = math.prod(coarse_shape(shape))
    with Writer(arrays, shape, n_coarse, description_of(source)) as writer:
        progress(max(n_kept, writer.n_written), source.n_samples)
        while old is not None and writer.n_written < n_kept:
            start = writer.n_written
            writer.append(Piece.of_index(old, start, min(start + SPAN, n_kept)))
            old.release_bits()
        starts = range(writer.n_written, source.n_samples, SPAN)
        spans = [(start, min(start + SPAN, source.n_samples)) for start in starts]
        for piece in _pieces(source, tissue, spans, n_workers, address):
            writer.append(piece)
            progress(writer.n_written, source.n_samples)
        writer.finish()
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        json.dump(manifest_of(source, version("glioquery"), arrays), file)
    for file_path in [*arrays.iterdir(), arrays, folder / MANIFEST, folder]:
        _fsync(file_path)
    return arrays


def _check(source: OutlineSource) -> None:
    if source.n_samples < 1:
        raise InputError("the database holds no sample, there is nothing to index")
    fits = all(
        0 <= s.start < s.stop <= n for s, n in zip(source.box, source.grid.shape, strict=True)
    )
    if not fits or shape_of(source.box)[2] % 8:
        raise InputError(
            f"the outlines' box lies inside the grid {source.grid.shape} and is a multiple of 8 "
            f"long along z, got {source.box}"
        )
    if math.prod(block_shape(shape_of(source.box))) > MOST_BLOCKS:
        raise InputError(
            f"an index holds {MOST_BLOCKS} blocks of {EDGE} x {EDGE} x {EDGE} voxels at most, the "
            f"outlines' box {source.box} has more: take a smaller box or larger voxels"
        )


def _usable(path: Path, source: OutlineSource, tissue: NDArray[np.uint64]) -> Index | None:
    """The index at the path, if it is sound and of the same kind of outlines."""
    try:
        old = Index.open(path, thresholds=source.thresholds, normalisation=source.normalisation)
        old.verify()
    except InputError:
        return None
    same = old.grid == source.grid and old.box == source.box
    return old if same and np.array_equal(old.tissue, tissue) else None


def _n_unchanged(old: Index, source: OutlineSource) -> int:
    """Number of samples up to the first portion that is not as it was."""
    n = 0
    for before, now in zip(old.portions, source.portions, strict=False):
        if before != now:
            break
        n = now.last
    return n


def _make_piece(source: OutlineSource, tissue: NDArray[np.uint64], start: int, stop: int) -> Piece:
    blocks = _cut_outlines(source, start, stop)
    if (np.bitwise_or.reduce(blocks, axis=(0, 1)) & ~tissue).any():
        raise InputError(
            f"an outline of the samples {start} to {stop - 1} leaves the tissue: the database "
            "was made in another anatomy"
        )
    counts = count_voxels(blocks).swapaxes(0, 1).copy()  # core and whole of a sample together
    is_full = (counts > 0) & (counts == count_voxels(tissue))
    is_mixed = (counts > 0) & ~is_full
    full, mixed = np.flatnonzero(is_full), np.flatnonzero(is_mixed)
    outline, block = np.divmod(mixed, len(tissue))
    return Piece(
        sizes=counts.sum(axis=2, dtype=np.int32),
        coarse=sum_coarse(counts, block_shape(shape_of(source.box))),
        full_lengths=is_full.sum(axis=2, dtype=np.int64).ravel(),
        full_blocks=(full % len(tissue)).astype(np.uint16),
        mixed_lengths=is_mixed.sum(axis=2, dtype=np.int64).ravel(),
        mixed_blocks=block.astype(np.uint16),
        mixed_bits=blocks[outline % 2, outline // 2, block],
    )


def _make_piece_there(
    source: OutlineSource, tissue: NDArray[np.uint64], start: int, stop: int
) -> Piece:
    """`_make_piece`, on a node that may not be the driver's."""
    if isinstance(source, DatabaseOutlines):
        require_seen(source.database.path, HEADER)
    try:
        return _make_piece(source, tissue, start, stop)
    except DatabaseError as error:
        raise DatabaseError(f"on node {socket.gethostname()}: {error}") from None


def _cut_outlines(source: OutlineSource, start: int, stop: int) -> NDArray[np.uint64]:
    """Blocks of the cores and of the wholes, (2, stop - start, n_blocks, WORDS)."""
    if isinstance(source, DatabaseOutlines):
        return source.cut_outlines(start, stop)
    x, y, z = shape_of(source.box)
    outlines = source.packed_outlines(start, stop)
    for packed in outlines:
        if packed.shape != (stop - start, x, y, z // 8) or packed.dtype != np.uint8:
            raise InputError(
                f"packed outlines are uint8 of shape {(stop - start, x, y, z // 8)}, the "
                f"database gave {packed.dtype} of shape {packed.shape}"
            )
    return np.stack([cut_blocks(packed) for packed in outlines])


def _pieces(
    source: OutlineSource,
    tissue: NDArray[np.uint64],
    spans: list[tuple[int, int]],
    n_workers: int | None,
    address: str | None,
) -> Iterator[Piece]:
    """The pieces of the spans, in order."""
    if address is None and n_workers is None and len(spans) * SPAN <= PARALLEL_FROM:
        n_workers = 1
    if n_workers == 1 and address is None:
        for span in spans:
            yield _make_piece(source, tissue, *span)
        return
    with connected(address, n_workers=n_workers) as ray:
        with carried_by_value(type(source)):
            shared, shared_tissue = ray.put(source), ray.put(tissue)
        make = remote(ray, _make_piece_there, num_cpus=1, max_retries=0)
        ahead = 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))

        def begin(span: tuple[int, int]) -> Any:
            return make.remote(shared, shared_tissue, *span)

        for _, piece in results_of(ray, begin, spans, ahead=ahead):
            yield piece


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _install(folder: Path, arrays: str, path: Path) -> None:
    """Bring a complete index to its place in one step, before which readers find the older one."""
    if path.exists():
        (folder / arrays).rename(path / arrays)
        (folder / MANIFEST).replace(path / MANIFEST)
        _fsync(path)
    else:
        folder.rename(path)
    _fsync(path.parent)


def _named_arrays(path: Path) -> str | None:
    """The folder of arrays that the index at a path names, if there is one."""
    try:
        return str(json.loads((path / MANIFEST).read_text(encoding="utf-8"))["arrays"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remove_replaced(index: Index, replaced: str | None, is_alone: bool) -> None:
    """Remove arrays that an index no longer names; a process that has mapped them keeps them.

    Another build that this one could not wait for may have brought its arrays to their place, and
    be about to name them. Then those alone go that were named before, and those of ended processes.
    """
    for old in index.path.glob(f"{ARRAYS_FOLDER}*"):
        is_over = old.name == replaced or has_ended(old.name.removeprefix(ARRAYS_FOLDER))
        if old != index.folder and (is_alone or is_over):
            shutil.rmtree(old, ignore_errors=True)
    for name in ARRAYS:  # where older versions kept them
        (index.path / f"{name}.npy").unlink(missing_ok=True)
