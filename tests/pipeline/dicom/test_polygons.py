"""Masks to polygons and back, against Matplotlib's own notion of inside."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path as Outline
from scipy.spatial import ConvexHull

from glioquery.pipeline.dicom.polygons import fill, outline

BLOB = np.zeros((14, 12), bool)
BLOB[1:13, 1:11] = True
BLOB[3:6, 3:6] = BLOB[8:10, 4:9] = False  # two holes
BLOB[4, 4] = True  # an island in one of them


def inside(polygons, shape):
    """Pixels inside an odd number of polygons, by Matplotlib."""
    centres = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 2)
    found = np.zeros(len(centres), bool)
    for polygon in polygons:
        found ^= Outline(polygon).contains_points(centres)
    return found.reshape(shape)


@settings(max_examples=60)
@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_filling_an_outline_gives_the_mask_back(mask):
    np.testing.assert_array_equal(fill(outline(mask), mask.shape), mask)


def test_holes_are_joined_to_the_outline_around_them():
    polygons = outline(BLOB)
    assert len(polygons) == 2  # the blob with both holes, and the island
    assert fill(polygons[:1], BLOB.shape).sum() + fill(polygons[1:], BLOB.shape).sum() == BLOB.sum()
    np.testing.assert_array_equal(inside(polygons, BLOB.shape), BLOB)


@pytest.mark.parametrize("through_centres", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_fill_is_the_definition(seed, through_centres):
    rng = np.random.default_rng(seed)
    polygons = [rng.uniform(-4, 20, (n, 2)) for n in (3, 7, 40)]  # they cross themselves
    if through_centres:
        polygons = [np.rint(polygon) for polygon in polygons]
    np.testing.assert_array_equal(fill(polygons, (17, 13)), inside_by_parity(polygons, (17, 13)))


BESIDE = [(i * 1e-6, j * 1e-9) for i in (1, -1) for j in (1, -1)]
"""Points near the first axis; swapped, those near the second."""


def inside_by_parity(polygons, shape):
    """The definition: a ray from each of eight points beside every centre."""
    found = np.zeros(shape, bool)
    i, j = np.indices(shape)
    for di, dj in (*BESIDE, *((dj, di) for di, dj in BESIDE)):
        beside = np.zeros(shape, bool)
        for polygon in polygons:
            for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
                if y0 != y1:
                    place = x0 + (j + dj - y0) * (x1 - x0) / (y1 - y0)
                    beside ^= ((y0 <= j + dj) != (y1 <= j + dj)) & (place <= i + di)
        found |= beside
    return found


def test_a_polygon_through_centres_holds_them_on_every_side():
    diamond = np.array([[2.0, 8], [8, 2], [14, 8], [8, 14]])
    i, j = np.abs(np.indices((17, 17)) - 8)
    np.testing.assert_array_equal(fill([diamond], (17, 17)), i + j <= 6)
    square = np.array([[2.0, 3], [2, 7], [6, 7], [6, 3]])
    expected = np.zeros((9, 10), bool)
    expected[2:7, 3:8] = True
    np.testing.assert_array_equal(fill([square], expected.shape), expected)
    hole = np.array([[3.0, 4], [3, 6], [5, 6], [5, 4]])
    expected[4, 5] = False  # the centres on the hole's edge lie on the edge of what is around it
    np.testing.assert_array_equal(fill([square, hole], expected.shape), expected)


@pytest.mark.parametrize("radius", [3, 5, 8, 12])
def test_a_hull_of_centres_is_filled_to_its_last_pixel(radius):
    yy, xx = np.mgrid[:30, :30] - 15
    disc = yy**2 + xx**2 <= radius**2
    centres = np.argwhere(disc).astype(float)
    hull = centres[ConvexHull(centres).vertices]
    np.testing.assert_array_equal(fill([hull], disc.shape), disc)


def test_the_area_of_an_outline_is_the_mask_s_but_for_its_corners():
    yy, xx = np.mgrid[:30, :30]
    (disc,) = outline((yy - 15) ** 2 + (xx - 14) ** 2 < 100)
    x, y = disc.T
    area = abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
    assert area == pytest.approx(((yy - 15) ** 2 + (xx - 14) ** 2 < 100).sum() - 0.5)
