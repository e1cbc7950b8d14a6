"""A region with a name, as segmentations and planning systems show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError

Kind = Literal["GTV", "CTV", "lesion"]
"""What a region is in DICOM's codes: a gross or a clinical target volume, or abnormal tissue."""

LONGEST_NAME = 64
"""Most letters of a name: it is a Long String of DICOM (PS3.5, 6.2)."""


@dataclass(frozen=True, eq=False)
class Structure:
    """A region with a name.

    Attributes
    ----------
    name : str
        1 to `LONGEST_NAME` letters, none of them a backslash.
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

    def __post_init__(self) -> None:
        if not 0 < len(self.name) <= LONGEST_NAME or "\\" in self.name:
            raise InputError(
                f"expected a structure's name of 1 to {LONGEST_NAME} letters without a backslash, "
                f"got {self.name!r}: give it another"
            )
