"""Growth models and their time integration: tissue and parameters in, tumour density out."""

from .density import Thresholds, TumorDensity, TumorMasks

__all__ = ["Thresholds", "TumorDensity", "TumorMasks"]
