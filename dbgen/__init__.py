"""From a parameter space to a database on disk: sampling, planning, Ray, NetCDF shards."""

from typing import TYPE_CHECKING

from ..solver.deferred import deferred
from .database import Database
from .header import DatabaseError
from .merge import merge
from .space import ParameterSpace
from .values import Choices, Range
from .verification import verify

if TYPE_CHECKING:
    from .generation import generate
    from .plan import Plan
else:
    __getattr__, __dir__ = deferred(__name__, {"generate": ".generation", "Plan": ".plan"})

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
