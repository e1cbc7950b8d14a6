"""A finished shard as readers see it: a read returns what was written, or raises an error."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..machine.files import sha256_of
from .header import DatabaseError
from .netcdf import opened
from .record import ShardRecord, read_record
from .shard import Variable, read_table, table_sha256

if TYPE_CHECKING:
    import netCDF4

_intact: set[tuple[str, Path, int, int, int]] = set()
"""Checksums and files, with inode, size and time of change, that were found to agree."""

OTHER_BYTES = "its SHA-256 is not that of the file that was written"


class DigestedFile:
    """A file that is read from the first byte to the last, and the digest of what was read.

    Attributes
    ----------
    n_bytes : int
        Size of the file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.n_bytes = os.fstat(file.fileno()).st_size
        self._file, self._digest = file, hashlib.sha256()

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, as of any file."""
        content = self._file.read(size)
        self._digest.update(content)
        return content

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes that were read, hexadecimal."""
        return self._digest.hexdigest()


@dataclass(frozen=True)
class StoredShard:
    """A shard of a finished database.

    Attributes
    ----------
    path : Path
    record : ShardRecord
        What was written.
    variables : mapping of str to Variable
        Along `sample` (see `shard.variables_of`).
    remedy : callable() -> str
        What to do if it is damaged, in words.
    """

    path: Path
    record: ShardRecord
    variables: Mapping[str, Variable]
    remedy: Callable[[], str]

    def require_intact(self) -> None:
        """Compare the file with its checksum, unless this process did since it last changed.

        Raises
        ------
        DatabaseError
            If it is missing or not what was written: damaged, or extended since it was opened.
        """
        try:
            now = self.path.stat()
            state = (self.record.sha256, self.path, now.st_ino, now.st_size, now.st_mtime_ns)
            if state not in _intact:
                if sha256_of(self.path) != self.record.sha256:
                    raise self.fault(OTHER_BYTES)
                _intact.add(state)
        except OSError as error:
            raise self.fault(error.strerror or str(error)) from None

    @contextlib.contextmanager
    def opened(self) -> Iterator[netCDF4.Dataset]:
        """The file, for a short block: no other thread reads meanwhile.

        Raises
        ------
        DatabaseError
            As `require_intact`.
        """
        self.require_intact()
        with opened(self.path) as file:
            yield file

    def table(self) -> dict[str, NDArray[Any]]:
        """The values of `sample` and of each of its variables.

        They have a checksum of their own: the whole file, with its densities, is compared only
        where an older version recorded none.

        Raises
        ------
        DatabaseError
            If they are not what was written.
        """
        if not self.record.table_sha256:
            self.require_intact()
        try:
            with opened(self.path) as file:
                table = read_table(file, self.variables)
        except (OSError, RuntimeError, IndexError) as error:  # NetCDF's words for damage
            raise self.fault(str(error)) from None
        if self.record.table_sha256 not in ("", table_sha256(table, self.variables)):
            raise self.fault("its parameters are not those that were written")
        return table

    @contextlib.contextmanager
    def compared(self) -> Iterator[DigestedFile]:
        """The file, whose bytes the block reads once from the first to the last.

        They are compared when the block ends, so that those that were read are those that were
        written.

        Raises
        ------
        DatabaseError
            As `require_intact`.
        """
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise self.fault(error.strerror or str(error)) from None
        with file:
            content = DigestedFile(file)
            yield content
            if content.sha256 != self.record.sha256:
                raise self.fault(OTHER_BYTES)

    def fault(self, why: str) -> DatabaseError:
        """The error of a file that is not what was written: it is damaged, or another by now.

        Parameters
        ----------
        why : str
            What was found, in words.

        Returns
        -------
        DatabaseError
        """
        now = read_record(self.path)
        with contextlib.suppress(OSError):
            if now not in (None, self.record) and sha256_of(self.path) == now.sha256:
                return DatabaseError(
                    f"{self.path} was extended or made again since its database was opened: open "
                    "that again"
                )
        return DatabaseError(f"{self.path} is damaged, {why}: {self.remedy()}")
