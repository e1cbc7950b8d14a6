"""A finished shard as readers see it: a read returns what was written, or raises an error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..machine.files import sha256_of
from .header import DatabaseError
from .netcdf import opened
from .record import ShardRecord
from .shard import Variable, read_table, table_sha256

if TYPE_CHECKING:
    import netCDF4

_intact: set[tuple[str, Path, int, int, int]] = set()
"""Checksums and files, with inode, size and time of change, that were found to agree."""


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
    remedy : str
        What to do if it is damaged, in words.
    """

    path: Path
    record: ShardRecord
    variables: Mapping[str, Variable]
    remedy: str

    def require_intact(self) -> None:
        """Compare the file with its checksum, unless this process did since it last changed.

        Raises
        ------
        DatabaseError
            If it is missing or not what was written.
        """
        try:
            now = self.path.stat()
            state = (self.record.sha256, self.path, now.st_ino, now.st_size, now.st_mtime_ns)
            if state not in _intact:
                if sha256_of(self.path) != self.record.sha256:
                    raise self._damaged("its SHA-256 is not that of the file that was written")
                _intact.add(state)
        except OSError as error:
            raise self._damaged(error.strerror or str(error)) from None

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
            raise self._damaged(str(error)) from None
        if self.record.table_sha256 not in ("", table_sha256(table, self.variables)):
            raise self._damaged("its parameters are not those that were written")
        return table

    def _damaged(self, why: str) -> DatabaseError:
        return DatabaseError(f"{self.path} is damaged, {why}: {self.remedy}")
