"""Growth models: one file each, all behind the `GrowthModel` protocol."""

from typing import TYPE_CHECKING

from ...deferred import deferred
from .registry import (
    describe_model,
    find_class,
    find_model,
    model_names,
    parse_settings,
    recall_model,
    register_model,
)

if TYPE_CHECKING:
    from .base import GrowthModel, Links, late_days, pushes, reach_of, swelling_of
    from .fisher_kolmogorov import FisherKolmogorov
    from .fisher_kolmogorov_mass_effect import FisherKolmogorovMassEffect
    from .fisher_kolmogorov_tensor import FisherKolmogorovTensor
    from .fisher_kolmogorov_two_foci import FisherKolmogorovTwoFoci
    from .proliferative_necrotic import ProliferativeNecrotic
    from .tensor_atlas import convert_tensor
    from .tensor_field import TensorField
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".base": ("GrowthModel", "Links", "late_days", "pushes", "reach_of", "swelling_of"),
            ".fisher_kolmogorov": ("FisherKolmogorov",),
            ".fisher_kolmogorov_mass_effect": ("FisherKolmogorovMassEffect",),
            ".fisher_kolmogorov_tensor": ("FisherKolmogorovTensor",),
            ".fisher_kolmogorov_two_foci": ("FisherKolmogorovTwoFoci",),
            ".proliferative_necrotic": ("ProliferativeNecrotic",),
            ".tensor_atlas": ("convert_tensor",),
            ".tensor_field": ("TensorField",),
        },
    )

__all__ = [
    "FisherKolmogorov",
    "FisherKolmogorovMassEffect",
    "FisherKolmogorovTensor",
    "FisherKolmogorovTwoFoci",
    "GrowthModel",
    "Links",
    "ProliferativeNecrotic",
    "TensorField",
    "convert_tensor",
    "describe_model",
    "find_class",
    "find_model",
    "late_days",
    "model_names",
    "parse_settings",
    "pushes",
    "reach_of",
    "recall_model",
    "register_model",
    "swelling_of",
]
