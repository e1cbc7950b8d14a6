"""The manifest of an index, `index.json`: what was indexed, and in which files it lies.

The module `index` says what these files hold.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...dbgen.machine.files import sha256_of
from ...errors import InputError, MissingError
from ...solver import Thresholds
from .source import OutlineSource, Portion

SCHEMA_VERSION = 3
MANIFEST = "index.json"
ARRAYS_FOLDER = "arrays-"
"""How the names of folders of arrays begin."""
REMEDY = "build it again with `glioquery index DB`"

ARRAYS = {
    "tissue": "<u8",
    "volumes": "<i4",
    "members": "<i4",
    "counts": "<u2",
    "most": "<u2",
    "ends": "<i4",
    "full_starts": "<i8",
    "full_blocks": "<u2",
    "mixed_starts": "<i8",
    "mixed_blocks": "<u2",
    "mixed_bits": "<u8",
}
"""Name and type of each array; its file is NAME.npy."""


def read_manifest(path: Path) -> dict[str, Any]:
    """Read and check `index.json`; returns the fields of `Index` that it holds.

    Raises
    ------
    MissingError, InputError
        As `Index.open`.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise MissingError(
            f"there is no index at {path}: make one with `glioquery index DB` (and the same "
            "thresholds and normalisation, if any were named)"
        )
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        version = manifest["schema_version"]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{file} is not the manifest of an index; {REMEDY}") from error
    if version != SCHEMA_VERSION:
        raise InputError(
            f"the index {path} is of schema version {version}, this glioquery reads version "
            f"{SCHEMA_VERSION}; {REMEDY}"
        )
    try:
        starts, stops = manifest["box"]
        x, y, z = (slice(*pair) for pair in zip(starts, stops, strict=True))
        return {
            "folder": path / Path(manifest["arrays"]).name,
            "n_samples": int(manifest["n_samples"]),
            "thresholds": Thresholds(**manifest["thresholds"]),
            "normalisation": str(manifest["normalisation"]),
            "database_checksum": str(manifest["database_checksum"]),
            "portions": tuple(Portion(int(a), int(b), str(c)) for a, b, c in manifest["portions"]),
            "grid": Grid(tuple(manifest["grid"]["shape"]), manifest["grid"]["affine"]),
            "box": (x, y, z),
            "files": {f"{name}.npy": manifest["files"][f"{name}.npy"] for name in ARRAYS},
        }
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{file} was altered and is not readable ({error!r}); {REMEDY}") from error


def description_of(source: OutlineSource) -> dict[str, Any]:
    """What tells the outlines of an index from others, in terms of JSON."""
    return {
        "schema_version": SCHEMA_VERSION,
        "n_samples": source.n_samples,
        "thresholds": {"core": source.thresholds.core, "whole": source.thresholds.whole},
        "normalisation": source.normalisation,
        "database_checksum": source.checksum,
        "portions": [list(portion) for portion in source.portions],
        "grid": {"shape": list(source.grid.shape), "affine": source.grid.affine.tolist()},
        "box": [[s.start for s in source.box], [s.stop for s in source.box]],
    }


def manifest_of(source: OutlineSource, package_version: str, folder: Path) -> dict[str, Any]:
    """Describe an index whose arrays are freshly written in a folder: `index.json`."""
    files = {}
    for name in ARRAYS:
        file = folder / f"{name}.npy"
        files[file.name] = {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
    return {
        **description_of(source),
        "package_version": package_version,
        "arrays": folder.name,
        "files": files,
    }


def map_array(name: str, fields: dict[str, Any]) -> NDArray[Any]:
    """Map one of the `ARRAYS` of an index.

    Parameters
    ----------
    name : str
    fields : dict
        As `read_manifest` returns them.

    Returns
    -------
    array
        Mapped, not read; an empty one is in memory.

    Raises
    ------
    MissingError, InputError
        If the file is missing, truncated or no array.
    """
    file = fields["folder"] / f"{name}.npy"
    expected = fields["files"][file.name]["bytes"]
    if not file.is_file():
        raise MissingError(f"{file} is missing from the index; {REMEDY}")
    if file.stat().st_size != expected:
        raise InputError(
            f"{file} should have {expected} bytes, but has {file.stat().st_size}; {REMEDY}"
        )
    try:
        # NumPy refuses to map an array without elements (no full block in a small database).
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        try:
            array = np.load(file, allow_pickle=False)
        except ValueError:
            raise InputError(f"{file} is no longer a NumPy array; {REMEDY}") from error
    # The plain view: indexing the memmap subclass costs microseconds each time.
    return array.view(np.ndarray)
