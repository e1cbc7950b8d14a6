"""A database's own description, `database.json`: what it is, and how its samples are parted."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...atlas import ATLAS_VARIABLE, atlas_checksum, atlas_folder, atlas_name
from ...errors import InputError
from ...solver.declarations import NOTHING_DECLARED, Declared
from ..study.space import ParameterSpace
from .netcdf import computed_once

if TYPE_CHECKING:
    from ..study.plan import Plan

SCHEMA = "glioquery-database"
SCHEMA_VERSION = 3
READ_VERSIONS = (2, SCHEMA_VERSION)
HEADER = "database.json"
KEYS = ("schema", "schema_version", "package_version", "plan", "store", "n_samples", "grid", "box")
PART_KEYS = ("space", "sampler", "seed", "n_samples", "shard_size")
"""What a merged database keeps of each part. In a generated database the first three stand in the
plan, the others in the header itself."""

PLACES = ("path", "frame", "order")
"""What a description says of a file beside the SHA-256 of its content."""


class DatabaseError(InputError):
    """A folder that is not the database it should be; the message says what to do."""


class UnreadableError(DatabaseError):
    """A sound database that needs another version of glioquery, or another atlas."""


def read_header(folder: Path) -> dict[str, Any]:
    """The database's own description.

    Parameters
    ----------
    folder : Path
        The database.

    Returns
    -------
    dict
        The fields of `database.json`, as FORMAT.md describes them.

    Raises
    ------
    UnreadableError
        If the folder holds a database of another schema.
    DatabaseError
        If it holds none, or its description was altered.
    """
    path = folder / HEADER
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        schema, version = header["schema"], header["schema_version"]
    except FileNotFoundError:
        raise DatabaseError(
            f"{folder} holds no database (no {HEADER}): make one with "
            f"`glioquery generate {shlex.quote(str(folder))} --n 1000`, or get a published one "
            "with `glioquery fetch`"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatabaseError(f"{path} is not a database's description: {error}") from None
    if schema != SCHEMA or version not in READ_VERSIONS:
        is_newer = isinstance(version, int) and version > SCHEMA_VERSION
        advice = "install a newer one" if is_newer else "generate the database again"
        raise UnreadableError(
            f"{folder} has schema {schema} {version}, this version of glioquery reads "
            f"{SCHEMA} {' and '.join(map(str, READ_VERSIONS))}: {advice}"
        )
    keys = KEYS if version == READ_VERSIONS[0] else (*KEYS, "parameters")
    fault = _fault_of(header, keys)
    if fault is None:
        try:
            parts_of(header)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            fault = f"it cannot be read ({type(error).__name__}: {error})"
    if fault:
        raise DatabaseError(
            f"{path} was altered, {fault}: put it back as it was, or generate the database again "
            "in another folder"
        )
    return header


def _fault_of(header: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    """What is wrong with a description's keys, or with the numbers that its shards follow from."""
    fault = (
        _lacking(header, keys)
        or _lacking(header["plan"], ("model", "thresholds", "atlas"), "plan")
        or _lacking(header["plan"]["model"], ("name", "equation", "settings"), "plan.model")
        or _lacking(header["plan"]["thresholds"], ("core", "whole"), "plan.thresholds")
        or _lacking(header["plan"]["atlas"], ("name", "sha256"), "plan.atlas")
        or _no_number(header, ("n_samples",))
    )
    if fault:
        return fault
    if not isinstance(header.get("parts", []), list):
        return f"its parts is {header['parts']!r} and no list"
    where = "parts" if header.get("parts") else ""
    for part in _described_parts(header):
        fault = _lacking(part, PART_KEYS, where) or _no_number(part, ("n_samples", "shard_size"))
        if fault:
            return fault
    return None


def _lacking(values: Any, keys: tuple[str, ...], where: str = "") -> str | None:
    """Which keys an object of JSON lacks, if any; `where` is its own name."""
    if not isinstance(values, dict):
        return f"its {where} is {values!r} and no object"
    missing = [f"{where}.{key}".lstrip(".") for key in keys if key not in values]
    return f"it lacks {', '.join(missing)}" if missing else None


def _no_number(values: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    """Which of some values is no number from 1 up, if any."""
    for key in keys:
        if type(values[key]) is not int or values[key] < 1:
            return f"its {key} is {values[key]!r} and no number from 1 up"
    return None


def require_atlas(folder: Path, header: dict[str, Any]) -> None:
    """See that the atlas in use is the one that a database was simulated in.

    Raises
    ------
    UnreadableError
        If it is another one.
    """
    atlas = header["plan"]["atlas"]
    if atlas["sha256"] != atlas_checksum():
        raise UnreadableError(
            f"{folder} was simulated in the atlas {atlas['name']} ({atlas['sha256'][:12]}), but "
            f"the atlas in use is {atlas_name(atlas_folder())} ({atlas_checksum()[:12]}): "
            f"{ATLAS_VARIABLE} names the folder of the atlas to use; by default it is SRI24"
        )


@dataclass(frozen=True)
class Part:
    """Consecutive samples of a database that one plan decided.

    Attributes
    ----------
    first, last : int
        Samples first <= i < last; sample i of the database is sample i - first of the plan.
    space : ParameterSpace
    seed : int
    description : dict
        The plan, as `Plan.describe` describes it.
    """

    first: int
    last: int
    space: ParameterSpace
    seed: int
    description: dict[str, Any]

    @computed_once
    def plan(self) -> Plan:
        """The whole plan, with the growth model.

        Raises
        ------
        InputError
            If the model cannot be made again (see `recall_model`).
        """
        from ..study.plan import Plan  # here: it imports JAX, which a search can spare

        return Plan.from_description(self.description)


def declared_in(header: dict[str, Any]) -> Declared:
    """What the model of a database declares of its parameters.

    Databases of schema 2 do not record it: their models had settings alone, and `TIME_SCALING`.
    """
    if "parameters" not in header:
        return NOTHING_DECLARED
    return Declared.of(header["parameters"])


def parts_of(header: dict[str, Any]) -> list[Part]:
    """The parts of a database: one, unless it was merged."""
    parts: list[Part] = []
    for part in _described_parts(header):
        first = parts[-1].last if parts else 0
        drawn = {key: part[key] for key in ("space", "sampler", "seed", "model") if key in part}
        space = ParameterSpace.from_dict(
            part["space"] | {"sampler": part["sampler"]}, declared_in(header).parameters
        )
        last = first + part["n_samples"]
        parts.append(Part(first, last, space, part["seed"], header["plan"] | drawn))
    return parts


def shard_spans(header: dict[str, Any]) -> list[tuple[int, int]]:
    """First and last (exclusive) sample of each shard; none holds samples of two parts."""
    spans: list[tuple[int, int]] = []
    start = 0
    for part in _described_parts(header):
        end, size = start + part["n_samples"], part["shard_size"]
        spans += [(first, min(first + size, end)) for first in range(start, end, size)]
        start = end
    return spans


def by_content(described: Any) -> Any:
    """A description without the places of files of whose content it holds the SHA-256."""
    if not isinstance(described, dict):
        return described
    left_out = PLACES if "sha256" in described else ()
    return {key: by_content(value) for key, value in described.items() if key not in left_out}


def identity(plan: dict[str, Any]) -> str:
    """SHA-256 of a plan's description: two databases with one identity hold the same samples."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def mending(folder: Path, header: dict[str, Any]) -> str:
    """The action that makes missing and damaged shards again, in words.

    Parameters
    ----------
    folder : Path
        The database.
    header : dict
        Its description, for a folder whose own cannot be read. Otherwise that counts: the database
        may have been extended since it was opened.
    """
    with contextlib.suppress(DatabaseError):
        header = read_header(folder)
    if "parts" in header:
        return "merging its parts again, into a new folder,"
    return f"`glioquery generate {shlex.quote(str(folder))} --n {header['n_samples']}`"


def _described_parts(header: dict[str, Any]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = header.get("parts") or [header["plan"] | header]
    return parts
