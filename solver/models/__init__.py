"""Growth models: one file each, all behind the `GrowthModel` protocol."""

from .base import GrowthModel, Links
from .fisher_kolmogorov import FisherKolmogorov

__all__ = ["FisherKolmogorov", "GrowthModel", "Links"]
