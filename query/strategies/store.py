"""What a strategy keeps of a database: a folder beside the index.

    DB/strategies/NAME/strategy.json   what it was made of and how, written last
    DB/strategies/NAME/*.npy, *.eqx    arrays, weights

`strategy.json` records the checksum of the database, thresholds and normalisation of the outlines,
the package's version, the settings and the files with their sizes and SHA-256; where it is, the
others are complete.
"""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dbgen.machine.files import completed, sha256_of, write_json
from ...dbgen.machine.lock import hold_in_turn
from ...dbgen.store.embedded import is_companion
from ...dbgen.store.header import HEADER
from ...errors import InputError, MissingError
from ..index.index import Index
from ..index.outlines import INDEX_FOLDER, level_text

MANIFEST = "strategy.json"


def folder_of(index: Index, name: str) -> Path:
    """Where a strategy keeps its files; it need not exist.

    An index of other thresholds, `index-...`, has its own `strategies-...` beside it.
    """
    return index.path.parent / f"strategies{index.path.name.removeprefix('index')}" / name


def remedy(index: Index, name: str) -> str:
    """The command that makes a strategy ready."""
    parts = ["glioquery train"]
    folder = index.path.parent
    if (folder / HEADER).is_file():
        parts.append(shlex.quote(str(folder)))
    elif not is_companion(folder, index.database_checksum):  # of the embedded one
        parts.append("DB")  # one that cannot be written: its index is in a cache
    parts.append(f"--strategy {name}")
    if index.path.name != INDEX_FOLDER:
        thresholds = index.thresholds
        core, whole = level_text(thresholds.core), level_text(thresholds.whole)
        parts.append(f"--core-threshold {core} --whole-threshold {whole}")
        parts.append(f"--normalise {index.normalisation}")
    return f"run `{' '.join(parts)}`"


@contextlib.contextmanager
def made(index: Index, name: str) -> Iterator[Path]:
    """The folder of a strategy for a block that writes its files and calls `finish`.

    The strategy is not ready from now on until it is finished. Another process that makes it waits.
    """
    folder = folder_of(index, name)
    folder.mkdir(parents=True, exist_ok=True)
    with hold_in_turn(folder.with_name(f".{name}.lock")):
        (folder / MANIFEST).unlink(missing_ok=True)
        yield folder


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write a .npy file, complete or not at all."""
    with completed(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def finish(index: Index, name: str, files: list[str], **provenance: Any) -> None:
    """Write the manifest of a strategy whose files are complete."""
    folder = folder_of(index, name)
    manifest = {
        "strategy": name,
        "database_checksum": index.database_checksum,
        "n_samples": index.n_samples,
        **index.drawn_at,
        "package_version": version("glioquery"),
        **provenance,
        "files": {
            file: {
                "bytes": (folder / file).stat().st_size,
                "sha256": sha256_of(folder / file),
            }
            for file in files
        },
    }
    write_json(folder / MANIFEST, manifest)


def is_ready(index: Index, name: str) -> bool:
    """Whether a strategy can be opened for this state of the database."""
    try:
        read_manifest(index, name)
    except InputError:
        return False
    return True


def read_manifest(index: Index, name: str) -> dict[str, Any]:
    """What `finish` recorded.

    Raises
    ------
    FileNotFoundError
        If the strategy was not prepared or trained; the message names the command.
    InputError
        If it was for another state of the database or other outlines, or a file is missing or
        truncated.
    """
    folder = folder_of(index, name)
    path = folder / MANIFEST
    if not path.is_file():
        raise MissingError(
            f"the strategy {name} is not prepared for {index.path.parent}: {remedy(index, name)}"
        )
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        files = {file: int(entry["bytes"]) for file, entry in manifest["files"].items()}
        made_for = str(manifest["database_checksum"])
        # Older versions recorded the database alone.
        outlines = {key: manifest.get(key, now) for key, now in index.drawn_at.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} was altered ({error!r}): {remedy(index, name)}") from error
    if made_for != index.database_checksum:
        raise InputError(
            f"the strategy {name} was prepared for another state of {index.path.parent}: "
            f"{remedy(index, name)}"
        )
    if outlines != index.drawn_at:
        raise InputError(
            f"the strategy {name} was prepared for other outlines of {index.path.parent} than "
            f"those of {index.path.name}: {remedy(index, name)}"
        )
    for file, n_bytes in files.items():
        size = (folder / file).stat().st_size if (folder / file).is_file() else 0
        if size != n_bytes:
            raise InputError(
                f"{folder / file} should have {n_bytes} bytes, but has {size}: "
                f"{remedy(index, name)}"
            )
    return manifest


def discard(index: Index, name: str) -> None:
    """Let a strategy no longer be ready."""
    (folder_of(index, name) / MANIFEST).unlink(missing_ok=True)


def verify_files(index: Index, name: str) -> None:
    """Read every file of a strategy whole and compare its checksum (opening compares sizes only).

    Raises
    ------
    InputError
        As `read_manifest`, or if a file was altered.
    """
    folder = folder_of(index, name)
    for file, entry in read_manifest(index, name)["files"].items():
        if sha256_of(folder / file) != entry["sha256"]:
            raise InputError(f"{folder / file} was altered: {remedy(index, name)}")


def fingerprint_of(manifest: dict[str, Any]) -> str:
    """The strategy's files in one string, by their checksums."""
    return " ".join(entry["sha256"] for entry in manifest["files"].values())


def map_array(index: Index, name: str, file: str) -> NDArray[Any]:
    """A read-only map of one of a strategy's arrays."""
    path = folder_of(index, name) / file
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except ValueError as error:
        raise InputError(f"{path} is no longer an array: {remedy(index, name)}") from error
