"""Growth models and their time integration: tissue and parameters in, tumour density out."""

from typing import TYPE_CHECKING

from ..deferred import deferred
from .compilation import keep_compiled_programs
from .density import Thresholds, TumorDensity, TumorMasks
from .parameters import GrowthParameters
from .tissue import Tissue

if TYPE_CHECKING:
    from .batches import BatchResult, simulate_batch
    from .gradients import Sensitivity, sensitivity
    from .integrate import Simulation, Snapshot, Status, on_grid, simulate
    from .models import FisherKolmogorov, GrowthModel
    from .schedule import SCHEME, Accuracy
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            "BatchResult": ".batches",
            "simulate_batch": ".batches",
            "Sensitivity": ".gradients",
            "sensitivity": ".gradients",
            "Simulation": ".integrate",
            "Snapshot": ".integrate",
            "Status": ".integrate",
            "on_grid": ".integrate",
            "simulate": ".integrate",
            "FisherKolmogorov": ".models",
            "GrowthModel": ".models",
            "SCHEME": ".schedule",
            "Accuracy": ".schedule",
        },
    )

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
    "keep_compiled_programs",
    "on_grid",
    "sensitivity",
    "simulate",
    "simulate_batch",
]
