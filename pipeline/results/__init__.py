"""Files of a result, and tables; a folder appears whole, or stays as it was."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .csv_file import write_csv
    from .dicom_outputs import write_dicom
    from .json_values import plain
    from .outputs import write_inversion, write_maps
    from .result_folder import find_faults, find_results, only_run, replaced
    from .table_file import TableFile, read_table
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".csv_file": ("write_csv",),
            ".dicom_outputs": ("write_dicom",),
            ".json_values": ("plain",),
            ".outputs": ("write_inversion", "write_maps"),
            ".result_folder": ("find_faults", "find_results", "only_run", "replaced"),
            ".table_file": ("TableFile", "read_table"),
        },
    )

__all__ = [
    "TableFile",
    "find_faults",
    "find_results",
    "only_run",
    "plain",
    "read_table",
    "replaced",
    "write_csv",
    "write_dicom",
    "write_inversion",
    "write_maps",
]
