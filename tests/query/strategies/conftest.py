"""Queries that are like some stored tumour, and like none."""

import numpy as np
import pytest

from glioquery.solver import TumorMasks


@pytest.fixture(scope="session")
def queries(source, tumor):
    """Stored tumours, moved ones that stick out of box and brain, one without a core, nothing."""
    moved = [
        TumorMasks(np.roll(m.core, shift, (0, 1, 2)), np.roll(m.whole, shift, (0, 1, 2)), m.grid)
        for m, shift in ((tumor(3), (1, 0, -1)), (tumor(40), (4, 5, 6)), (tumor(70), (-3, 2, 0)))
    ]
    nothing = np.zeros(source.grid.shape, bool)
    bare = TumorMasks(nothing, tumor(11).whole, source.grid)
    return [tumor(0), tumor(11), *moved, bare, TumorMasks(nothing, nothing, source.grid)]
