"""Download a published database into the user's cache.

An archive that `export` wrote is downloaded, compared with its checksum, unpacked, and every shard
compared with its own. The download resumes after a broken connection or a killed process.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ...cache import CACHE_VARIABLE
from ...errors import ExtraError, FailedError, InputError
from ..machine.files import begun, sha256_of, write_json
from ..machine.lock import hold_in_turn
from ..machine.progress import Progress, silent
from ..store.database import Database
from ..store.fetched import fetched_folder
from ..store.header import DatabaseError, UnreadableError
from ..store.shard import VOXELS, holds_voxels

ARCHIVE = ".tar"
SOURCE = "fetched.json"
"""Beside a fetched database's files: where it came from."""

CHUNK = 1 << 16
"""Bytes at a time; what comes after the last whole chunk is lost with the connection."""

TIMEOUT_S = 60.0
"""Seconds without a byte after which a connection counts as broken."""

MISSING = (404, 410)
AGAIN = (408, 425, 429)
"""Answers of a server that lacks a file, and of one that may have it another time. By all others
from 400 to 499 it refuses the file."""

NAMES_REFUSED = (
    errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ,
)  # fmt: skip
"""Errors of a file's name; others are those of the disk."""

DOI = re.compile(r"doi:(?P<doi>10\.[^/]+/.+)/(?P<file>[^/]+)")
SHA256 = re.compile(r"[0-9a-f]{64}")


def fetch(
    source: str,
    *,
    sha256: str | None = None,
    name: str | None = None,
    progress: Progress = silent,
) -> Database:
    """Get a database that somebody exported and published.

    Parameters
    ----------
    source : str
        The archive `NAME.tar`: its URL (http or https), or `doi:DOI/NAME.tar`.
    sha256 : str, optional
        The archive's checksum, as `SHA256SUMS` of the export has it. Without it, damage is found
        by the checksums inside, but not another database in its place.
    name : str, optional
        Name of the database from now on, which `Database.open` takes; by default that in the
        source.
    progress : callable(done, total)
        Counts bytes.

    Returns
    -------
    Database
        If a database from this source exists already, that one.

    Raises
    ------
    InputError
        If the source, the name or the checksum is malformed, another database has the name, the
        source lacks the file, the cache cannot be written, or the download does not match its
        checksum, is no database, or one that this version of glioquery or the atlas in use does not
        read: it is kept then.
    ExtraError
        If pooch is not installed.
    FailedError
        If the connection breaks, or the server sends something shorter than what came already.
        The downloaded part is kept.
    """
    file = _file_of(source)
    if sha256 is not None and not SHA256.fullmatch(sha256):
        raise InputError(f"a SHA-256 has 64 digits of 0-9 and a-f, got {sha256!r}")
    folder = fetched_folder(file.removesuffix(ARCHIVE) if name is None else name)
    _require_writable(folder.parent)
    with hold_in_turn(folder.with_name(f".{folder.name}.lock")) as is_alone:
        if folder.exists():
            return _there(folder, source, sha256)
        # What a killed process left is gone on with for the same source alone.
        origin = hashlib.sha256(source.encode()).hexdigest()[:12]
        archive = folder.with_name(f".{folder.name}-{origin}{ARCHIVE}")
        if not is_alone:  # another process may write there: its own place goes with this one
            place = begun(folder.absolute())
            archive = place / archive.name
            place.mkdir()
        try:
            _download(source, archive, sha256, progress, keeps=is_alone)
            _unpack(archive, folder, {"source": source, "sha256": sha256_of(archive)})
            archive.unlink()
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return _there(folder, source, sha256)  # the other process was quicker
        finally:
            if not is_alone:
                shutil.rmtree(place, ignore_errors=True)
        return Database.open(folder)


def _require_writable(folder: Path) -> None:
    """See that databases can be kept in a folder, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"fetched databases lie in {folder}, which cannot be written ({error.strerror}): let "
            f"{CACHE_VARIABLE} name another folder"
        ) from None


def _file_of(source: str) -> str:
    """Name of the archive that a source names."""
    by_doi = DOI.fullmatch(source)
    try:
        parts = urlsplit(source)
        is_url = parts.scheme in ("http", "https") and bool(parts.netloc)
    except ValueError:  # brackets that are no address
        is_url = False
    file = by_doi["file"] if by_doi else PurePosixPath(parts.path).name if is_url else ""
    if not (by_doi or is_url) or not file.endswith(ARCHIVE):
        raise InputError(
            f"{source}: a database is fetched from its archive's address, https://.../NAME.tar "
            "or doi:10.5281/zenodo.NUMBER/NAME.tar"
        )
    return file


def _there(folder: Path, source: str, sha256: str | None) -> Database:
    """The database that has the name, if it comes from this source."""
    database = Database.open(folder)
    try:
        came = json.loads((folder / SOURCE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{folder.name} is the name of a database that was not fetched (it has no {SOURCE}): "
            f"give this one another with --name, or remove {folder}"
        ) from None
    if came["source"] != source or sha256 not in (None, came["sha256"]):
        raise InputError(
            f"{folder.name} is the name of a database from {came['source']} (SHA-256 "
            f"{came['sha256']}): give this one another with --name, or remove {folder}"
        )
    return database


def _url(source: str) -> str:
    """Where a source's bytes are; a DOI is looked up."""
    found = DOI.fullmatch(source)
    if found is None:
        return source
    pooch, requests = _packages()
    try:
        repository = pooch.downloaders.doi_to_repository(found["doi"])
        return str(repository.download_url(found["file"]))
    except ValueError as error:
        raise InputError(f"{source}: {error}") from None
    except (KeyError, IndexError, TypeError):  # what pooch happens to miss in an answer
        raise FailedError(
            f"{source}: the repository's answer names no files; try again later, or give the "
            "archive's address"
        ) from None
    except requests.RequestException as error:
        raise FailedError(f"{source}: the DOI could not be looked up ({error})") from None


def _download(
    source: str, path: Path, sha256: str | None, progress: Progress, *, keeps: bool
) -> None:
    """Download an archive to a path, unless it is there, and compare it with its checksum.

    What came before the connection breaks is kept for the next call, or said to be lost.
    """
    if path.exists() and sha256 in (None, sha256_of(path)):
        return
    _, requests = _packages()
    url, partial = _url(source), path.with_name(f"{path.name}.download")
    try:
        _go_on(url, partial, progress)
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
        raise InputError(f"{source}: no address that can be asked ({error})") from None
    except requests.RequestException as error:
        n_bytes = partial.stat().st_size if partial.exists() else 0
        rest = (
            f"the {n_bytes} bytes that came are kept, and the same command goes on with the rest"
            if keeps and n_bytes
            else "give the same command again"
        )
        raise FailedError(f"{url}: the connection broke ({error}); {rest}") from None
    if sha256 is not None and (came := sha256_of(partial)) != sha256:
        partial.unlink()
        raise InputError(
            f"{source}: expected the SHA-256 {sha256}, got {came}: nothing of it is kept"
        )
    partial.replace(path)


def _go_on(url: str, partial: Path, progress: Progress) -> None:
    """Download a file, or the rest of it.

    Raises
    ------
    InputError
        If the server lacks the file or refuses it.
    FailedError
        If it sends a shorter file than what came already.
    requests.RequestException
        If the connection breaks, or the server asks to come again later.
    """
    _, requests = _packages()
    n_done = partial.stat().st_size if partial.exists() else 0
    # Parts and sizes are those of the file itself, not of what a server may compress.
    head = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={n_done}-"} if n_done else {})
    with requests.get(url, headers=head, stream=True, timeout=TIMEOUT_S) as answer:
        code = answer.status_code
        if code == requests.codes.requested_range_not_satisfiable:
            return  # all of it was there
        is_final = requests.codes.bad_request <= code < requests.codes.server_error
        if is_final and code not in AGAIN:
            said = "has no such file" if code in MISSING else "refuses the file"
            raise InputError(f"{url}: the server {said} ({code})")
        answer.raise_for_status()
        is_rest = code == requests.codes.partial_content
        size = int(answer.headers.get("Content-Length", 0))
        if not is_rest and 0 < size < n_done:  # a page that asks for a password, say
            raise FailedError(
                f"{url}: the server sends {size} bytes, but {n_done} of the file had come: try "
                f"again later, or remove {partial} if the file has changed"
            )
        n_done = n_done if is_rest else 0
        total = n_done + size
        with partial.open("ab" if is_rest else "wb") as file:
            for chunk in answer.iter_content(CHUNK):
                file.write(chunk)
                n_done += len(chunk)
                progress(n_done, max(total, n_done))


def _unpack(archive: Path, folder: Path, came: dict[str, Any]) -> None:
    """Make a database of an archive, complete or not at all.

    Raises
    ------
    InputError
        If it holds no database, or a damaged one: the archive is removed. If it holds one that this
        version of glioquery or the atlas in use does not read: the archive is kept.
    """
    temporary = begun(folder.absolute())
    temporary.mkdir()
    try:
        _extract(archive, temporary)
        found = list(temporary.iterdir())
        if len(found) != 1:
            raise DatabaseError(f"it holds {len(found)} files and folders, not one folder")
        (top,) = found
        database = Database.open(top)
        database.require_intact()
        if not holds_voxels(top / VOXELS, database.tissue):
            raise DatabaseError(f"{VOXELS} is damaged")
        write_json(top / SOURCE, came)
        top.rename(folder)
    except UnreadableError as error:
        raise InputError(
            f"{str(error).replace(str(top), came['source'])}; the download is kept as {archive}"
        ) from None
    except (tarfile.TarError, ValueError, NotADirectoryError) as error:
        archive.unlink()
        raise InputError(
            f"{came['source']} is not the archive of a database, or came damaged ({error}): "
            "nothing of it is kept"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _extract(archive: Path, folder: Path) -> None:
    """Extract plain files; the module's own way of doing so differs between versions of Python.

    Raises
    ------
    DatabaseError
        If a member is no plain file or folder, or cannot have its name in the folder.
    """
    with tarfile.open(archive, "r:") as members:
        for member in members:
            place = PurePosixPath(member.name)
            if member.isdir():
                continue
            content = members.extractfile(member) if member.isreg() else None
            if content is None or place.is_absolute() or ".." in place.parts or not place.parts:
                raise DatabaseError(f"it holds {member.name!r}")
            target = folder.joinpath(*place.parts)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                file = target.open("xb")
            except OSError as error:
                if error.errno not in NAMES_REFUSED:
                    raise
                raise DatabaseError(f"it holds {member.name!r} ({error.strerror})") from None
            with content, file:
                shutil.copyfileobj(content, file)


def _packages() -> tuple[Any, Any]:
    try:
        import pooch
        import requests
    except ImportError:
        raise ExtraError(
            "databases are fetched by pooch: `pip install 'glioquery[sharing]'`"
        ) from None
    return pooch, requests
