"""A virtual patient inverts to the same maps from a DICOM series as from NIfTI."""

import numpy as np
import pytest
from array_orders import SAGITTAL, reordered
from dicom_series import write_series
from generating import SMALL, make_indexed

from glioquery.pipeline.images.nifti import read_nifti
from glioquery.pipeline.inversion.inversion import invert
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.pipeline.patient.patient import load_patient
from glioquery.query.dice import dice_of


@pytest.fixture(scope="module")
def of_nifti(truth, database):
    return inverted(truth.t1, truth.seg, database)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return make_indexed(tmp_path_factory.mktemp("six") / "db", 6, SMALL)


def inverted(t1, seg, database):
    options = InversionOptions(refine=False, k=4, resolution_mm=4.0)
    return invert(load_patient(t1=t1, seg=seg, labels="brats2021"), database, options)


@pytest.mark.slow
@pytest.mark.parametrize("order", [((0, 1, 2), (1, 1, 1)), SAGITTAL], ids=["axial", "sagittal"])
def test_a_series_inverts_to_the_maps_of_its_nifti(truth, of_nifti, database, order, tmp_path):
    t1 = read_nifti(truth.t1, "T1")
    np.testing.assert_array_equal(t1.values, t1.values.astype(np.uint16))
    write_series(tmp_path / "t1", *reordered(t1.values, t1.grid, order), order=None)
    of_series = inverted(tmp_path / "t1", truth.seg, database)
    assert [m.row()["sample"] for m in of_series.matches] == [
        m.row()["sample"] for m in of_nifti.matches
    ]
    scores = [[m.row()["score"] for m in of.matches] for of in (of_series, of_nifti)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    expected, grid = reordered(of_nifti.density.u, of_nifti.density.grid, order)
    assert of_series.density.grid == grid
    away = np.abs(of_series.density.u - expected)
    assert away.max() < 1e-4
    for name, volume in of_nifti.planning.by_name.items():
        volume, _ = reordered(volume, of_nifti.density.grid, order)
        assert dice_of(of_series.planning.by_name[name], volume) > 0.9999
