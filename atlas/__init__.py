"""The standard brain: SRI24 or another one, the simulation grid, world <-> voxel."""

from .brain import (
    ATLAS_VARIABLE,
    Atlas,
    atlas_checksum,
    atlas_folder,
    atlas_name,
    load_atlas,
    load_probabilities,
)
from .grid import SIMULATION_GRID, Grid

__all__ = [
    "ATLAS_VARIABLE",
    "SIMULATION_GRID",
    "Atlas",
    "Grid",
    "atlas_checksum",
    "atlas_folder",
    "atlas_name",
    "load_atlas",
    "load_probabilities",
]
