"""FORMAT.md in executable form: check that a database is what it must be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atlas import Grid, load_atlas
from ..paths import StrPath
from ..solver import Tissue
from ..solver.own_settings import own_arithmetic
from .machine.files import sha256_of
from .machine.progress import Progress, silent
from .store.comparison import differing_outlines
from .store.curve import decode_outline
from .store.database import Database
from .store.fetched import located
from .store.header import declared_in, parts_of, read_header, shard_spans
from .store.netcdf import opened
from .store.record import read_record, shard_path
from .store.shard import (
    DENSITY_BITS,
    DENSITY_FLOOR,
    VOXELS,
    bits_of,
    holds_voxels,
    is_of_plan,
    outline_voxels,
    read_table,
    table_sha256,
    variables_of,
)
from .study.samplers import find_sampler
from .study.values import Range

if TYPE_CHECKING:
    import netCDF4

LARGE = {
    "core_bits": ("u1", ("sample", "voxel_byte")),
    "whole_bits": ("u1", ("sample", "voxel_byte")),
    "ventricle_bits": ("u1", ("sample", "voxel_byte")),
    "density": ("f4", ("sample", "x", "y", "z")),
}
"""Large variables: dtype and dimensions."""

VENTRICLE_TOLERANCE = 8
"""Voxels of ventricles that lie so near to half that another processor may count them otherwise."""

REPRODUCED_SHARE = 0.01
"""Share of the samples that is simulated again."""


@own_arithmetic()
def verify(
    path: StrPath,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> list[str]:
    """Check a database against its format: every shard, and a random 1 % of samples by simulation.

    Parameters
    ----------
    path : path
        Folder of the database, or the name of one that was fetched.
    seed : int
        Decides which samples are simulated again.
    progress : callable
        Called with the number of shards checked and their total.

    Returns
    -------
    list of str
        A sentence for each fault, naming the shard; empty if the database is sound.

    Raises
    ------
    DatabaseError
        If the folder holds no database, or one of another schema.
    InputError
        If its growth model cannot be made (see `solver.models.recall_model`).
    """
    from ..solver.models import (
        reach_of,
        recall_model,
    )  # here: it imports JAX, which a search can spare

    folder = located(path)
    header = read_header(folder)
    # Without its model there is nothing to compare samples with.
    model = recall_model(header["plan"]["model"])
    spans = shard_spans(header)
    tissue = reach_of(model, Tissue.from_atlas(load_atlas()))
    faults = _voxel_faults(folder / VOXELS, tissue)
    for index, span in enumerate(spans):
        file = shard_path(folder, index)
        faults += [f"{file.name}: {fault}" for fault in _shard_faults(file, span, header, tissue)]
        progress(index + 1, len(spans))
    if faults:
        return faults
    database = Database.open(folder)
    rng = np.random.default_rng(seed)
    count = max(1, round(REPRODUCED_SHARE * database.n_samples))
    for sample in sorted(rng.choice(database.n_samples, count, replace=False).tolist()):
        fault = _reproduction_fault(database, sample)
        if fault:
            faults.append(f"sample {sample}: {fault}")
    return faults


def _voxel_faults(file: Path, tissue: Tissue) -> list[str]:
    if holds_voxels(file, tissue):
        return []
    return [f"{file.name} is missing, damaged, or not the atlas' tissue"]


def _shard_faults(
    file: Path, span: tuple[int, int], header: dict[str, Any], tissue: Tissue
) -> list[str]:
    record = read_record(file)
    if record is None or not file.exists():
        return ["is missing, or its record is"]
    if (record.first, record.last) != span:
        return [
            f"holds samples {record.first} to {record.last - 1}, not {span[0]} to {span[1] - 1}"
        ]
    if file.stat().st_size != record.bytes or sha256_of(file) != record.sha256:
        return ["is not the file that was written (size or SHA-256 differ)"]
    with opened(file) as shard:
        shard.set_auto_mask(False)
        faults = _content_faults(shard, span, header, tissue)
        if not faults and record.table_sha256:
            variables = variables_of(header)
            if record.table_sha256 != table_sha256(read_table(shard, variables), variables):
                faults = ["has other parameters than its record says (table_sha256 differs)"]
        return faults


def _content_faults(
    shard: netCDF4.Dataset, span: tuple[int, int], header: dict[str, Any], tissue: Tissue
) -> list[str]:
    large = [*bits_of(header)] + (["density"] if header["store"] == "density" else [])
    variables, declared = variables_of(header), declared_in(header)
    missing = [name for name in ("sample", *variables, *large) if name not in shard.variables]
    if missing:
        return [f"has no variable {', '.join(missing)}"]
    faults = []
    values = {name: shard[name][:] for name in ("sample", *variables)}
    for name, (dtype, units, _) in variables.items():
        if shard[name].dtype != np.dtype(dtype) or getattr(shard[name], "units", None) != units:
            faults.append(f"{name} is not {dtype} in {units}")
        if not np.isfinite(values[name]).all():
            faults.append(f"{name} is not finite")
    for name in large:
        dtype, dimensions = LARGE[name]
        if shard[name].dtype != np.dtype(dtype) or shard[name].dimensions != dimensions:
            faults.append(f"{name} is not {dtype} along {', '.join(dimensions)}")
    if not is_of_plan(shard, header, span[0]):
        faults.append("was made from another plan")
    for one in declared.all_combinations:
        if not np.allclose(values[one.name], one.of(values), rtol=1e-12):
            faults.append(f"{one.name} is not {one.formula}")
    if (values["attempt"] < 0).any():
        faults.append("attempt is below 0")
    if not np.array_equal(values["sample"], np.arange(*span)):
        faults.append("its sample ids are not consecutive from its first")
    (part,) = (part for part in parts_of(header) if part.first <= span[0] < part.last)
    space, settings = part.space, part.description["model"]["settings"]
    # A sweep keeps the tumour of each of its points, whatever size it has.
    limited = {} if find_sampler(space.sampler).sweeps else {"whole_ml": space.whole_ml}
    kept = {p.name: Range(settings[p.name], settings[p.name]) for p in declared.parameters}
    for name, bounds in (kept | space.values() | limited).items():
        if not all(map(bounds.holds, values[name].tolist())):
            faults.append(f"{name} leaves its range {bounds}")
    for formula in space.formulas:
        rows = range(len(values["sample"]))
        if not all(formula({name: values[name][row] for name in formula.names}) for row in rows):
            faults.append(f"the condition {formula.text!r} does not hold")
    if limited and (values["core_ml"] < space.core_min_ml).any():
        faults.append(f"core_ml is below its least value {space.core_min_ml:g}")
    voxel_ml = Grid(header["grid"]["shape"], np.array(header["grid"]["affine"])).voxel_ml
    outlines = {}
    for name in ("core", "whole"):
        outlines[name] = shard[f"{name}_bits"][:]
        volumes = np.bitwise_count(outlines[name]).sum(axis=1, dtype=np.int64) * voxel_ml
        if not np.allclose(volumes, values[f"{name}_ml"]):
            faults.append(f"{name}_ml is not the volume of its outline")
    if (outlines["core"] & ~outlines["whole"]).any():
        faults.append("a core outline leaves its whole outline")
    if header["store"] == "density":
        faults += _density_faults(shard["density"], outlines, header["plan"]["thresholds"], tissue)
    return faults


def _density_faults(
    density: netCDF4.Variable[Any],
    outlines: dict[str, np.ndarray],
    thresholds: dict[str, float],
    tissue: Tissue,
) -> list[str]:
    """What is wrong with stored densities, one of which is in memory at a time."""
    voxels = outline_voxels(tissue)
    faults = set()
    for row in range(len(density)):
        u = density[row]
        if not ((u >= 0) & (u <= 1)).all():
            faults.add("density leaves [0, 1]")
        for name, level in thresholds.items():
            wrong = (u >= level) != decode_outline(outlines[name][row], voxels, u.shape)
            if wrong[np.abs(u - level) > level * 2.0**-DENSITY_BITS].any():
                faults.add(f"the {name} outline is not that of the density")
    return sorted(faults)


def _reproduction_fault(database: Database, sample: int) -> str | None:
    """How a sample differs from a fresh simulation of its parameters, if it does."""
    again = database.simulate_again(sample)
    fresh = again.density
    for name in differing_outlines(database.outlines(sample), fresh, database.thresholds):
        return f"its {name} outline differs from a fresh simulation"
    if database.stores_ventricles and again.final.ventricles is not None:
        stored = database.ventricles(sample)[again.tissue.box]
        if (stored != again.final.ventricles).sum() > VENTRICLE_TOLERANCE:
            return "its ventricles differ from those of a fresh simulation"
    if database.stores_density:
        u = fresh.u
        difference = np.abs(database.density(sample).u - u)
        allowed = np.where(u >= DENSITY_FLOOR, u * 2.0**-DENSITY_BITS, DENSITY_FLOOR) + 1e-5
        if (difference > allowed).any():
            return f"its density differs from a fresh simulation by {difference.max():.2g}"
    return None
