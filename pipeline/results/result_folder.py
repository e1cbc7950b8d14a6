"""A result folder is a transaction: written by one run at a time, all of it or nothing.

A run holds `.glioquery.lock` in the folder. It writes to `.glioquery.stage/` there until all files
are complete. Then the files are moved into place one by one, `result.json` last, which lists all
others with their sizes and SHA-256. Until then an earlier result stays as it is; afterwards those
of its files that the new one lacks are removed. While files move, `.glioquery.left.json` lists
those of both results: if the run is killed then, the next one knows what to remove.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path, PurePosixPath
from typing import Any

from ...dbgen.machine.files import remove_unfinished, sha256_of, write_json
from ...dbgen.machine.lock import HeldError, hold
from ...errors import InputError
from ...paths import StrPath
from ..dicom.dicom_path import split_number
from ..names import is_map_name

RESULT_FILE = "result.json"
LOCK_FILE = ".glioquery.lock"
STAGE = ".glioquery.stage"
LEFT_FILE = ".glioquery.left.json"

FILES = ("matches.csv", "report.html", "ro-crate-metadata.json", RESULT_FILE)
FOLDERS = ("transform",)
"""Names in every result beside those of its maps."""

_held: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())
"""Folders that this run holds; a step of it may ask for one again."""


def prepare_output(folder: Path) -> Path:
    """Make an output folder and see that it can be written.

    Raises
    ------
    InputError
        If it cannot.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from None
    return folder


@contextlib.contextmanager
def output_folder(folder: Path) -> Iterator[Path]:
    """An output folder that can be written, for the duration of the block.

    It and its parents are made where they are missing. Those that were made here and are empty at
    the end are removed.

    Parameters
    ----------
    folder : Path
        Where results are written.

    Yields
    ------
    Path
        The folder, absolute.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    folder = folder.absolute()
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield prepare_output(folder)
    finally:
        for place in missing:  # the innermost first
            with contextlib.suppress(OSError):
                place.rmdir()


@contextlib.contextmanager
def only_run(folder: Path) -> Iterator[Path]:
    """Be the only run that writes to a folder, which is made where it is missing.

    Unfinished files of killed runs are removed. A run may ask for a folder that it holds already.
    As to folders that were made here, see `output_folder`.

    Parameters
    ----------
    folder : Path
        Where results are written.

    Yields
    ------
    Path
        The folder, absolute.

    Raises
    ------
    InputError
        If another run writes to the folder, or it cannot be written.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(output_folder(folder))
        place = folder.resolve()
        if place in _held.get():
            yield folder
            return
        try:
            stack.enter_context(hold(folder / LOCK_FILE))
        except HeldError as error:
            raise InputError(
                f"another run writes to the output folder {folder}, {error}, or choose another "
                "folder"
            ) from None
        except OSError as error:
            raise _unwritable(folder, error) from None
        token = _held.set(_held.get() | {place})
        stack.callback(_held.reset, token)
        shutil.rmtree(folder / STAGE, ignore_errors=True)
        remove_unfinished(folder)
        yield folder


def require_names(
    folder: Path, files: Iterable[str] = FILES, folders: Iterable[str] = FOLDERS
) -> None:
    """See that files and folders of a result can be given their names, before any work.

    Parameters
    ----------
    folder : Path
        Folder of the result, which need not exist.
    files, folders : iterable of str
        Names of files and of folders in it.

    Raises
    ------
    InputError
        If a folder stands where a file is to lie, or is named as a map, or something else stands
        where a folder is to be.
    """
    found = folder.iterdir() if folder.is_dir() else ()
    maps = [path.name for path in found if is_map_name(path.name)]
    for name in (*files, *maps):
        if (folder / name).is_dir():
            raise _in_the_way(folder / name, "file")
    for name in folders:
        if (folder / name).exists() and not (folder / name).is_dir():
            raise _in_the_way(folder / name, "folder")


def require_inputs_kept(folder: Path, inputs: Iterable[StrPath]) -> None:
    """See that a result replaces none of the files that it is made from, before any work.

    Those are maps of an earlier result in its folder: outlines that were corrected there, say.

    Parameters
    ----------
    folder : Path
        Folder of the result, which need not exist.
    inputs : iterable of path
        Files, folders of series, and series as in FOLDER#3.

    Raises
    ------
    InputError
        If an input is a map in the folder.
    """
    place = folder.resolve()
    for path in inputs:
        given = split_number(path)[0].resolve()
        if given.parent == place and is_map_name(given.name):
            raise InputError(
                f"{path} is a map of the result in {folder}, which a new one replaces: copy the "
                "map elsewhere first, or choose another output folder"
            )


def _in_the_way(path: Path, kind: str) -> InputError:
    return InputError(
        f"{path} is to be a {kind} of the result, but something else is there: move it away, or "
        "choose another output folder"
    )


@contextlib.contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A hidden folder for a result, whose files take the place of an earlier one's at the end.

    They do so if the block ends without an error; else nothing changes.

    Parameters
    ----------
    folder : Path
        Folder of the result.

    Yields
    ------
    Path
        The hidden folder; write `result.json`, with the list of `list_files`, last.

    Raises
    ------
    InputError
        As `only_run`, or if a folder stands where a file is to lie or a file where a folder is.
    """
    with only_run(folder) as folder:
        stage = folder / STAGE
        stage.mkdir()
        try:
            yield stage
            _move_into_place(stage, folder)
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def list_files(folder: Path) -> dict[str, dict[str, str | int]]:
    """Size in bytes and SHA-256 of every file of a folder and those in it, by relative path."""
    return {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": sha256_of(path),
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def has_all_files(folder: Path, result: dict[str, Any]) -> bool:
    """Whether all files that a `result.json` lists exist with their recorded sizes.

    That is quick; `find_faults` compares checksums.
    """
    return all(
        (folder / name).is_file() and (folder / name).stat().st_size == entry["bytes"]
        for name, entry in result["files"].items()
    )


def find_results(folder: StrPath) -> list[Path]:
    """The result in a folder, or the results in the folders below it, as in a cohort.

    Parameters
    ----------
    folder : str or os.PathLike
        One result, or a folder of results.

    Returns
    -------
    list of Path
        Folders that hold one result each.

    Raises
    ------
    InputError
        If there is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: name one that `glioquery invert` wrote")
    below = []
    for place, folders, _ in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below += [Path(place, name) for name in folders]
    below.sort()
    found = [place for place in (folder, *below) if _holds_result(place)]
    if not found:
        raise InputError(
            f"{folder} holds no result, no {RESULT_FILE} there or in a folder below: name a "
            "folder that `glioquery invert` or `glioquery cohort` wrote"
        )
    return found


def find_faults(folder: StrPath) -> list[str]:
    """Find files of a result that do not belong together.

    Parameters
    ----------
    folder : str or os.PathLike
        One result.

    Returns
    -------
    list of str
        A line for each fault: a file is missing, was altered, or is a map of another result.
    """
    folder = Path(folder)
    try:
        listed = _listed(folder)
    except FileNotFoundError:
        return [f"{RESULT_FILE}: missing, the run that wrote the maps beside it did not finish"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return [f"{RESULT_FILE}: not readable as a list of the result's files ({error!r})"]
    faults = []
    for name, entry in listed.items():
        path = folder / name
        if not path.is_file():
            faults.append(f"{name}: missing")
        elif (size := path.stat().st_size) != entry["bytes"]:
            faults.append(f"{name}: {size} bytes where {entry['bytes']} were written")
        elif sha256_of(path) != entry["sha256"]:
            faults.append(f"{name}: not the file that was written, its SHA-256 differs")
    return faults + [
        f"{path.name}: a map of another result"
        for path in sorted(folder.iterdir())
        if is_map_name(path.name) and path.name not in listed
    ]


def _unwritable(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"the output folder {folder} cannot be written ({error.strerror}): choose another"
    )


def _holds_result(folder: Path) -> bool:
    return (folder / RESULT_FILE).exists() or any(
        is_map_name(path.name) for path in folder.iterdir()
    )


def _listed(folder: Path, list_file: str = RESULT_FILE) -> dict[str, dict[str, Any]]:
    """The files of a result as its `result.json` lists them; none of them lies outside."""
    result = json.loads((folder / list_file).read_text(encoding="utf-8"))
    files: dict[str, dict[str, Any]] = result["files"]
    for name, entry in files.items():
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not {"bytes", "sha256"} <= set(entry):
            raise ValueError(f"{name!r} is no entry of a file in the folder")
    return files


def _move_into_place(stage: Path, folder: Path) -> None:
    """Give complete files their names, and remove those of the earlier result."""
    names = [p.relative_to(stage) for p in sorted(stage.rglob("*")) if p.is_file()]
    require_names(folder, map(str, names), {str(p) for name in names for p in name.parents})
    earlier: dict[str, dict[str, Any]] = {}
    for list_file in (LEFT_FILE, RESULT_FILE):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            earlier |= _listed(folder, list_file)
    write_json(folder / LEFT_FILE, {"files": earlier | _listed(stage)})
    # From here until the last file there is no result: better none than one of two runs' files.
    (folder / RESULT_FILE).unlink(missing_ok=True)
    for gone in {Path(name) for name in earlier} - set(names):
        (folder / gone).unlink(missing_ok=True)
    for name in sorted(names, key=lambda name: name == Path(RESULT_FILE)):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (stage / name).replace(folder / name)
    (folder / LEFT_FILE).unlink()
