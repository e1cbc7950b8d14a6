"""The arrays of an index, written sample by sample, and regrouped when all samples are there.

What is written sample by sample only grows. A checkpoint notes how far it is safely on the disk,
and whoever begins again in the same folder goes on from there.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ...dbgen.machine.files import write_json
from . import groups
from .blocks import WORDS
from .index import Index
from .manifest import ARRAYS

CHECKPOINT = "checkpoint.json"
"""Name of the file that says how much of the arrays is on the disk."""

SOURCE = "source"
"""What in a checkpoint tells one source from another."""

SAVE_EVERY_S = 5.0
"""Time between two checkpoints; another is saved when an exception ends the work."""


@dataclass(frozen=True, eq=False)
class Piece:
    """The part of an index for some consecutive samples; see `index` for the arrays."""

    sizes: NDArray[np.int32]  # (n, 2), the volumes
    coarse: NDArray[np.uint16]  # (n, 2, n_coarse)
    full_lengths: NDArray[np.int64]  # entries of each outline
    full_blocks: NDArray[np.uint16]
    mixed_lengths: NDArray[np.int64]
    mixed_blocks: NDArray[np.uint16]
    mixed_bits: NDArray[np.uint64]

    @classmethod
    def of_index(cls, index: Index, start: int, stop: int) -> Piece:
        """The samples start .. stop - 1 of an index."""
        full, mixed = (
            starts[2 * start : 2 * stop + 1] for starts in (index.full_starts, index.mixed_starts)
        )
        group, member = np.divmod(index.places[start:stop], index.members.shape[1])
        return cls(
            sizes=index.volumes[:, start:stop].T,
            coarse=index.counts[group, :, :, member],
            full_lengths=np.diff(full),
            full_blocks=index.full_blocks[full[0] : full[-1]],
            mixed_lengths=np.diff(mixed),
            mixed_blocks=index.mixed_blocks[mixed[0] : mixed[-1]],
            mixed_bits=index.mixed_bits[mixed[0] : mixed[-1]],
        )


class Writer(contextlib.ExitStack):
    """Writes the arrays of an index piece by piece; they are complete after `finish`.

    Parameters
    ----------
    folder : Path
        Where the arrays lie; those of a writer that was killed are taken up.
    shape : tuple of three int
        Number of blocks along x, y, z.
    n_coarse : int
        Number of coarse blocks.
    source : dict
        What the samples come from, in terms of JSON: a checkpoint of another source does not count.
    """

    def __init__(
        self, folder: Path, shape: tuple[int, int, int], n_coarse: int, source: dict[str, Any]
    ) -> None:
        super().__init__()
        self._folder, self._shape, self._source = folder, shape, source
        rows: dict[str, tuple[str, tuple[int, ...]]] = {
            "sizes": (ARRAYS["volumes"], (2,)),
            "coarse": ("<u2", (2, n_coarse)),
            "full_lengths": ("<i8", ()),
            "full_blocks": (ARRAYS["full_blocks"], ()),
            "mixed_lengths": ("<i8", ()),
            "mixed_blocks": (ARRAYS["mixed_blocks"], ()),
            "mixed_bits": (ARRAYS["mixed_bits"], (WORDS,)),
        }
        written = self._read_checkpoint()
        self._arrays = {
            name: self.enter_context(
                _GrowingArray(folder / f"{name}.npy", dtype, row, written.get(name, 0))
            )
            for name, (dtype, row) in rows.items()
        }
        self._rows = self._safe_rows = {name: array.n for name, array in self._arrays.items()}
        self._saved = time.monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool | None:
        if error is not None and self._rows != self._safe_rows:
            with contextlib.suppress(OSError):  # the error that passes says more
                self._save_checkpoint()
        return super().__exit__(kind, error, traceback)

    @property
    def n_written(self) -> int:
        """Number of samples written."""
        return self._arrays["sizes"].n

    def append(self, piece: Piece) -> None:
        """Write the next piece."""
        for name, array in self._arrays.items():
            array.append(getattr(piece, name))
        self._rows = {name: array.n for name, array in self._arrays.items()}  # of whole pieces
        if time.monotonic() - self._saved > SAVE_EVERY_S:
            self._save_checkpoint()

    def finish(self) -> None:
        """Write what follows from all samples, and remove what served to find it."""
        self._save_checkpoint()
        for array in self._arrays.values():
            array.close()
        for kind in ("full", "mixed"):
            lengths = np.load(self._folder / f"{kind}_lengths.npy")
            starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
            np.save(self._folder / f"{kind}_starts.npy", starts)
        volumes = np.load(self._folder / "sizes.npy").T.copy()
        np.save(self._folder / "volumes.npy", volumes)
        coarse = np.load(self._folder / "coarse.npy", mmap_mode="r").view(np.ndarray)
        size = groups.GROUP
        order = groups.order_alike(volumes, coarse, self._shape)
        most = []
        with contextlib.ExitStack() as files:
            members, counts = (
                files.enter_context(_GrowingArray(self._folder / f"{name}.npy", ARRAYS[name], row))
                for name, row in (("members", (size,)), ("counts", (*coarse.shape[1:], size)))
            )
            for ids, voxels in groups.gather_groups(order, coarse):
                members.append(ids)
                counts.append(voxels)
                most.append(voxels.max(axis=3))
        np.save(self._folder / "most.npy", np.concatenate(most).transpose(1, 2, 0).copy())
        firsts = range(0, len(order), size)
        ends = [end.reduceat(volumes[:, order], firsts, axis=1) for end in (np.minimum, np.maximum)]
        np.save(self._folder / "ends.npy", np.stack(ends))
        (self._folder / CHECKPOINT).unlink()
        for name in self._arrays.keys() - ARRAYS.keys():
            (self._folder / f"{name}.npy").unlink()

    def _read_checkpoint(self) -> dict[str, int]:
        """Rows of each array that are on the disk, none where this is no work to go on with."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            checkpoint = json.loads((self._folder / CHECKPOINT).read_text(encoding="utf-8"))
            if checkpoint[SOURCE] == self._source:
                return dict(checkpoint["rows"])
        return {}

    def _save_checkpoint(self) -> None:
        for array in self._arrays.values():
            array.sync()
        write_json(self._folder / CHECKPOINT, {SOURCE: self._source, "rows": self._rows})
        self._safe_rows, self._saved = self._rows, time.monotonic()


class _GrowingArray:
    """A .npy file whose first axis grows while it is written; complete when it is closed."""

    def __init__(self, path: Path, dtype: str, row: tuple[int, ...], n: int = 0) -> None:
        self.n, self._path, self._dtype, self._row = n, path, np.dtype(dtype), row
        self._file: IO[bytes] = path.open("r+b" if n else "wb")
        self._write_header()
        self._data_start = self._file.tell()
        n_bytes = self._dtype.itemsize * int(np.prod(row))
        self._file.seek(self._data_start + n * n_bytes)
        self._file.truncate()

    def __enter__(self) -> _GrowingArray:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, rows: NDArray[np.integer]) -> None:
        """Write further rows."""
        self._file.write(np.ascontiguousarray(rows, self._dtype).data)
        self.n += len(rows)

    def sync(self) -> None:
        """Wait until the rows are on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the header anew: it says how many rows there are."""
        if self._file.closed:
            return
        with self._file:
            # NumPy pads headers so that the first axis can be enlarged in place.
            self._file.seek(0)
            self._write_header()
            if self._file.tell() != self._data_start:
                raise RuntimeError(f"the header of {self._path} outgrew its place")

    def _write_header(self) -> None:
        descr = npy.dtype_to_descr(self._dtype)
        shape = (self.n, *self._row)
        npy.write_array_header_1_0(
            self._file, {"descr": descr, "fortran_order": False, "shape": shape}
        )
