"""Several scans of one patient: the growth in real days, and its forecast."""

from typing import TYPE_CHECKING

from ...deferred import deferred

if TYPE_CHECKING:
    from .dated_outlines import DatedOutlines
    from .forecast import Outlook, look_ahead
    from .joint_fit import JointFit, fit_scans
    from .real_rates import Rate
    from .scan_days import NamedScans
else:
    __getattr__, __dir__ = deferred(
        __name__,
        {
            ".dated_outlines": ("DatedOutlines",),
            ".forecast": ("Outlook", "look_ahead"),
            ".joint_fit": ("JointFit", "fit_scans"),
            ".real_rates": ("Rate",),
            ".scan_days": ("NamedScans",),
        },
    )

__all__ = ["DatedOutlines", "JointFit", "NamedScans", "Outlook", "Rate", "fit_scans", "look_ahead"]
