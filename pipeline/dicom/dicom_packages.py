"""pydicom and highdicom, which come with the extra `dicom`, and what they may say.

Both complain of a header by quoting it, names of patients among the rest; nobody hears them here.
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
    """No warnings of pydicom and highdicom, which quote the values that they doubt."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
