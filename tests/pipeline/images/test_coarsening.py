"""Scans on coarser voxels: the same, whatever the order and direction of the array's axes."""

import nibabel as nib
import numpy as np
import pytest
from array_orders import ORDERS, reordered
from scipy.spatial.transform import Rotation

from glioquery.atlas import Grid
from glioquery.pipeline.images.coarsening import coarsen, coarsen_within, even_out, in_lps
from glioquery.pipeline.images.nifti import Scan


@pytest.fixture(scope="module")
def scan():
    """Voxels of 1 x 1 x 3 mm whose numbers no block divides, on oblique axes near LPS."""
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", [10, -15, 8], degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag([-1.0, -1, 3])
    affine[:3, 3] = [20, 31, -7]
    grid = Grid((17, 22, 7), affine)
    values = np.random.default_rng(0).integers(0, 1000, grid.shape).astype(np.float32)
    return Scan(values, grid)


@pytest.mark.parametrize("spacing_mm", [2.0, 4.0])
@pytest.mark.parametrize("make", [coarsen, even_out])
def test_the_order_of_the_axes_chooses_no_voxels(scan, spacing_mm, make):
    expected = make(scan, spacing_mm)
    for order in ORDERS:
        found = in_lps(make(Scan(*reordered(scan.values, scan.grid, order)), spacing_mm))
        assert found.grid == expected.grid
        np.testing.assert_allclose(found.values, expected.values, rtol=1e-5)


def test_in_lps_every_order_is_one(scan):
    for order in ORDERS:
        turned = in_lps(Scan(*reordered(scan.values, scan.grid, order)))
        assert nib.aff2axcodes(turned.grid.affine) == ("L", "P", "S")
        assert turned.grid == scan.grid
        np.testing.assert_array_equal(turned.values, scan.values)


def test_what_is_in_lps_stays_to_the_last_bit(scan):
    same = in_lps(scan)
    np.testing.assert_array_equal(same.grid.affine, scan.grid.affine)
    np.testing.assert_array_equal(same.values, scan.values)


@pytest.fixture(scope="module")
def rising():
    """Values that rise evenly through the world, on thick oblique slices, and their function.

    Means and linear interpolation leave such values as they are.
    """
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", [10, -15, 8], degrees=True).as_matrix()
    affine[:3, :3], affine[:3, 3] = turn @ np.diag([-1.4, -1.4, 6]), [20, 31, -7]
    grid = Grid((22, 24, 10), affine)

    def values_on(other):
        places = other.to_world(np.moveaxis(np.indices(other.shape), 0, -1))
        return (places @ [3.0, -2.0, 5.0]).astype(np.float32)

    return Scan(values_on(grid), grid), values_on


def test_coarsening_keeps_mass_and_place(scan, rising):
    coarse = coarsen(scan, 4.0)
    assert coarse.grid.spacing_mm == pytest.approx((4, 4, 3))  # slices are not thinned
    mass = [s.values.sum(dtype=float) * s.grid.voxel_ml for s in (scan, coarse)]
    assert mass[0] == pytest.approx(mass[1], rel=1e-6)
    even, values_on = rising
    coarse = coarsen(even, 2.8)
    assert coarse.grid.shape == (11, 12, 10)
    np.testing.assert_allclose(coarse.values, values_on(coarse.grid), atol=1e-3)
    same = coarsen(scan, 1.0)
    assert same.grid == scan.grid
    np.testing.assert_array_equal(same.values, scan.values)


def test_even_voxels_lie_between_those_of_thick_slices_and_show_the_same(rising):
    thick, values_on = rising
    even = even_out(thick, 3.0)
    # Means of 2 x 2 x 1 voxels: centres of 11, 12 and 10 blocks of 2.8 x 2.8 x 6 mm. From the first
    # to the last one it is 28, 30.8 and 54 mm, which are 9, 10 and 18 steps of about 3 mm.
    assert even.grid.shape == (10, 11, 19)
    assert even.grid.spacing_mm == pytest.approx((28 / 9, 3.08, 3), abs=1e-5)
    ends = thick.grid.to_voxel(even.grid.to_world([[0, 0, 0], [9, 10, 18]]))
    np.testing.assert_allclose(ends, [[0.5, 0.5, 0], [20.5, 22.5, 9]], atol=1e-9)
    np.testing.assert_allclose(even.values, values_on(even.grid), atol=1e-3)


def test_a_mean_over_a_region_knows_nothing_of_what_lies_beside_it(scan):
    within = np.indices(scan.grid.shape).sum(axis=0) < 25
    even = coarsen_within(Scan(within * np.float32(3), scan.grid), within, 4.0)
    share = coarsen(Scan(within.astype(np.float32), scan.grid), 4.0).values
    assert np.unique(np.round(even.values, 5)).tolist() == [0, 3]
    np.testing.assert_array_equal(even.values > 0, share >= 0.5)
    whole = np.ones(scan.grid.shape, bool)
    full = coarsen(Scan(whole.astype(np.float32), scan.grid), 4.0).values == 1
    found, plain = coarsen_within(scan, whole, 4.0).values, coarsen(scan, 4.0).values
    np.testing.assert_array_equal(found[full], plain[full])
