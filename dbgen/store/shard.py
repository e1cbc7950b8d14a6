"""A shard: some hundred consecutive samples in one self-describing NetCDF-4 file.

The fields are specified in FORMAT.md. Beside each shard lies its record, a small JSON file with the
samples it holds, its size and its SHA-256.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...solver import Tissue
from ..machine.cores import processor
from ..machine.files import completed, sha256_of, write_json
from .curve import along_curve, encode_outline
from .header import DatabaseError, mending, shard_spans
from .netcdf import alone_in_netcdf, created, opened

if TYPE_CHECKING:
    import netCDF4

    from ..study.samples import Sample

VOXELS = "voxels.nc"
"""File of a database that lists the voxels whose bits an outline stores."""
DENSITY_FLOOR = 1e-6
"""Densities below are stored as 0."""
DENSITY_BITS = 7
"""Bits of the mantissa that are kept, rounded: a relative error of at most 2^-8 = 0.4 %."""

VARIABLES: dict[str, tuple[str, str, str]] = {
    "origin_x_mm": ("f8", "mm", "seed point, RAS world x"),
    "origin_y_mm": ("f8", "mm", "seed point, RAS world y"),
    "origin_z_mm": ("f8", "mm", "seed point, RAS world z"),
    "dw": ("f8", "mm2 day-1", "diffusivity of tumour cells in white matter"),
    "rho": ("f8", "day-1", "proliferation rate"),
    "days": ("f8", "day", "time from seed to scan, T"),
    "lambda_mm": ("f8", "mm", "width of the infiltrating front, sqrt(dw / rho); identifiable"),
    "rho_t": ("f8", "1", "e-foldings of proliferation, rho T; identifiable"),
    "whole_ml": ("f8", "ml", "volume of the whole outline"),
    "core_ml": ("f8", "ml", "volume of the core outline"),
    "run": ("i4", "1", "run of the solver that the sample is a snapshot of"),
    "attempt": ("i4", "1", "draw of the run that was accepted, from 0"),
}
"""Variables along `sample`: dtype, units, long name."""

VOXEL_INDEX = {
    "units": "1",
    "long_name": "place x, y, z in the box of the voxel whose outline bit this is",
}
"""Attributes of the list of voxels."""


@dataclass(frozen=True)
class ShardRecord:
    """What lies in a finished shard.

    Attributes
    ----------
    first, last : int
        Samples first <= i < last.
    bytes : int
        Size of the file.
    sha256 : str
    seconds : float
        Processor time spent on it: other load of the machine does not count.
    processor : str
        What it was simulated on; empty where that was not recorded.
    table_sha256 : str
        Of the values along `sample`, by `table_sha256`; empty where that was not recorded.
    """

    first: int
    last: int
    bytes: int
    sha256: str
    seconds: float
    processor: str = ""
    table_sha256: str = ""


def shard_path(folder: Path, index: int) -> Path:
    """Where a database keeps a shard."""
    return folder / "shards" / f"shard-{index:05d}.nc"


def read_record(path: Path) -> ShardRecord | None:
    """The record beside a shard; None if there is none that can be read."""
    try:
        return ShardRecord(**json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def find_records(folder: Path, header: dict[str, Any]) -> tuple[ShardRecord, ...]:
    """The records of all shards of a database, whose files have the sizes that they say.

    Raises
    ------
    DatabaseError
        If shards are missing or not of their recorded size; the message names them.
    """
    records, bad = [], []
    for index, (first, last) in enumerate(shard_spans(header)):
        file = shard_path(folder, index)
        record = read_record(file)
        if record is None or not file.exists() or (record.first, record.last) != (first, last):
            bad.append(f"{file.name} is missing")
        elif file.stat().st_size != record.bytes:
            bad.append(
                f"{file.name} has {file.stat().st_size} bytes where {record.bytes} were written"
            )
        else:
            records.append(record)
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise DatabaseError(
            f"{folder} is incomplete: {'; '.join(bad[:3])}{more}. "
            f"{mending(folder, header)} completes it"
        )
    return tuple(records)


def table_sha256(table: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of `sample` and `VARIABLES`, one after the other, as little-endian bytes."""
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(table["sample"], "<i8").tobytes())
    for name, (dtype, _, _) in VARIABLES.items():
        digest.update(np.ascontiguousarray(table[name], f"<{dtype}").tobytes())
    return digest.hexdigest()


def read_table(shard: netCDF4.Dataset) -> dict[str, NDArray[Any]]:
    """The values of `sample` and of each of `VARIABLES`, of a shard that is open."""
    return {name: np.asarray(shard[name][:]) for name in ("sample", *VARIABLES)}


def packing_box(tissue: Tissue) -> tuple[slice, slice, slice]:
    """The tissue's bounding box, extended along z to a multiple of eight voxels for the bits."""
    x, y, z = tissue.box
    length = -(-(z.stop - z.start) // 8) * 8
    start = max(0, min(z.start, tissue.grid.shape[2] - length))
    return x, y, slice(start, start + length)


@functools.lru_cache(maxsize=4)
def outline_voxels(tissue: Tissue) -> NDArray[np.int16]:
    """The voxels of which outlines are stored, as indices into `packing_box`, in their order.

    Returns
    -------
    (n, 3) int16 array
    """
    voxels = along_curve(tissue.domain[packing_box(tissue)])
    voxels.setflags(write=False)
    return voxels


def write_voxels(path: Path, tissue: Tissue) -> None:
    """Write the list of voxels that every outline's bits follow."""
    voxels = outline_voxels(tissue)
    with completed(path) as temporary, created(temporary) as file, alone_in_netcdf():
        file.createDimension("voxel", len(voxels))
        file.createDimension("axis", 3)
        variable = file.createVariable(
            "voxel_index", "i2", ("voxel", "axis"), compression="zlib", shuffle=True
        )
        variable.setncatts(VOXEL_INDEX)
        variable[:] = voxels


def read_voxels(path: Path) -> NDArray[np.int16]:
    """The (n, 3) list that `write_voxels` wrote.

    Raises
    ------
    OSError
        If the file is missing or damaged.
    """
    try:
        with opened(path) as file:
            return np.asarray(file["voxel_index"][:])
    except (IndexError, RuntimeError) as error:  # RuntimeError is what NetCDF calls damage
        raise OSError(errno.EIO, f"damaged ({error})", str(path)) from error


def holds_voxels(path: Path, tissue: Tissue) -> bool:
    """Whether a file is what `write_voxels` writes for a tissue."""
    try:
        return np.array_equal(read_voxels(path), outline_voxels(tissue))
    except OSError:
        return False


def write_shard(
    path: Path,
    samples: Iterable[Sample],
    *,
    first: int,
    last: int,
    tissue: Tissue,
    description: dict[str, Any],
    store_density: bool,
    snapshots_per_run: int,
) -> ShardRecord:
    """Write samples first <= i < last as one file, then its record.

    Parameters
    ----------
    path : Path
        Final name, in a folder that exists; the file appears under it only when complete.
    samples : iterable of Sample
        Taken one by one and not kept: the densities of a whole shard would fill the memory.
    first, last : int
        Ids of the samples, the last one exclusive.
    tissue : Tissue
    description : dict
        The database's own description, repeated in each shard so that it explains itself.
    store_density : bool
    snapshots_per_run : int

    Returns
    -------
    ShardRecord
        Its `seconds` are the processor time of this call, that of making the samples included.

    Raises
    ------
    OSError
        If the file cannot be written, for want of space say; nothing of it stays.
    """
    began = time.process_time()
    with completed(path) as temporary:
        with created(temporary) as shard:
            with alone_in_netcdf():
                _define(shard, tissue, description, store_density, last - first)
                ids = np.arange(first, last)
                shard["sample"][:] = ids
                shard["run"][:] = ids // snapshots_per_run
            for row, sample in zip(range(last - first), samples, strict=True):
                with alone_in_netcdf():
                    _write_sample(shard, row, sample, tissue)
            with alone_in_netcdf():
                table = read_table(shard)
        record = ShardRecord(
            first=first,
            last=last,
            bytes=temporary.stat().st_size,
            sha256=sha256_of(temporary),
            seconds=round(time.process_time() - began, 3),
            processor=processor(),
            table_sha256=table_sha256(table),
        )
        write_json(path.with_suffix(".json"), asdict(record))
    return record


def _define(
    shard: netCDF4.Dataset,
    tissue: Tissue,
    description: dict[str, Any],
    store_density: bool,
    n_samples: int,
) -> None:
    """Give a new file all its dimensions, variables and attributes, and its coordinates' values."""
    atlas = description["plan"]["atlas"]["name"]
    shard.title = f"Simulated glioma growth in the atlas {atlas}"
    shard.Conventions = "CF-1.11"
    if atlas == "SRI24":
        shard.license = "CC-BY-SA-3.0 (derived from SRI24, Rohlfing et al. 2010)"
    shard.glioquery_database = json.dumps(description, sort_keys=True)

    box = packing_box(tissue)
    lengths = [s.stop - s.start for s in box]
    shard.createDimension("sample", n_samples)
    for name, length in zip("xyz", lengths, strict=True):
        shard.createDimension(name, length)
    n_bytes = -(-len(outline_voxels(tissue)) // 8)
    shard.createDimension("voxel_byte", n_bytes)

    def add(name: str, dtype: str, dimensions: tuple[str, ...], **more: Any) -> Any:
        return shard.createVariable(name, dtype, dimensions, fill_value=False, **more)

    add("sample", "i8", ("sample",)).long_name = "sample id"
    for axis, name in enumerate("xyz"):
        coordinate = add(name, "f8", (name,))
        coordinate.units = "mm"
        coordinate.long_name = f"RAS world {name} of voxel centres"
        coordinate[:] = tissue.grid.axis_mm(axis)[box[axis]]
    for name, (dtype, units, text) in VARIABLES.items():
        variable = add(name, dtype, ("sample",))
        variable.units, variable.long_name = units, text
    large = []
    for name in ("core", "whole"):
        threshold = description["plan"]["thresholds"][name]
        variable = add(
            f"{name}_bits",
            "u1",
            ("sample", "voxel_byte"),
            compression="zlib",
            complevel=9,
            chunksizes=(1, n_bytes),
        )
        variable.units = "1"
        variable.long_name = (
            f"outline {{u >= {threshold}}} ({name}), eight voxels of {VOXELS} in a byte, the first "
            "in the highest bit (numpy.unpackbits)"
        )
        variable.threshold = threshold
        large.append(variable)
    if store_density:
        variable = add(
            "density",
            "f4",
            ("sample", "x", "y", "z"),
            compression="zlib",
            complevel=1,
            shuffle=True,
            chunksizes=(1, *lengths),
            quantize_mode="BitRound",
            significant_digits=DENSITY_BITS,
        )
        variable.units = "1"
        variable.long_name = "tumour cell density u, share of the carrying capacity"
        variable.comment = "rounded to 0.4 %; 0 below 1e-6; the outlines are of unrounded u"
        large.append(variable)
    for variable in large:
        # A sample is a chunk and is written once: kept in HDF5's cache, it would only fill memory.
        variable.set_var_chunk_cache(size=0)


def _write_sample(shard: netCDF4.Dataset, row: int, sample: Sample, tissue: Tissue) -> None:
    """Fill one row of what is stored of each sample, beside its number and its run's."""
    parameters, snapshot = sample.parameters, sample.snapshot
    x, y, z = parameters.origin_mm
    values = {
        "origin_x_mm": x,
        "origin_y_mm": y,
        "origin_z_mm": z,
        "dw": parameters.dw,
        "rho": parameters.rho,
        "days": parameters.days,
        "lambda_mm": parameters.lambda_mm,
        "rho_t": parameters.rho_t,
        "whole_ml": snapshot.whole_voxels * tissue.grid.voxel_ml,
        "core_ml": snapshot.core_voxels * tissue.grid.voxel_ml,
        "attempt": sample.attempt,
    }
    for name, value in values.items():
        shard[name][row] = value
    box = packing_box(tissue)
    u = np.zeros([s.stop - s.start for s in box], np.float32)
    inner = tuple(
        slice(t.start - b.start, t.stop - b.start) for t, b in zip(tissue.box, box, strict=True)
    )
    u[inner] = snapshot.u
    for name in ("core_bits", "whole_bits"):
        outline = u >= np.float32(shard[name].threshold)
        shard[name][row] = encode_outline(outline, outline_voxels(tissue))
    if "density" in shard.variables:
        shard["density"][row] = np.where(u >= DENSITY_FLOOR, u, np.float32(0))
