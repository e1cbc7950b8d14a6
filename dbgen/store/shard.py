"""A shard: some hundred consecutive samples in one self-describing NetCDF-4 file.

The fields are specified in FORMAT.md. Beside each shard lies its record (`record`).
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...atlas.regions import Box, shape_of
from ...solver import Tissue
from ...solver.declarations import COMBINATIONS, COMMON, Combination, Parameter
from ..machine.cores import processor
from ..machine.files import completed, sha256_of, write_json
from .curve import along_curve, encode_outline
from .header import declared_in, parts_of
from .netcdf import alone_in_netcdf, created, opened
from .record import ShardRecord

if TYPE_CHECKING:
    import netCDF4

    from ...solver import GrowthParameters
    from ..study.samples import Sample

VOXELS = "voxels.nc"
"""File of a database that lists the voxels whose bits an outline stores."""
DENSITY_FLOOR = 1e-6
"""Densities below are stored as 0."""
DENSITY_BITS = 7
"""Bits of the mantissa that are kept, rounded: a relative error of at most 2^-8 = 0.4 %."""

DESCRIBED = ("schema", "schema_version", "package_version", "plan", "parameters", "ventricles")
"""What each shard repeats of the database's description."""

Variable = tuple[str, str, str]
"""A variable along `sample`: dtype, units, long name."""


def udunits(unit: str) -> str:
    """A unit such as mm^2/day as NetCDF's readers write it: mm2 day-1."""
    above, *below = re.sub(r"\bdays\b", "day", unit).split("/")
    parts = [above.replace("^", "")] if above not in ("", "1") else []
    for part in below:
        name, _, power = part.partition("^")
        parts.append(f"{name}-{power or 1}")
    return " ".join(parts) or "1"


def _declared(one: Parameter | Combination) -> Variable:
    """The variable of something declared."""
    text = one.meaning or one.name
    if isinstance(one, Combination):
        text += f", {one.formula}; identifiable"
    return "f8", udunits(one.unit), text


VARIABLES: dict[str, Variable] = {
    **{one.name: _declared(one) for one in COMMON},
    **{one.name: _declared(one) for one in COMBINATIONS},
    "whole_ml": ("f8", "ml", "volume of the whole outline"),
    "core_ml": ("f8", "ml", "volume of the core outline"),
    "run": ("i4", "1", "run of the solver that the sample is a snapshot of"),
    "attempt": ("i4", "1", "draw of the run that was accepted, from 0"),
}
"""Variables along `sample` of every database."""


def variables_of(header: dict[str, Any]) -> dict[str, Variable]:
    """The variables along `sample` of a database: `VARIABLES`, and what its model declares.

    Parameters
    ----------
    header : dict
        Header of the database, or the description in one of its shards.
    """
    declared = declared_in(header)
    combinations = {one.name: _declared(one) for one in declared.combinations}
    own = {one.name: _declared(one) for one in declared.parameters}
    return VARIABLES | combinations | own


def bits_of(header: dict[str, Any]) -> tuple[str, ...]:
    """Names of the variables of a database's shards that hold bits of `VOXELS`.

    Parameters
    ----------
    header : dict
        Header of the database, or the description in one of its shards.
    """
    outlines = ("core_bits", "whole_bits")
    return (*outlines, "ventricle_bits") if header.get("ventricles") else outlines


VOXEL_INDEX = {
    "units": "1",
    "long_name": "place x, y, z in the box of the voxel whose outline bit this is",
}
"""Attributes of the list of voxels."""


def table_sha256(table: Mapping[str, NDArray[Any]], variables: Mapping[str, Variable]) -> str:
    """SHA-256 of `sample` and the variables, one after the other, as little-endian bytes."""
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(table["sample"], "<i8").tobytes())
    for name, (dtype, _, _) in variables.items():
        digest.update(np.ascontiguousarray(table[name], f"<{dtype}").tobytes())
    return digest.hexdigest()


def read_table(
    shard: netCDF4.Dataset, variables: Mapping[str, Variable]
) -> dict[str, NDArray[Any]]:
    """The values of `sample` and of each of the variables, of a shard that is open."""
    return {name: np.asarray(shard[name][:]) for name in ("sample", *variables)}


def count_draws(runs: NDArray[Any], attempts: NDArray[Any]) -> tuple[int, int]:
    """Accepted runs, and runs drawn for them, from the variables `run` and `attempt` (n,)."""
    _, first_of_run = np.unique(runs, return_index=True)
    return len(first_of_run), int((attempts[first_of_run] + 1).sum())


def define_variable(shard: netCDF4.Dataset, name: str, variable: Variable) -> netCDF4.Variable[Any]:
    """Add a variable along `sample` to a shard that is open for writing."""
    dtype, units, text = variable
    made = shard.createVariable(name, dtype, ("sample",), fill_value=False)
    made.units, made.long_name = units, text
    return made


def packing_box(tissue: Tissue) -> Box:
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


@functools.lru_cache(maxsize=4)
def _outline_places(tissue: Tissue) -> NDArray[np.intp]:
    """Where these voxels lie in an array on the tissue's box, in C order: (n,)."""
    shift = [b.start - t.start for b, t in zip(packing_box(tissue), tissue.box, strict=True)]
    return np.ravel_multi_index(tuple((outline_voxels(tissue) + shift).T), tissue.box_shape)


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
    """Write samples first <= i < last as one file, and its record.

    The record is there a moment before the file has its name: without the file it counts for
    nothing.

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
        The database's header; each shard repeats of it what explains the shard (`DESCRIBED`).
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
    variables = variables_of(description)
    values_of = _values_of(description)
    with completed(path) as temporary:
        with created(temporary) as shard:
            with alone_in_netcdf():
                _define(shard, tissue, description, store_density, last - first)
                ids = np.arange(first, last)
                shard["sample"][:] = ids
                shard["run"][:] = ids // snapshots_per_run
            for row, sample in zip(range(last - first), samples, strict=True):
                with alone_in_netcdf():
                    _write_sample(shard, row, sample, tissue, values_of(sample.parameters))
            with alone_in_netcdf():
                table = read_table(shard, variables)
        record = ShardRecord(
            first=first,
            last=last,
            bytes=temporary.stat().st_size,
            sha256=sha256_of(temporary),
            seconds=round(time.process_time() - began, 3),
            processor=processor(),
            table_sha256=table_sha256(table, variables),
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
    shard.glioquery_database = json.dumps(_repeated(description), sort_keys=True)

    box = packing_box(tissue)
    lengths = shape_of(box)
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
    for name, along_sample in variables_of(description).items():
        define_variable(shard, name, along_sample)
    large = []
    shown = {"core_bits": "core", "whole_bits": "whole", "ventricle_bits": None}
    for name in bits_of(description):
        variable = add(
            name,
            "u1",
            ("sample", "voxel_byte"),
            compression="zlib",
            complevel=9,
            chunksizes=(1, n_bytes),
        )
        what = "ventricles, as the tumour has pushed them"
        if outline := shown[name]:
            variable.threshold = description["plan"]["thresholds"][outline]
            what = f"outline {{u >= {variable.threshold}}} ({outline})"
        variable.units = "1"
        variable.long_name = (
            f"{what}, eight voxels of {VOXELS} in a byte, the first in the highest bit "
            "(numpy.unpackbits)"
        )
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


def _repeated(header: dict[str, Any]) -> dict[str, Any]:
    """What a shard repeats of a header; of a table of runs, its number of rows alone."""
    description = {key: header[key] for key in DESCRIBED if key in header}
    plan = description["plan"]
    table = plan["space"].get("table")
    if table is None:
        return description
    space = plan["space"] | {"table": {"rows": len(next(iter(table.values())))}}
    return description | {"plan": plan | {"space": space}}


def is_of_plan(shard: netCDF4.Dataset, header: dict[str, Any], first: int) -> bool:
    """Whether a shard was made from a database's plan.

    A model may have another name or class by now: its settings count.

    Parameters
    ----------
    shard : netCDF4.Dataset
    header : dict
        Description of the database. If it was merged, sampler and seed of the shard's part count:
        the rest of its plan was completed.
    first : int
        First sample of the shard.
    """
    try:
        own = json.loads(shard.glioquery_database)["plan"]
        if "parts" in header:
            (part,) = (part for part in parts_of(header) if part.first <= first < part.last)
            return bool((own["sampler"], own["seed"]) == (part.description["sampler"], part.seed))
        made_from, expected = (
            plan | {"model": plan["model"]["settings"]} for plan in (own, _repeated(header)["plan"])
        )
    except (AttributeError, ValueError, KeyError, TypeError):
        return False
    return bool(made_from == expected)


def _values_of(description: dict[str, Any]) -> Callable[[GrowthParameters], dict[str, float]]:
    """A function that returns the values of all parameters and combinations of a growth."""
    combinations = declared_in(description).all_combinations

    return lambda growth: growth.values_with(combinations)


def _write_sample(
    shard: netCDF4.Dataset, row: int, sample: Sample, tissue: Tissue, values: dict[str, float]
) -> None:
    """Fill the row of a sample, apart from its number and its run's."""
    snapshot = sample.snapshot
    sizes = {
        "whole_ml": snapshot.whole_voxels * tissue.grid.voxel_ml,
        "core_ml": snapshot.core_voxels * tissue.grid.voxel_ml,
        "attempt": sample.attempt,
    }
    for name in shard.variables:
        if name in values:
            shard[name][row] = values[name]
        elif name in sizes:
            shard[name][row] = sizes[name]
    places = _outline_places(tissue)
    for name in ("core_bits", "whole_bits"):
        outline = snapshot.u >= np.float32(shard[name].threshold)
        shard[name][row] = encode_outline(outline, places)
    if "ventricle_bits" in shard.variables:
        assert snapshot.ventricles is not None
        shard["ventricle_bits"][row] = encode_outline(snapshot.ventricles, places)
    if "density" in shard.variables:
        box = packing_box(tissue)
        u = np.zeros(shape_of(box), np.float32)
        inner = tuple(
            slice(t.start - b.start, t.stop - b.start) for t, b in zip(tissue.box, box, strict=True)
        )
        u[inner] = np.where(snapshot.u >= DENSITY_FLOOR, snapshot.u, np.float32(0))
        shard["density"][row] = u
