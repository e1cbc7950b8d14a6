"""A shard: some hundred consecutive samples in one self-describing NetCDF-4 file.

The fields are specified in FORMAT.md. Beside each shard lies its record, a small JSON file with the
samples it holds, its size and its SHA-256.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ..solver import Tissue
from .files import completed, sha256_of, write_json
from .machine import processor
from .plan import Sample

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
        Time of one core spent on it.
    processor : str
        What it was simulated on; empty where that was not recorded.
    """

    first: int
    last: int
    bytes: int
    sha256: str
    seconds: float
    processor: str = ""


def shard_path(folder: Path, index: int) -> Path:
    """Where a database keeps a shard."""
    return folder / "shards" / f"shard-{index:05d}.nc"


def read_record(path: Path) -> ShardRecord | None:
    """The record beside a shard; None if there is none that can be read."""
    try:
        return ShardRecord(**json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def packing_box(tissue: Tissue) -> tuple[slice, slice, slice]:
    """The tissue's bounding box, extended along z to a multiple of eight voxels for the bits."""
    x, y, z = tissue.box
    length = -(-(z.stop - z.start) // 8) * 8
    start = max(0, min(z.start, tissue.grid.shape[2] - length))
    return x, y, slice(start, start + length)


def pack(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Eight voxels along z in a byte, the first in the highest bit."""
    return np.packbits(mask, axis=-1)


def unpack(bits: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The inverse of `pack`."""
    return np.unpackbits(bits, axis=-1).astype(bool)


def write_shard(
    path: Path,
    samples: list[Sample],
    *,
    first: int,
    tissue: Tissue,
    description: dict[str, Any],
    store_density: bool,
    snapshots_per_run: int,
    seconds: float,
) -> ShardRecord:
    """Write samples first, first + 1, ... as one file, then its record.

    Parameters
    ----------
    path : Path
        Final name; the file appears under it only when complete.
    samples : list of Sample
    first : int
        Id of the first.
    tissue : Tissue
    description : dict
        The database's own description, repeated in each shard so that it explains itself.
    store_density : bool
    snapshots_per_run : int
    seconds : float
        Time the samples took, for the record.

    Returns
    -------
    ShardRecord
    """
    box = packing_box(tissue)
    grid = tissue.grid
    ids = np.arange(first, first + len(samples))
    inner = tuple(
        slice(t.start - b.start, t.stop - b.start) for t, b in zip(tissue.box, box, strict=True)
    )

    def on_box(sample: Sample) -> NDArray[np.float32]:
        u = np.zeros([s.stop - s.start for s in box], np.float32)
        u[inner] = sample.snapshot.u
        return u

    thresholds = description["plan"]["thresholds"]
    values = {
        "origin_x_mm": [s.parameters.origin_mm[0] for s in samples],
        "origin_y_mm": [s.parameters.origin_mm[1] for s in samples],
        "origin_z_mm": [s.parameters.origin_mm[2] for s in samples],
        "dw": [s.parameters.dw for s in samples],
        "rho": [s.parameters.rho for s in samples],
        "days": [s.parameters.days for s in samples],
        "lambda_mm": [s.parameters.lambda_mm for s in samples],
        "rho_t": [s.parameters.rho_t for s in samples],
        "whole_ml": [s.snapshot.whole_voxels * grid.voxel_ml for s in samples],
        "core_ml": [s.snapshot.core_voxels * grid.voxel_ml for s in samples],
        "run": ids // snapshots_per_run,
        "attempt": [s.attempt for s in samples],
    }
    data = xr.Dataset(
        {
            name: ("sample", np.asarray(values[name], dtype), {"units": units, "long_name": text})
            for name, (dtype, units, text) in VARIABLES.items()
        },
        coords={
            "sample": ("sample", ids, {"long_name": "sample id"}),
            **{
                name: (
                    name,
                    grid.axis_mm(axis)[box[axis]],
                    {"units": "mm", "long_name": f"RAS world {name} of voxel centres"},
                )
                for axis, name in enumerate("xyz")
            },
        },
        attrs={
            "title": "Simulated glioma growth in the SRI24 atlas",
            "Conventions": "CF-1.11",
            "license": "CC-BY-SA-3.0 (derived from SRI24, Rohlfing et al. 2010)",
            "glioquery_database": json.dumps(description, sort_keys=True),
        },
    )
    encoding: dict[str, dict[str, Any]] = {}
    for name in ("core", "whole"):
        level = np.float32(thresholds[name])
        bits = np.stack([pack(on_box(sample) >= level) for sample in samples])
        data[f"{name}_bits"] = (
            ("sample", "x", "y", "z_byte"),
            bits,
            {
                "units": "1",
                "long_name": f"outline {{u >= {thresholds[name]}}} ({name}), eight voxels along z "
                "in a byte, the first in the highest bit (numpy.unpackbits)",
                "threshold": thresholds[name],
            },
        )
        encoding[f"{name}_bits"] = {
            "zlib": True, "complevel": 4, "chunksizes": (1, *bits.shape[1:]),
        }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with completed(path) as temporary:
        data.to_netcdf(temporary, engine="netcdf4", format="NETCDF4", encoding=encoding)
        if store_density:
            _append_densities(temporary, map(on_box, samples))
        record = ShardRecord(
            first=first,
            last=first + len(samples),
            bytes=temporary.stat().st_size,
            sha256=sha256_of(temporary),
            seconds=seconds,
            processor=processor(),
        )
        write_json(path.with_suffix(".json"), asdict(record))
    return record


def _append_densities(path: Path, densities: Iterable[NDArray[np.float32]]) -> None:
    """Add the variable `density`, one sample at a time: a shard's worth would fill the memory."""
    with netCDF4.Dataset(path, "a") as shard:
        shape = tuple(len(shard.dimensions[axis]) for axis in "xyz")
        variable = shard.createVariable(
            "density",
            "f4",
            ("sample", "x", "y", "z"),
            compression="zlib",
            complevel=1,
            shuffle=True,
            chunksizes=(1, *shape),
            quantize_mode="BitRound",
            significant_digits=DENSITY_BITS,
            fill_value=False,
        )
        variable.units = "1"
        variable.long_name = "tumour cell density u, share of the carrying capacity"
        variable.comment = "rounded to 0.4 %; 0 below 1e-6; the outlines are of unrounded u"
        for row, u in enumerate(densities):
            variable[row] = np.where(u >= DENSITY_FLOOR, u, np.float32(0))
