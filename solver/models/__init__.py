"""Growth models: one file each, all behind the `GrowthModel` protocol."""

from .base import GrowthModel, Links
from .fisher_kolmogorov import FisherKolmogorov
from .fisher_kolmogorov_tensor import FisherKolmogorovTensor
from .proliferative_necrotic import ProliferativeNecrotic
from .registry import (
    describe_model,
    find_class,
    find_model,
    model_names,
    parse_settings,
    recall_model,
    register_model,
)
from .tensor_field import TensorField

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
