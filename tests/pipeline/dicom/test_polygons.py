"""Masks to polygons and back, against Matplotlib's own notion of inside."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path as Outline

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


@pytest.mark.parametrize("seed", range(4))
def test_fill_is_the_definition(seed):
    rng = np.random.default_rng(seed)
    polygons = [rng.uniform(-4, 20, (n, 2)) for n in (3, 7, 40)]  # they cross themselves
    np.testing.assert_array_equal(fill(polygons, (17, 13)), inside_by_parity(polygons, (17, 13)))


def inside_by_parity(polygons, shape):
    """The definition, a ray for every pixel."""
    found = np.zeros(shape, bool)
    for polygon in polygons:
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            for i, j in np.ndindex(shape):
                if (y0 <= j) != (y1 <= j) and x0 + (j - y0) * (x1 - x0) / (y1 - y0) <= i:
                    found[i, j] ^= True
    return found


def test_a_polygon_through_centres_is_not_shifted():
    diamond = np.array([[2.0, 8], [8, 2], [14, 8], [8, 14]])
    i, j = np.abs(np.indices((17, 17)) - 8)
    expected = i + j <= 6  # with the centres on its edges
    expected[8, [2, 14]] = False  # but for the points where two edges meet and none goes on
    np.testing.assert_array_equal(fill([diamond], expected.shape), expected)


def test_the_area_of_an_outline_is_the_mask_s_but_for_its_corners():
    yy, xx = np.mgrid[:30, :30]
    (disc,) = outline((yy - 15) ** 2 + (xx - 14) ** 2 < 100)
    x, y = disc.T
    area = abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
    assert area == pytest.approx(((yy - 15) ** 2 + (xx - 14) ** 2 < 100).sum() - 0.5)
