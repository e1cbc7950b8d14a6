"""A finished database as a folder that a repository of data takes.

    NAME/
      NAME.tar            the database, file by file
      parameters.parquet  a row for each tumour: all of its variables, and its split
      croissant.json      what the files are, for machines
      README.md           the data card, for people
      LICENSE.txt         the licence
      SHA256SUMS          `sha256sum -c SHA256SUMS`

The same database gives the same bytes. `fetch` gets the archive back.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ExtraError, InputError
from ...paths import StrPath
from ..datacard import CARD, card_text, describe_database, licence_of
from ..machine.files import begun, json_bytes, sha256_of, write_json, write_text
from ..machine.progress import Progress, silent
from ..store.database import Database
from ..store.fetched import NAME
from ..store.header import HEADER
from ..store.shard import VOXELS, variables_of
from ..store.stored import DigestedFile
from .croissant import describe_export

if TYPE_CHECKING:
    from pyarrow import Table

PARAMETERS = "parameters.parquet"
CROISSANT = "croissant.json"
README = "README.md"
LICENCE = "LICENSE.txt"
CHECKSUMS = "SHA256SUMS"

BESIDE = (CARD, "calibration.json")
"""Files of a database's folder that are no part of it, and go with it where they are there."""

SPLITS = ("database", "queries")
"""Tumours to search in, and tumours to search for."""

HELD_OUT = 0.02
"""Share of the runs whose tumours are queries."""


def export(
    database: Database,
    out: StrPath,
    *,
    held_out: float = HELD_OUT,
    seed: int = 0,
    progress: Progress = silent,
) -> Path:
    """Write a database as a repository of data takes it, complete or not at all.

    Parameters
    ----------
    database : Database
        A finished database.
    out : path
        A new folder. Its name becomes the database's.
    held_out : float
        Share of the runs that the column `split` calls `queries`, in [0, 1): a benchmark searches
        for their tumours among the others. All tumours of a run are on one side.
    seed : int
        Seed of the choice of these runs.
    progress : callable(done, total)
        Counts files.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If the folder or a link of its name exists, its name cannot be a database's, the share is
        not in [0, 1), or a shard is damaged, or extended since the database was opened.
    ExtraError
        If pyarrow is not installed.
    """
    out = Path(out).absolute()
    if not NAME.fullmatch(out.name):
        raise InputError(
            f"{out.name!r}: the folder's name becomes the database's, and has letters, digits and "
            ". _ - alone"
        )
    if os.path.lexists(out):  # a folder can't replace a link, even one that leads nowhere
        raise InputError(f"{out} is there already: name a folder that is not, or remove it")
    if not 0 <= held_out < 1:
        raise InputError(f"the share of runs that are held out lies in [0, 1), got {held_out:g}")
    write_table = _parquet_writer()
    database.require_intact()
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = begun(out)
    folder.mkdir()
    try:
        facts = describe_database(database)
        card = card_text(facts)
        _write_archive(database, card, folder / f"{out.name}.tar", out.name, progress)
        write_table(_table(database, held_out, seed), folder / PARAMETERS)
        write_text(folder / README, card)
        write_text(folder / LICENCE, f"{licence_of(facts.atlas)}\n")
        sums = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
        write_json(
            folder / CROISSANT,
            describe_export(out.name, facts, variables_of(database.header), SPLITS, sums),
        )
        sums[CROISSANT] = sha256_of(folder / CROISSANT)
        lines = (f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
        write_text(folder / CHECKSUMS, "".join(lines))
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return out


def _write_archive(
    database: Database, card: str, path: Path, name: str, progress: Progress
) -> None:
    """All files below one folder of the database's name; no owner, no time of theirs is kept.

    The database is archived as it was opened, should somebody extend it meanwhile: what is written
    anew then is not read from the disk, but for the shards, which are compared.

    Raises
    ------
    DatabaseError
        If a shard is no longer what it was.
    """
    beside = [file for file in BESIDE if (database.path / file).is_file()]
    n_files = 2 + 2 * len(database.shards) + len(beside)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        n_done = 0

        def add(file: Path, n_bytes: int, content: io.BytesIO | DigestedFile) -> None:
            nonlocal n_done
            member = tarfile.TarInfo(Path(name, file.relative_to(database.path)).as_posix())
            member.size = n_bytes
            archive.addfile(member, content)
            n_done += 1
            progress(n_done, n_files)

        def add_bytes(file: Path, content: bytes) -> None:
            add(file, len(content), io.BytesIO(content))

        add_bytes(database.path / HEADER, json_bytes(database.header))
        add_bytes(database.path / VOXELS, (database.path / VOXELS).read_bytes())
        for shard in database.shards:
            with shard.compared() as content:
                add(shard.path, content.n_bytes, content)
            add_bytes(shard.path.with_suffix(".json"), json_bytes(asdict(shard.record)))
        for file in beside:
            kept = card.encode() if file == CARD else (database.path / file).read_bytes()
            add_bytes(database.path / file, kept)


def _splits(runs: NDArray[np.int64], held_out: float, seed: int) -> list[str]:
    """The split of each tumour, by the number of its run."""
    unique = np.unique(runs)
    n_queries = round(held_out * len(unique))
    chosen = np.random.default_rng(seed).choice(unique, n_queries, replace=False)
    return [SPLITS[is_query] for is_query in np.isin(runs, chosen).astype(int)]


def _table(database: Database, held_out: float, seed: int) -> dict[str, Any]:
    values = database.parameters
    columns: dict[str, Any] = {"sample": values["sample"].values}
    columns |= {name: values[name].values for name in variables_of(database.header)}
    return columns | {"split": _splits(values.run.values, held_out, seed)}


def _parquet_writer() -> Any:
    try:
        from pyarrow import table
        from pyarrow.parquet import write_table
    except ImportError:
        raise ExtraError(
            "an export holds a table in Parquet, which pyarrow writes: `pip install "
            "'glioquery[sharing]'`"
        ) from None

    def write(columns: dict[str, Any], path: Path) -> None:
        made: Table = table(columns)
        write_table(made, path)

    return write
