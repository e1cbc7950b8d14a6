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
    from .base import GrowthModel, Links
    from .fisher_kolmogorov import FisherKolmogorov
    from .fisher_kolmogorov_tensor import FisherKolmogorovTensor
    from .proliferative_necrotic import ProliferativeNecrotic
    from .tensor_field import TensorField
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".base": ("GrowthModel", "Links"),
            ".fisher_kolmogorov": ("FisherKolmogorov",),
            ".fisher_kolmogorov_tensor": ("FisherKolmogorovTensor",),
            ".proliferative_necrotic": ("ProliferativeNecrotic",),
            ".tensor_field": ("TensorField",),
        },
    )

__all__ = [
    "FisherKolmogorov",
    "FisherKolmogorovTensor",
    "GrowthModel",
    "Links",
    "ProliferativeNecrotic",
    "TensorField",
    "describe_model",
    "find_class",
    "find_model",
    "model_names",
    "parse_settings",
    "recall_model",
    "register_model",
]
