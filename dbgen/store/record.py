"""What was written into a finished shard: the small JSON file beside it.

FORMAT.md specifies its fields. A shard without a record, or of another size, counts as not made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .header import DatabaseError, mending, shard_spans


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
        Processor that simulated it; empty if that was not recorded.
    table_sha256 : str
        Checksum of the values along `sample` (see `table_sha256`); empty if that was not recorded.
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


def require_readable_path(folder: Path) -> None:
    """Refuse a database's folder whose shards NetCDF would not write or read where they lie.

    Parameters
    ----------
    folder : Path
        An absolute path.

    Raises
    ------
    DatabaseError
        If the path holds a backslash, which netCDF-C takes for a slash, or is not UTF-8.
    """
    text = str(folder)
    if "\\" in text or text.encode(errors="ignore").decode() != text:
        raise DatabaseError(
            f"NetCDF takes a path in UTF-8 without a backslash, got {folder}: rename the folder or "
            "choose another"
        )


def read_record(path: Path) -> ShardRecord | None:
    """The record beside a shard; None if there is none that can be read.

    Parameters
    ----------
    path : Path
        The shard.

    Returns
    -------
    ShardRecord or None
    """
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
