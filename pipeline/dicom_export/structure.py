"""A region with a name, as segmentations and planning systems show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["GTV", "CTV", "lesion"]
"""What a region is in DICOM's codes: a gross or a clinical target volume, or abnormal tissue."""

LONGEST_NAME = 16
"""Letters of a name that planning systems show."""


@dataclass(frozen=True, eq=False)
class Structure:
    """A region with a name.

    Attributes
    ----------
    name : str
        At most `LONGEST_NAME` letters.
    mask : bool array
        On the grid of the series that it is written for; not empty.
    kind : "GTV", "CTV" or "lesion"
    colour : tuple of three int
        Red, green, blue, 0 to 255.
    is_drawn : bool
        Whether it came with the patient instead of from a computation.
    """

    name: str
    mask: NDArray[np.bool_]
    kind: Kind
    colour: tuple[int, int, int]
    is_drawn: bool = False
