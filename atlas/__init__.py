"""The standard brain: SRI24 maps, the simulation grid, world <-> voxel."""

from .brain import Atlas, load_atlas, load_probabilities
from .grid import SIMULATION_GRID, Grid

__all__ = ["SIMULATION_GRID", "Atlas", "Grid", "load_atlas", "load_probabilities"]
