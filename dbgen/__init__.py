"""From a parameter space to a database on disk: sampling, planning, Ray, NetCDF shards."""

from typing import TYPE_CHECKING

from ..deferred import deferred
from .merging import merge
from .store.database import Database
from .store.header import DatabaseError
from .study.space import ParameterSpace
from .study.values import Choices, Range
from .verification import verify

if TYPE_CHECKING:
    from .generation import generate
    from .study.plan import Plan
else:
    __getattr__, __dir__ = deferred(
        __name__, {".generation": ("generate",), ".study.plan": ("Plan",)}
    )

__all__ = [
    "Choices",
    "Database",
    "DatabaseError",
    "ParameterSpace",
    "Plan",
    "Range",
    "generate",
    "merge",
    "verify",
]
