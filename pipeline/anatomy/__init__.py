"""The patient's own tissue: grey matter, white matter and fluid where the scan shows them."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .tissue_maps import TissueMaps, read_tissue_maps
else:
    __getattr__, __dir__ = deferred(__name__, {".tissue_maps": ("TissueMaps", "read_tissue_maps")})

__all__ = ["TissueMaps", "read_tissue_maps"]
