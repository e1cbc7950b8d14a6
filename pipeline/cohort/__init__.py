"""Many patients through Ray, from a table of cases to a page; the PREDICT-GBM contract."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .bids_dataset import read_bids_cases
    from .case import Case
    from .case_table import CaseTable, read_cases
    from .cohort import Outcome, invert_cohort
    from .cohort_report import write_cohort
    from .evaluation_cases import Cases, find_cases
    from .exams import find_exams
    from .predict_gbm import Exam, predict_exam, read_exam
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".bids_dataset": ("read_bids_cases",),
            ".case": ("Case",),
            ".case_table": ("CaseTable", "read_cases"),
            ".evaluation_cases": ("Cases", "find_cases"),
            ".cohort": ("Outcome", "invert_cohort"),
            ".cohort_report": ("write_cohort",),
            ".exams": ("find_exams",),
            ".predict_gbm": ("Exam", "predict_exam", "read_exam"),
        },
    )

__all__ = [
    "Case",
    "CaseTable",
    "Cases",
    "Exam",
    "Outcome",
    "find_cases",
    "find_exams",
    "invert_cohort",
    "predict_exam",
    "read_bids_cases",
    "read_cases",
    "read_exam",
    "write_cohort",
]
