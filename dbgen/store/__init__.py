"""A database on disk, read and written: its header, shards and outlines.

FORMAT.md says what the files hold. One database comes with the package.
"""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .database import Database
    from .embedded import embedded_database
    from .header import DatabaseError, read_header
    from .opening import open_database, require_model
    from .record import ShardRecord, read_record
    from .shard import write_shard
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".database": ("Database",),
            ".embedded": ("embedded_database",),
            ".header": ("DatabaseError", "read_header"),
            ".opening": ("open_database", "require_model"),
            ".record": ("ShardRecord", "read_record"),
            ".shard": ("write_shard",),
        },
    )

__all__ = [
    "Database",
    "DatabaseError",
    "ShardRecord",
    "embedded_database",
    "open_database",
    "read_header",
    "read_record",
    "require_model",
    "write_shard",
]
