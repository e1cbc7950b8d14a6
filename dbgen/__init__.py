"""From a parameter space to a database on disk: sampling, planning, Ray, NetCDF shards."""

from .database import Database
from .generation import generate
from .header import DatabaseError
from .merge import merge
from .plan import Plan
from .space import ParameterSpace
from .values import Choices, Range
from .verification import verify

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
