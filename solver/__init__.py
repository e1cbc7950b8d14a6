"""Growth models and their time integration: tissue and parameters in, tumour density out."""

from .batches import BatchResult, simulate_batch
from .density import Thresholds, TumorDensity, TumorMasks
from .gradients import Sensitivity, sensitivity
from .integrate import Simulation, Snapshot, Status, on_grid, simulate
from .models import FisherKolmogorov, GrowthModel
from .parameters import GrowthParameters
from .schedule import SCHEME, Accuracy
from .tissue import Tissue

__all__ = [
    "SCHEME",
    "Accuracy",
    "BatchResult",
    "FisherKolmogorov",
    "GrowthModel",
    "GrowthParameters",
    "Sensitivity",
    "Simulation",
    "Snapshot",
    "Status",
    "Thresholds",
    "Tissue",
    "TumorDensity",
    "TumorMasks",
    "on_grid",
    "sensitivity",
    "simulate",
    "simulate_batch",
]
