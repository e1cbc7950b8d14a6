"""Tumours that are alike, in groups that a search bounds at once.

For each coarse block a group knows the most voxels that one of its tumours has there. The more
alike these are, the closer is the group's bound to theirs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .blocks import COARSE_EDGE, coarse_shape

GROUP = 64
"""Tumours in a group, the last of which may have fewer."""

AT_ONCE = 256
"""Groups whose counts are brought together at a time: 8 MB on the atlas."""


def order_alike(
    volumes: NDArray[np.int32], coarse: NDArray[np.uint16], shape: tuple[int, int, int]
) -> NDArray[np.intp]:
    """An order of tumours in which each `GROUP` of consecutive ones are alike.

    A k-d tree over the middle of the whole outline and the radii of balls of the two volumes: the
    tumours are halved along the quantity that spreads most, then each half again. What is equal
    stays in ascending order, so that the same tumours have the same order everywhere.

    Parameters
    ----------
    volumes : (2, n) int array
        Voxels of core and whole.
    coarse : (n, 2, n_coarse) uint16 array
        Voxels in the coarse blocks; may be mapped.
    shape : tuple of three int
        Number of blocks along x, y, z.

    Returns
    -------
    (n,) intp array
        Tumours, each once.
    """
    features = np.empty((len(coarse), 5), np.float32)
    places = np.indices(coarse_shape(shape), np.int32).reshape(3, -1).T
    for start in range(0, len(coarse), GROUP * AT_ONCE):
        some = slice(start, start + GROUP * AT_ONCE)
        whole = coarse[some, 1].astype(np.int32)
        middle = whole @ places / np.maximum(whole.sum(axis=1), 1)[:, None]
        features[some, :3] = COARSE_EDGE * middle
        features[some, 3:] = np.cbrt(volumes[:, some].T * (0.75 / np.pi))
    order = np.arange(len(coarse))
    to_halve = [slice(0, len(coarse))]
    while to_halve:
        part = to_halve.pop()
        n_groups = -(-(part.stop - part.start) // GROUP)
        if n_groups > 1:
            inside = features[order[part]]
            along = inside[:, np.ptp(inside, axis=0).argmax()]
            order[part] = order[part][np.argsort(along, kind="stable")]
            middle = part.start + GROUP * ((n_groups + 1) // 2)
            to_halve += [slice(part.start, middle), slice(middle, part.stop)]
    return order


def gather_groups(
    order: NDArray[np.intp], coarse: NDArray[np.uint16]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.uint16]]]:
    """Members and counts of the groups, some at a time.

    Parameters
    ----------
    order : (n,) intp array
        The order from `order_alike`.
    coarse : (n, 2, n_coarse) uint16 array

    Yields
    ------
    members : (m, GROUP) int32 array
        Tumours; -1 where the last group has none.
    counts : (m, 2, n_coarse, GROUP) uint16 array
        Their voxels in the coarse blocks; 0 where there is no tumour.
    """
    for start in range(0, len(order), GROUP * AT_ONCE):
        ids = order[start : start + GROUP * AT_ONCE]
        n_groups = -(-len(ids) // GROUP)
        members = np.full(n_groups * GROUP, -1, np.int32)
        members[: len(ids)] = ids
        counts = np.zeros((len(members), *coarse.shape[1:]), np.uint16)
        counts[: len(ids)] = coarse[ids]
        counts = counts.reshape(n_groups, GROUP, *coarse.shape[1:]).transpose(0, 2, 3, 1)
        yield members.reshape(n_groups, GROUP), np.ascontiguousarray(counts)
