"""Growth models and their time integration: tissue and parameters in, tumour density out."""

from typing import TYPE_CHECKING

from ..deferred import deferred
from .compilation import keep_compiled_programs
from .declarations import TIME_SCALING, Combination, Parameter, parameter
from .density import Thresholds, TumorDensity, TumorMasks
from .own_settings import own_arithmetic
from .parameters import GrowthParameters
from .tissue import OriginError, Tissue
from .treatments import Drug, Radiotherapy, Resection, Treatment

if TYPE_CHECKING:
    from .batches import BatchResult, simulate_batch
    from .gradients import Sensitivity, sensitivity
    from .integrate import Simulation, Snapshot, Status, on_grid, simulate
    from .marching import march
    from .models import FisherKolmogorov, GrowthModel
    from .schedule import SCHEME, Accuracy
    from .stepper import State
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".batches": ("BatchResult", "simulate_batch"),
            ".gradients": ("Sensitivity", "sensitivity"),
            ".integrate": ("Simulation", "Snapshot", "Status", "on_grid", "simulate"),
            ".marching": ("march",),
            ".models": ("FisherKolmogorov", "GrowthModel"),
            ".schedule": ("SCHEME", "Accuracy"),
            ".stepper": ("State",),
        },
    )

__all__ = [
    "SCHEME",
    "TIME_SCALING",
    "Accuracy",
    "BatchResult",
    "Combination",
    "Drug",
    "FisherKolmogorov",
    "GrowthModel",
    "GrowthParameters",
    "OriginError",
    "Parameter",
    "Radiotherapy",
    "Resection",
    "Sensitivity",
    "Simulation",
    "Snapshot",
    "State",
    "Status",
    "Thresholds",
    "Tissue",
    "Treatment",
    "TumorDensity",
    "TumorMasks",
    "keep_compiled_programs",
    "march",
    "on_grid",
    "own_arithmetic",
    "parameter",
    "sensitivity",
    "simulate",
    "simulate_batch",
]
