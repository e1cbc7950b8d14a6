"""A brain whose mask leaves the tumour out, and the tumour's way back into it."""

import numpy as np
import pytest
from scipy import ndimage

from glioquery.atlas.regions import without_holes
from glioquery.pipeline.patient.lesion import add_tumour, doubts_of_place

SPACINGS = [(1.0, 1.0, 1.0), (2.0, 1.0, 1.5), (1.0, 1.0, 4.0)]


def scene(spacing_mm, depth_mm, rim_mm):
    """A ball of a brain, a tumour at a depth below its surface, and a mask that leaves it out."""
    shape = tuple(int(72 / s) for s in spacing_mm)
    x, y, z = (
        np.arange(n).reshape([-1 if a == i else 1 for i in range(3)]) * s - 36
        for a, (n, s) in enumerate(zip(shape, spacing_mm, strict=True))
    )
    brain = x**2 + y**2 + z**2 < 30**2
    whole = ((x - 30 + depth_mm) ** 2 + y**2 + z**2 < 9**2) & brain
    away = ndimage.distance_transform_edt(~whole, sampling=spacing_mm)
    return brain, whole, brain & (away > rim_mm)


@pytest.mark.parametrize("spacing_mm", SPACINGS)
@pytest.mark.parametrize("depth_mm", [4.0, 8.0, 20.0])
@pytest.mark.parametrize("rim_mm", [0.0, 2.0, 4.0])
def test_brain_and_tumour_hang_together_whatever_rim_a_mask_leaves_out(
    spacing_mm, depth_mm, rim_mm
):
    """A rim that opens to the surface left an island, and the map had no cells around it."""
    brain, whole, mask = scene(spacing_mm, depth_mm, rim_mm)
    found = add_tumour(mask, whole, spacing_mm)
    assert (found >= mask).all() and (found >= whole).all()
    _, n_pieces = ndimage.label(found)
    assert n_pieces == 1 and doubts_of_place(found, whole) == []
    voxel_ml = np.prod(spacing_mm) / 1000
    if ndimage.label(without_holes(mask | whole))[1] > 1:  # else a part of the rim may stay
        assert (brain & ~found).sum() * voxel_ml < 1.0  # of 113 ml, and a rim of up to 5 ml
    assert (found & ~brain).sum() * voxel_ml < 0.5
    assert (add_tumour(found, whole, spacing_mm) == found).all()


def test_a_brain_that_holds_the_tumour_gets_its_holes_filled_alone():
    brain, whole, _ = scene((1.0, 1.0, 1.0), 20.0, 0.0)
    holed = brain & ~ndimage.binary_erosion(whole, iterations=3)
    np.testing.assert_array_equal(add_tumour(holed, whole, (1.0, 1.0, 1.0)), brain)
    bitten = brain.copy()
    bitten[:, :10] = False
    np.testing.assert_array_equal(add_tumour(bitten, whole, (1.0, 1.0, 1.0)), without_holes(bitten))


def test_a_tumour_apart_from_the_brain_is_told():
    brain, whole, mask = scene((1.0, 1.0, 1.0), 4.0, 4.0)
    (told,) = doubts_of_place(mask | whole, whole)
    assert told.startswith("100% of the outlined tumour lies apart from the brain")
    assert doubts_of_place(brain, whole) == []
    speck = brain.copy()
    speck[0, 0, 0] = True
    assert doubts_of_place(speck, whole) == []
