"""What ANTs is given of the image that is bent."""

import numpy as np
import pytest
from array_orders import ORDERS, reordered

from glioquery.atlas import Grid
from glioquery.pipeline.alignment import syn
from glioquery.pipeline.images.nifti import Scan

SIDE = Grid((6, 5, 4), np.array([[0, -2, 0, 10], [0, 0, -2.5, 4], [3, 0, 0, -7], [0, 0, 0, 1.0]]))


def test_the_order_of_the_axes_reaches_no_registration(monkeypatch):
    values = np.random.default_rng(0).random(SIDE.shape, np.float32)
    counts = (values > 0.3).astype(np.float32)
    given = []

    def stop(folder, images, arguments, n_threads):
        given.append(images)
        raise KeyboardInterrupt

    monkeypatch.setattr(syn, "run_registration", stop)
    for order in ORDERS:
        turned, grid = reordered(values, SIDE, order)
        mask, _ = reordered(counts, SIDE, order)
        images = {
            "fixed": Scan(values, SIDE),
            "moving": Scan(turned, grid),
            "moving_mask": Scan(mask, grid),
        }
        with pytest.raises(KeyboardInterrupt):
            syn.bend(images, np.eye(4), (), seed=1, n_threads=1)
    for images in given:
        for name, scan in given[0].items():
            np.testing.assert_array_equal(images[name].values, scan.values)
            np.testing.assert_allclose(images[name].grid.affine, scan.grid.affine, atol=1e-12)
    np.testing.assert_array_equal(given[0]["fixed"].grid.affine, SIDE.affine)
    assert given[0]["moving"].grid.spacing_mm == (2, 2.5, 3)
