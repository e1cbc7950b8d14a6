"""What stands in a database's folder, and what a request would still make there."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..atlas import Atlas, load_atlas
from ..solver import Tissue
from ..solver.declarations import Declared
from ..solver.models import pushes
from .request import own_header
from .store.header import (
    HEADER,
    SCHEMA,
    SCHEMA_VERSION,
    DatabaseError,
    by_content,
    shard_spans,
)
from .store.netcdf import opened
from .store.record import read_record, shard_path
from .store.shard import is_of_plan, packing_box, variables_of
from .store.stored import StoredShard
from .study.plan import Plan


def what_is_left(
    folder: Path, n_samples: int, plan: Plan, store: str, shard_size: int
) -> tuple[dict[str, Any], int]:
    """What `generate` would still make in a folder, which stays as it is.

    Parameters
    ----------
    folder : Path
    n_samples, plan, store
        As `complete_request` returns them.
    shard_size : int
        Samples in a file of a new database.

    Returns
    -------
    header : dict
        The description that the database would have.
    n_left : int
        Samples of the shards that are not finished.

    Raises
    ------
    DatabaseError
        If the folder holds something else, or a database of another plan or of more samples.
    """
    refuse_other_content(folder)
    header = header_for(folder, n_samples, plan, store, shard_size, load_atlas())
    spans = shard_spans(header)
    return header, sum(spans[i][1] - spans[i][0] for i in unfinished_shards(folder, header))


def refuse_other_content(folder: Path) -> None:
    """See that a folder is not there yet, is empty, or holds a database."""
    if not folder.exists():
        return
    names = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    if names and HEADER not in names:
        raise DatabaseError(
            f"{folder} is not empty and holds no database (found {names[0]}): choose another folder"
        )


def header_for(
    folder: Path, n_samples: int, plan: Plan, store: str, shard_size: int, atlas: Atlas
) -> dict[str, Any]:
    """The header for the database in a folder: new, or that of the one to resume or extend.

    A description without a finished shard may be replaced. The folder is locked, so that the
    header stays as it is read here until the new one is written.
    """
    if (folder / HEADER).exists():
        header = own_header(folder)
        asked = {"plan": plan.describe(atlas), "store": store}
        have = {key: header[key] for key in ("plan", "store")}
        differences = _differences(by_content(have), by_content(asked))
        n_finished = _last_finished(folder, header)
        if not differences and n_samples >= n_finished:
            return header | {"n_samples": n_samples}  # more, or as before an extension that ended
        if n_finished:
            what = (
                f"holds a database of another plan; {'; '.join(differences)}"
                if differences
                else f"is a database of {header['n_samples']} samples, fewer were requested "
                f"({n_samples})"
            )
            raise DatabaseError(f"{folder} {what}. Choose another folder")
    return new_header(n_samples, plan, store, shard_size, atlas)


def new_header(
    n_samples: int, plan: Plan, store: str, shard_size: int, atlas: Atlas
) -> dict[str, Any]:
    """The description of a database that is yet to be made.

    Parameters
    ----------
    n_samples : int
    plan : Plan
    store : {'density', 'outlines'}
    shard_size : int
        Samples in a file.
    atlas : Atlas

    Returns
    -------
    dict
        The fields of `database.json`, as FORMAT.md describes them.
    """
    tissue = Tissue.from_atlas(atlas)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "package_version": version("glioquery"),
        "plan": json.loads(json.dumps(plan.describe(atlas))),
        "parameters": Declared.by(plan.model).describe(),
        "store": store,
        **({"ventricles": True} if pushes(plan.model) else {}),
        "n_samples": n_samples,
        "shard_size": shard_size,
        "grid": {"shape": tissue.grid.shape, "affine": tissue.grid.affine.tolist()},
        "box": [[s.start, s.stop] for s in packing_box(tissue)],
    }


def unfinished_shards(folder: Path, header: dict[str, Any]) -> list[int]:
    """The shards of a database that are missing or damaged."""
    spans = enumerate(shard_spans(header))
    return [index for index, span in spans if not _is_finished(folder, header, index, span)]


def _is_finished(folder: Path, header: dict[str, Any], index: int, span: tuple[int, int]) -> bool:
    path = shard_path(folder, index)
    record = read_record(path)
    if record is None or (record.first, record.last) != span:
        return False
    shard = StoredShard(path, record, variables_of(header), lambda: "making it again")
    try:
        shard.require_intact()
        shard.table()
        with opened(path) as file:
            if not is_of_plan(file, header, record.first):
                return False
    except DatabaseError:
        return False
    return path.stat().st_size == record.bytes


def _last_finished(folder: Path, header: dict[str, Any]) -> int:
    """The last sample, exclusive, of finished shards; a record comes before its shard."""
    paths = (shard_path(folder, index) for index in range(len(shard_spans(header))))
    records = (read_record(path) for path in paths if path.exists())
    return max((record.last for record in records if record is not None), default=0)


def _differences(have: Any, asked: Any, name: str = "") -> list[str]:
    """Where two nested descriptions differ, as 'key is A, requested is B'."""
    if isinstance(have, dict) and isinstance(asked, dict):
        return [
            line
            for key in have | asked
            for line in _differences(have.get(key), asked.get(key), f"{name}.{key}".lstrip("."))
        ]
    same = json.loads(json.dumps(have)) == json.loads(json.dumps(asked))
    return [] if same else [f"{name} is {have}, requested is {asked}"]
