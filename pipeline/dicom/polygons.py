"""Masks of a plane as polygons, and polygons as masks.

A mask's outline passes half way between the centres of neighbouring pixels of which one belongs to
it (marching squares), so every centre lies on its own side, and filling it gives the mask back. A
hole is joined to the outline around it by a channel of no width, a keyhole, as DICOM asks of closed
contours (PS3.3, C.8.8.6.3). A point is inside where a ray from it crosses the polygons an odd
number of times: so keyholes count for nothing, and a contour inside another one cuts a hole.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import contourpy
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Polygon = NDArray[np.float64]
"""(n, 2) indices of pixels, fractional, along both axes of a mask; its end is not repeated."""


def outline(mask: NDArray[np.bool_]) -> list[Polygon]:
    """Polygons around a mask's pieces, the holes of each joined to it."""
    padded = np.pad(mask, 1).astype(np.float64)
    drawn = contourpy.contour_generator(z=padded, fill_type=contourpy.FillType.OuterOffset).filled(
        0.5, 2.0
    )
    polygons = []
    for points, offsets in zip(*drawn, strict=True):
        # contourpy's x is the last axis, and each ring repeats its first point.
        rings = [points[begin : end - 1, ::-1] - 1 for begin, end in itertools.pairwise(offsets)]
        polygons.append(_with_keyholes(rings[0], rings[1:]))
    return polygons


def fill(polygons: Sequence[Polygon], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centres lie inside an odd number of polygons.

    A centre on an edge is inside, on whichever side that edge is: else every polygon would be
    shifted. So a centre counts if a point beside it is inside, as near as can be. Eight points are
    looked at, one in each eighth of the circle that axes and diagonals divide.

    Parameters
    ----------
    polygons : sequence of (n, 2) arrays
    shape : tuple of two int
        Shape of the mask.

    Returns
    -------
    bool array of the shape
    """
    swapped = [polygon[:, ::-1] for polygon in polygons]
    return _fill_beside(polygons, shape) | _fill_beside(swapped, shape[::-1]).T


def _fill_beside(polygons: Sequence[Polygon], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels with a point inside beside their centres, four of which lie near the first axis."""
    mask = np.zeros(shape, bool)
    if not polygons:
        return mask
    for from_row in (_at, _behind):
        crossings = [_crossings(polygon, shape[1], from_row) for polygon in polygons]
        rows = np.concatenate([row for row, _ in crossings])
        places = np.concatenate([place for _, place in crossings])
        mask |= _odd(rows, _at(places), shape) | _odd(rows, _behind(places), shape)
    return mask


def _at(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """First pixel at or behind each place."""
    return np.ceil(places)


def _behind(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """First pixel behind each place."""
    return np.floor(places) + 1


def _crossings(
    polygon: Polygon, n_rows: int, from_row: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Where a polygon's edges cross rows of pixels: the row, and the place along it.

    An edge goes from one row to the one before another; `from_row` finds both from its ends.
    """
    begin, end = polygon, np.roll(polygon, -1, axis=0)
    is_rising = (begin[:, 1] <= end[:, 1])[:, None]
    # From below, whichever way the edge is drawn: both sides of a keyhole cross at one place.
    low, high = np.where(is_rising, begin, end), np.where(is_rising, end, begin)
    first, end_row = (np.clip(from_row(at[:, 1]), 0, n_rows).astype(np.intp) for at in (low, high))
    n = np.maximum(end_row - first, 0)
    edge = np.repeat(np.arange(len(n)), n)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(n) - n, n)
    run, rise = (high - low)[edge].T
    # Divided last: an edge between centres meets the centres on it exactly.
    return row, low[edge, 0] + (row - low[edge, 1]) * run / rise


def _odd(
    rows: NDArray[np.intp], first: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Pixels before which an odd number of crossings lies; `first` is the pixel behind each."""
    crossed = np.zeros((shape[0] + 1, shape[1]), np.uint8)  # modulo 256, which is even
    np.add.at(crossed, (np.clip(first, 0, shape[0]).astype(np.intp), rows), 1)
    return np.asarray(np.cumsum(crossed[:-1], axis=0, dtype=np.uint8) % 2 == 1)


def _with_keyholes(outer: Polygon, holes: Sequence[Polygon]) -> Polygon:
    """An outline and its holes as one polygon; the nearest hole is joined first."""
    left = list(holes)
    ways = [_shortest(outer, hole) for hole in left]
    while left:
        nearest = int(np.argmin([way.length for way in ways]))
        way, hole = ways.pop(nearest), left.pop(nearest)
        at = int(np.flatnonzero((outer == way.begin).all(axis=1))[0])
        hole = np.roll(hole, -way.to, axis=0)
        outer = np.concatenate([outer[: at + 1], hole, hole[:1], outer[at:]])
        nearer = (_shortest(hole, other) for other in left)
        ways = [min(pair, key=lambda way: way.length) for pair in zip(ways, nearer, strict=True)]
    return outer


class _Way(NamedTuple):
    """The shortest way from a polygon's points to those of a hole that passes no pixel's centre."""

    length: float
    begin: Polygon
    to: int


def _shortest(polygon: Polygon, hole: Polygon) -> _Way:
    """The way between two points of which one lies between rows and the other between columns.

    A line between two such points meets no centre: whether a centre on a keyhole is inside,
    programs do not agree.
    """
    ways = []
    for side in (True, False):
        begins, ends = (points[_between_rows(points) == is_so]
                        for points, is_so in ((polygon, side), (hole, not side)))  # fmt: skip
        lengths, places = cKDTree(ends).query(begins)
        nearest = int(np.argmin(lengths))
        to = np.flatnonzero(_between_rows(hole) != side)[places[nearest]]
        ways.append(_Way(float(lengths[nearest]), begins[nearest], int(to)))
    return min(ways, key=lambda way: way.length)


def _between_rows(points: Polygon) -> NDArray[np.bool_]:
    """Whether each point of a mask's outline lies half way between two rows of pixels."""
    return np.asarray(points[:, 0] % 1 != 0)
