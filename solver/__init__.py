"""Growth models and their time integration: tissue and parameters in, tumour density out."""

from .density import Thresholds, TumorDensity, TumorMasks
from .integrate import Simulation, Snapshot, Status, on_grid, simulate
from .models import FisherKolmogorov, GrowthModel
from .parameters import GrowthParameters
from .schedule import Accuracy
from .tissue import Tissue

__all__ = [
    "Accuracy",
    "FisherKolmogorov",
    "GrowthModel",
    "GrowthParameters",
    "Simulation",
    "Snapshot",
    "Status",
    "Thresholds",
    "Tissue",
    "TumorDensity",
    "TumorMasks",
    "on_grid",
    "simulate",
]
