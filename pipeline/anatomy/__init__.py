"""The patient's own tissue: grey matter, white matter and fluid where the scan shows them."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .patient_tissue import PatientTissue, TissueSource, find_tissue
    from .tissue_maps import TissueMaps, read_tissue_maps
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".patient_tissue": ("PatientTissue", "TissueSource", "find_tissue"),
            ".tissue_maps": ("TissueMaps", "read_tissue_maps"),
        },
    )

__all__ = ["PatientTissue", "TissueMaps", "TissueSource", "find_tissue", "read_tissue_maps"]
