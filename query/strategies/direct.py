"""The direct query: the best tumours of all, without looking at all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...solver import TumorMasks
from ..exact import search
from ..index.index import Index


@dataclass(frozen=True, eq=False)
class Direct:
    """Exact search in the index."""

    index: Index
    name: str = "direct"

    @property
    def fingerprint(self) -> str:
        """Exact search has no state of its own."""
        return ""

    def rank(self, masks: TumorMasks, n: int) -> NDArray[np.intp]:
        """Ids of the n tumours of highest score."""
        return np.array([match.sample for match in search(self.index, masks, k=n)], np.intp)
