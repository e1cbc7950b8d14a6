"""Scans on coarser voxels: the same, whatever the order and direction of the array's axes."""

import nibabel as nib
import numpy as np
import pytest
from array_orders import ORDERS, reordered
from scipy.spatial.transform import Rotation

from glioquery.atlas import Grid
from glioquery.pipeline.images.coarsening import coarsen, even_out, in_lps
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
