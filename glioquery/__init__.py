"""glioquery: from an MRI and an outline of a glioma to a map of tumour-cell density.

    import glioquery as gq

    patient = gq.load_patient(t1="T1.nii.gz", seg="SEG.nii.gz", labels="brats2021")
    inversion = gq.invert(patient, options=gq.InversionOptions(refine=True))
    gq.write_inversion(inversion, "OUT")

The public names are imported when they are first used: `import glioquery` itself takes no time.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from .deferred import deferred

if find_spec(f"{__name__}.solver") is None:
    raise ImportError(
        f"{__path__[0]} belongs to a checkout that is not installed, and hides any glioquery that "
        "is: start Python in another folder, or install the checkout with `pip install --editable`"
    )

if TYPE_CHECKING:
    from .atlas import Atlas, Grid, load_atlas
    from .dbgen import (
        Choices,
        Database,
        DatabaseError,
        ParameterSpace,
        Plan,
        Range,
        generate,
        merge,
        verify,
    )
    from .dbgen.sharing import export, fetch
    from .dbgen.store.opening import open_database
    from .errors import FailedError, GlioqueryError, InputError
    from .pipeline.cohort.case import Case
    from .pipeline.cohort.case_table import CaseTable, read_cases
    from .pipeline.cohort.cohort import Outcome, invert_cohort
    from .pipeline.cohort.cohort_report import write_cohort
    from .pipeline.images.labels import LabelConvention, label_convention, outlines_from_labels
    from .pipeline.images.nifti import ImageFile, read_nifti, write_nifti
    from .pipeline.inversion.inversion import invert
    from .pipeline.inversion.options import InversionOptions
    from .pipeline.inversion.result import Inversion, InversionStatus
    from .pipeline.patient.patient import Patient, load_patient
    from .pipeline.results.dicom_outputs import write_dicom
    from .pipeline.results.outputs import write_inversion
    from .pipeline.scans.dated_outlines import DatedOutlines
    from .pipeline.scans.forecast import Outlook, look_ahead
    from .pipeline.scans.joint_fit import fit_scans
    from .pipeline.scans.later_scans import FollowUp, load_follow_up
    from .pipeline.scans.scan_days import ScanFiles
    from .pipeline.scans.treatment_file import read_treatments
    from .query import Index, Match, Measure, build_index, find_measure, search, search_many
    from .query.index.opening import open_index
    from .solver import (
        Accuracy,
        BatchResult,
        Drug,
        FisherKolmogorov,
        GrowthModel,
        GrowthParameters,
        Radiotherapy,
        Resection,
        Sensitivity,
        Simulation,
        Thresholds,
        Tissue,
        TumorDensity,
        TumorMasks,
        keep_compiled_programs,
        march,
        sensitivity,
        simulate,
        simulate_batch,
    )
    from .solver.models import find_model, register_model
    from .version import __version__
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".atlas": ("Atlas", "Grid", "load_atlas"),
            ".dbgen": (
                "Choices",
                "Database",
                "DatabaseError",
                "ParameterSpace",
                "Plan",
                "Range",
                "generate",
                "merge",
                "verify",
            ),
            ".dbgen.sharing": ("export", "fetch"),
            ".dbgen.store.opening": ("open_database",),
            ".errors": ("FailedError", "GlioqueryError", "InputError"),
            ".pipeline.cohort.case": ("Case",),
            ".pipeline.cohort.case_table": ("CaseTable", "read_cases"),
            ".pipeline.cohort.cohort": ("Outcome", "invert_cohort"),
            ".pipeline.cohort.cohort_report": ("write_cohort",),
            ".pipeline.images.labels": (
                "LabelConvention",
                "label_convention",
                "outlines_from_labels",
            ),
            ".pipeline.images.nifti": ("ImageFile", "read_nifti", "write_nifti"),
            ".pipeline.inversion.inversion": ("invert",),
            ".pipeline.inversion.options": ("InversionOptions",),
            ".pipeline.inversion.result": ("Inversion", "InversionStatus"),
            ".pipeline.patient.patient": ("Patient", "load_patient"),
            ".pipeline.results.dicom_outputs": ("write_dicom",),
            ".pipeline.results.outputs": ("write_inversion",),
            ".pipeline.scans.dated_outlines": ("DatedOutlines",),
            ".pipeline.scans.forecast": ("Outlook", "look_ahead"),
            ".pipeline.scans.joint_fit": ("fit_scans",),
            ".pipeline.scans.later_scans": ("FollowUp", "load_follow_up"),
            ".pipeline.scans.scan_days": ("ScanFiles",),
            ".pipeline.scans.treatment_file": ("read_treatments",),
            ".query": (
                "Index",
                "Match",
                "Measure",
                "build_index",
                "find_measure",
                "search",
                "search_many",
            ),
            ".query.index.opening": ("open_index",),
            ".solver": (
                "Accuracy",
                "BatchResult",
                "Drug",
                "FisherKolmogorov",
                "GrowthModel",
                "GrowthParameters",
                "Radiotherapy",
                "Resection",
                "Sensitivity",
                "Simulation",
                "Thresholds",
                "Tissue",
                "TumorDensity",
                "TumorMasks",
                "keep_compiled_programs",
                "march",
                "sensitivity",
                "simulate",
                "simulate_batch",
            ),
            ".solver.models": ("find_model", "register_model"),
            ".version": ("__version__",),
        },
    )

__all__ = [
    "Accuracy",
    "Atlas",
    "BatchResult",
    "Case",
    "CaseTable",
    "Choices",
    "Database",
    "DatabaseError",
    "DatedOutlines",
    "Drug",
    "FailedError",
    "FisherKolmogorov",
    "FollowUp",
    "GlioqueryError",
    "Grid",
    "GrowthModel",
    "GrowthParameters",
    "ImageFile",
    "Index",
    "InputError",
    "Inversion",
    "InversionOptions",
    "InversionStatus",
    "LabelConvention",
    "Match",
    "Measure",
    "Outcome",
    "Outlook",
    "ParameterSpace",
    "Patient",
    "Plan",
    "Radiotherapy",
    "Range",
    "Resection",
    "ScanFiles",
    "Sensitivity",
    "Simulation",
    "Thresholds",
    "Tissue",
    "TumorDensity",
    "TumorMasks",
    "__version__",
    "build_index",
    "export",
    "fetch",
    "find_measure",
    "find_model",
    "fit_scans",
    "generate",
    "invert",
    "invert_cohort",
    "keep_compiled_programs",
    "label_convention",
    "load_atlas",
    "load_follow_up",
    "load_patient",
    "look_ahead",
    "march",
    "merge",
    "open_database",
    "open_index",
    "outlines_from_labels",
    "read_cases",
    "read_nifti",
    "read_treatments",
    "register_model",
    "search",
    "search_many",
    "sensitivity",
    "simulate",
    "simulate_batch",
    "verify",
    "write_cohort",
    "write_dicom",
    "write_inversion",
    "write_nifti",
]
