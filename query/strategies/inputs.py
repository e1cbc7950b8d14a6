"""What a network sees of an outline: the index's box in a cube of voxels, each the share it fills.

The cube has `edge` voxels along each axis, of `factor` voxels of the simulation grid each, the
fewest with which the box fits in; the box lies at its corner. A voxel's value is the share of its
simulation voxels that the outline holds, in [0, 1]: the outline itself where the factor is 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...solver import TumorMasks
from ..dice import OUTLINES
from ..index.index import Index


def pool_packed(packed: NDArray[np.uint8], edge: int) -> NDArray[np.float32]:
    """Inputs (n, edge, edge, edge, 1) from packed outlines (n, bx, by, bz // 8) of the box."""
    return _pool(np.unpackbits(packed, axis=-1), edge)


def pool_query(index: Index, masks: TumorMasks, edge: int) -> list[NDArray[np.float32]]:
    """Inputs (1, edge, edge, edge, 1) from core and whole; what lies off the box is not seen."""
    return [_pool(getattr(masks, name)[index.box].view(np.uint8)[None], edge) for name in OUTLINES]


def _pool(volumes: NDArray[np.uint8], edge: int) -> NDArray[np.float32]:
    n, *shape = volumes.shape
    factor = -(-max(shape) // edge)
    sums: NDArray[Any] = volumes
    for axis, length in enumerate(shape, start=1):
        padding = [(0, 0)] * 4
        padding[axis] = (0, -length % factor)
        padded = np.pad(sums, padding)
        # Counts of up to 8 bits suffice below a factor of 7; beyond, 16.
        dtype = np.uint8 if factor**3 < 256 else np.uint16
        parts = [_every(padded, axis, start, factor) for start in range(factor)]
        sums = np.asarray(np.sum(parts, axis=0, dtype=dtype))
    inputs = np.zeros((n, edge, edge, edge, 1), np.float32)
    x, y, z = sums.shape[1:]
    inputs[:, :x, :y, :z, 0] = sums / np.float32(factor**3)
    return inputs


def _every(values: NDArray[Any], axis: int, start: int, step: int) -> NDArray[Any]:
    return values[(slice(None),) * axis + (slice(start, None, step),)]
