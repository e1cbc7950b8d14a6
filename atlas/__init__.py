"""The standard brain: SRI24 maps, the simulation grid, world <-> voxel."""

from .grid import SIMULATION_GRID, Grid
from .brain import Atlas, load_atlas, load_probabilities

__all__ = ["SIMULATION_GRID", "Atlas", "Grid", "load_atlas", "load_probabilities"]
