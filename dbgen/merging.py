"""Several databases as one: the shards of its parts, one after the other, their samples renumbered.

Sample i of the k-th part becomes sample i + n_1 + ... + n_(k-1). Nothing is simulated or computed
anew; what decided the samples, the plan of each part, is recorded.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..paths import StrPath
from .datacard import write_card
from .machine.files import begun, sha256_of, write_json
from .machine.progress import Progress, silent
from .store.database import Database
from .store.header import HEADER, SCHEMA, SCHEMA_VERSION, DatabaseError, mending
from .store.netcdf import opened
from .store.shard import VOXELS, ShardRecord, read_table, shard_path, table_sha256

DRAWN = ("space", "sampler", "seed")
"""What of their plans the parts of a database need not share."""


def merge(
    path: StrPath,
    sources: Sequence[StrPath],
    *,
    progress: Progress = silent,
) -> Database:
    """Merge databases into a new one, which appears when it is complete.

    Parameters
    ----------
    path : path
        The new database's folder: none yet, or an empty one.
    sources : sequence of path
        At least two databases of one growth model, solver, atlas and pair of thresholds that store
        the same; they stay as they are. One that was merged counts as its parts.
    progress : callable
        Called with the number of shards that are copied and their total.

    Returns
    -------
    Database

    Raises
    ------
    DatabaseError
        If a source is no complete database or damaged, they differ (the message says in what), two
        of them hold the same tumours, or the folder is not empty.
    """
    out = Path(path).absolute()
    databases = [Database.open(source) for source in sources]
    if len(databases) < 2:
        raise DatabaseError(f"merging takes two databases or more, got {len(databases)}")
    for other in databases[1:]:
        _refuse_difference(databases[0], other)
    header = _merged_header(databases)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DatabaseError(f"{out} is there already and not empty: choose another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = begun(out)
    try:
        shard_path(folder, 0).parent.mkdir(parents=True)
        shutil.copyfile(databases[0].path / VOXELS, folder / VOXELS)
        _copy_shards(folder, databases, progress)
        write_json(folder / HEADER, header)
        write_card(Database.open(folder))
        folder.replace(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Database.open(out)


def _refuse_difference(one: Database, other: Database) -> None:
    """See that two databases differ in nothing but what was drawn."""
    have, asked = (
        {key: value for key, value in database.header["plan"].items() if key not in DRAWN}
        | {key: database.header[key] for key in ("store", "grid", "box")}
        for database in (one, other)
    )
    for key in have | asked:
        if have.get(key) != asked.get(key):
            raise DatabaseError(
                f"{one.path} and {other.path} cannot be merged: {key} is {have.get(key)} in the "
                f"one, {asked.get(key)} in the other"
            )


def _merged_header(databases: Sequence[Database]) -> dict[str, Any]:
    first = databases[0].header
    parts: list[dict[str, Any]] = []
    for database in databases:
        for part in database.header.get("parts") or [_as_part(database)]:
            for other in parts:
                if all(part[key] == other[key] for key in DRAWN):
                    raise DatabaseError(
                        f"{database.path} holds tumours that another one holds too, drawn from one "
                        "space with one seed: merge the larger one alone, or draw with another seed"
                    )
            parts.append(part)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "package_version": version("glioquery"),
        "plan": {key: value for key, value in first["plan"].items() if key not in DRAWN},
        "parts": parts,
        "store": first["store"],
        "n_samples": sum(len(database) for database in databases),
        "grid": first["grid"],
        "box": first["box"],
    }


def _as_part(database: Database) -> dict[str, Any]:
    """What is recorded of a generated database."""
    header = database.header
    return {key: header["plan"][key] for key in DRAWN} | {
        "n_samples": header["n_samples"],
        "shard_size": header["shard_size"],
        "package_version": header["package_version"],
        "checksum": database.checksum,
    }


def _copy_shards(folder: Path, databases: Sequence[Database], progress: Progress) -> None:
    """Copy all shards into a folder, with the numbers they have there."""
    total = sum(len(database.records) for database in databases)
    index = n_samples = n_runs = 0
    for database in databases:
        for number, record in enumerate(database.records):
            source, target = shard_path(database.path, number), shard_path(folder, index)
            shutil.copyfile(source, target)
            if sha256_of(target) != record.sha256:
                raise DatabaseError(
                    f"{source} is not the file that was written (its SHA-256 differs): "
                    f"{mending(database.path, database.header)} makes it anew"
                )
            _renumber(target, record, n_samples, n_runs)
            index += 1
            progress(index, total)
        n_samples += len(database)
        n_runs += int(database.parameters.run.max()) + 1


def _renumber(path: Path, record: ShardRecord, n_samples: int, n_runs: int) -> None:
    """Raise the numbers of a shard's samples and runs, and write its record."""
    with opened(path, "a") as shard:
        shard["sample"][:] += n_samples
        shard["run"][:] += n_runs
        table = read_table(shard)
    with path.open("rb+") as file:
        os.fsync(file.fileno())
    renumbered = dataclasses.replace(
        record,
        first=record.first + n_samples,
        last=record.last + n_samples,
        bytes=path.stat().st_size,
        sha256=sha256_of(path),
        table_sha256=table_sha256(table),
    )
    write_json(path.with_suffix(".json"), dataclasses.asdict(renumbered))
