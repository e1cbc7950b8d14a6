"""Several databases as one: the shards of its parts, one after the other, their samples renumbered.

Sample i of the k-th part becomes sample i + n_1 + ... + n_(k-1). Nothing is simulated or computed
again; what decided the samples, the plan of each part, is recorded.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..paths import StrPath
from ..solver.declarations import COMMON, Declared, own_values
from .datacard import write_card
from .machine.files import begun, sha256_of, write_json
from .machine.progress import Progress, silent
from .store.database import Database
from .store.header import (
    HEADER,
    SCHEMA,
    SCHEMA_VERSION,
    DatabaseError,
    by_content,
    declared_in,
)
from .store.netcdf import opened
from .store.record import ShardRecord, require_readable_path, shard_path
from .store.shard import VOXELS, define_variable, read_table, table_sha256, variables_of

DRAWN = ("space", "sampler", "seed")
"""What of their plans the parts of a database need not share."""


def merge(
    path: StrPath,
    sources: Sequence[StrPath],
    *,
    progress: Progress = silent,
    tell: Callable[[str], None] = lambda notice: None,
) -> Database:
    """Merge databases into a new one, which appears when it is complete.

    Parameters
    ----------
    path : path
        The new database's folder: none yet, or an empty one, or a link to either.
    sources : sequence of path
        At least two databases of one growth model, solver, atlas and pair of thresholds that store
        the same; they stay as they are. One that was merged counts as its parts. The models may
        have other values of their parameters: each tumour keeps its own.
    progress : callable
        Called with the number of shards that are copied and their total.
    tell : callable
        Called with a sentence for each parameter of which the models have different values.

    Returns
    -------
    Database

    Raises
    ------
    DatabaseError
        If a source is no complete database or damaged, they differ (the message says in what), two
        of them hold the same tumour, the folder is not empty, or a path holds a backslash or is not
        UTF-8.
    """
    out = Path(os.path.realpath(path))  # a folder can't replace a link
    databases = [Database.open(source) for source in sources]
    if len(databases) < 2:
        raise DatabaseError(f"expected two databases or more to merge, got {len(databases)}")
    for folder in (out, *(database.path for database in databases)):
        require_readable_path(folder)
    declared = _declared(databases)
    names = [] if declared is None else [one.name for one in declared.parameters]
    for other in databases[1:]:
        _refuse_difference(databases[0], other, names)
    _refuse_same_tumours(databases, declared)
    header = _merged_header(databases, declared)
    if os.path.lexists(out) and (not out.is_dir() or any(out.iterdir())):
        raise DatabaseError(f"{out} exists and is not empty: choose another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = begun(out)
    try:
        shard_path(folder, 0).parent.mkdir(parents=True)
        shutil.copyfile(databases[0].path / VOXELS, folder / VOXELS)
        _copy_shards(folder, databases, header, progress)
        write_json(folder / HEADER, header)
        write_card(Database.open(folder))
        folder.replace(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name in names:
        values = dict.fromkeys(
            str(_full_model(database, declared)["settings"][name]) for database in databases
        )
        if len(values) > 1:
            tell(
                f"The models have {name} = {', '.join(values)}: the merged database keeps it for "
                "each tumour."
            )
    return Database.open(out)


def _settings(database: Database) -> dict[str, Any]:
    settings: dict[str, Any] = database.header["plan"]["model"]["settings"]
    return settings


def _full_model(database: Database, declared: Declared | None) -> dict[str, Any]:
    """The description of a database's model, with the parameters that it has gained since."""
    model: dict[str, Any] = database.header["plan"]["model"]
    names = [] if declared is None else [one.name for one in declared.parameters]
    missing = [name for name in names if name not in model["settings"]]
    if not missing:
        return model
    from ..solver.models import recall_model  # here: it imports JAX, which most merges can spare

    values = own_values(recall_model(model))
    return model | {"settings": model["settings"] | {name: values[name] for name in missing}}


def _declared(databases: Sequence[Database]) -> Declared | None:
    """What the model declares, if a database keeps it or their models have different settings."""
    for database in databases:
        if "parameters" in database.header:
            return database.declared
    if all(_settings(database) == _settings(databases[0]) for database in databases):
        return None
    return Declared.by(databases[0].model)


def _refuse_difference(one: Database, other: Database, names: Sequence[str]) -> None:
    """See that two databases differ in nothing but what was drawn, and the named settings."""

    def shared(database: Database) -> dict[str, Any]:
        plan = database.header["plan"]
        settings = {name: value for name, value in _settings(database).items() if name not in names}
        return by_content(
            {key: value for key, value in plan.items() if key not in DRAWN}
            | {"model": plan["model"] | {"settings": settings}}
            | {key: database.header.get(key) for key in ("store", "ventricles", "grid", "box")}
        )

    have, asked = shared(one), shared(other)
    for key in have | asked:
        if have.get(key) != asked.get(key):
            raise DatabaseError(
                f"{one.path} and {other.path} cannot be merged: {key} is {have.get(key)} in the "
                f"one, {asked.get(key)} in the other"
            )


def _refuse_same_tumours(databases: Sequence[Database], declared: Declared | None) -> None:
    """See that no tumour of a database grew with the very parameters of one of another."""
    grown = [(database, _growths(database, declared)) for database in databases]
    for (one, growths), (other, others) in itertools.combinations(grown, 2):
        same = np.isin(others, growths)
        if same.any():
            raise DatabaseError(
                f"{one.path} and {other.path} cannot be merged: {same.sum()} of the {len(other)} "
                "tumours of the second grew with the very parameters of tumours of the first: keep "
                "the larger one alone, or make the other with another seed or other points"
            )


def _growths(database: Database, declared: Declared | None) -> NDArray[np.void]:
    """The bytes of origin, dw, rho, days and own parameters of each tumour: (n_samples,) values."""
    names = [one.name for one in (*COMMON, *(declared.parameters if declared else ()))]
    table = database.parameters
    settings = _full_model(database, declared)["settings"]
    columns = [
        table[name].values if name in table else np.full(len(database), settings[name])
        for name in names
    ]
    rows = np.stack(columns, axis=1).astype(np.float64) + 0.0  # -0 becomes 0
    return rows.view(f"V{rows.shape[1] * rows.itemsize}")[:, 0]


def _merged_header(databases: Sequence[Database], declared: Declared | None) -> dict[str, Any]:
    first = databases[0].header
    parts: list[dict[str, Any]] = []
    for database in databases:
        for part in database.header.get("parts") or [_as_part(database)]:
            if declared is not None:
                part = {"model": _full_model(database, declared)} | part
            parts.append(part)
    described = {} if declared is None else {"parameters": declared.describe()}
    return {
        "schema": SCHEMA,
        "schema_version": first["schema_version"] if declared is None else SCHEMA_VERSION,
        "package_version": version("glioquery"),
        "plan": {key: value for key, value in first["plan"].items() if key not in DRAWN},
        "parts": parts,
        "store": first["store"],
        **({"ventricles": True} if databases[0].stores_ventricles else {}),
        "n_samples": sum(len(database) for database in databases),
        "grid": first["grid"],
        "box": first["box"],
        **described,
    }


def _as_part(database: Database) -> dict[str, Any]:
    """The record of a generated database as a part."""
    header = database.header
    return {key: header["plan"][key] for key in DRAWN} | {
        "n_samples": header["n_samples"],
        "shard_size": header["shard_size"],
        "package_version": header["package_version"],
        "checksum": database.checksum,
    }


def _copy_shards(
    folder: Path, databases: Sequence[Database], header: dict[str, Any], progress: Progress
) -> None:
    """Copy all shards into the folder of a database, with the numbers they have there."""
    total = sum(len(database.records) for database in databases)
    index = n_samples = n_runs = 0
    for database in databases:
        settings = _full_model(database, declared_in(header))["settings"]
        for shard in database.shards:
            target = shard_path(folder, index)
            with shard.compared() as source, target.open("wb") as file:
                shutil.copyfileobj(source, file)
            _renumber(target, shard.record, header, settings, n_samples, n_runs)
            index += 1
            progress(index, total)
        n_samples += len(database)
        n_runs += int(database.parameters.run.max()) + 1


def _renumber(
    path: Path,
    record: ShardRecord,
    header: dict[str, Any],
    settings: Mapping[str, float],
    n_samples: int,
    n_runs: int,
) -> None:
    """Raise the numbers of a shard's samples and runs, and write its record.

    A shard of schema 2 gets the variables that it lacks, with the values of its model's settings.
    """
    variables = variables_of(header)
    with opened(path, "a") as shard:
        shard["sample"][:] += n_samples
        shard["run"][:] += n_runs
        declared = declared_in(header)
        known = {name: shard[name][:] for name in variables if name in shard.variables}
        known |= {p.name: settings[p.name] for p in declared.parameters if p.name not in known}
        known |= {c.name: c.of(known) for c in declared.combinations if c.name not in known}
        for name, variable in variables.items():
            if name not in shard.variables:
                define_variable(shard, name, variable)[:] = known[name]
        table = read_table(shard, variables)
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    renumbered = dataclasses.replace(
        record,
        first=record.first + n_samples,
        last=record.last + n_samples,
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
        table_sha256=table_sha256(table, variables),
    )
    write_json(path.with_suffix(".json"), dataclasses.asdict(renumbered))
