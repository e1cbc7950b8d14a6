"""pydicom and highdicom, which come with the extra `dicom`, and their warnings.

Their warnings quote headers, names of patients included; they are silenced here.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

from .dicom_path import require_extra

require_extra()

import highdicom  # noqa: E402
import pydicom  # noqa: E402

__all__ = ["highdicom", "pydicom", "quietly"]

logging.getLogger("highdicom").setLevel(logging.CRITICAL + 1)
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silence the warnings of pydicom and highdicom, which quote doubtful values."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
