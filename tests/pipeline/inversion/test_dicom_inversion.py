"""A virtual patient inverts to the same maps from a DICOM series as from NIfTI."""

import numpy as np
import pytest
from dicom_series import write_series
from generating import SMALL, make_indexed

from glioquery.pipeline.images.nifti import read_nifti
from glioquery.pipeline.inversion.inversion import invert
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.pipeline.patient.patient import load_patient


@pytest.mark.slow
def test_a_series_inverts_to_the_maps_of_its_nifti(truth, tmp_path):
    t1 = read_nifti(truth.t1, "T1")
    np.testing.assert_array_equal(t1.values, t1.values.astype(np.uint16))
    write_series(tmp_path / "t1", t1.values, t1.grid, order=None)
    database = make_indexed(tmp_path / "db", 6, SMALL)
    options = InversionOptions(refine=False, k=4, resolution_mm=4.0)
    of_nifti, of_series = (
        invert(load_patient(t1=path, seg=truth.seg, labels="brats2021"), database, options)
        for path in (truth.t1, tmp_path / "t1")
    )
    assert [m.row() for m in of_series.matches] == [m.row() for m in of_nifti.matches]
    assert of_series.density.grid == of_nifti.density.grid
    np.testing.assert_allclose(of_series.density.u, of_nifti.density.u, atol=1e-5)
    for name, volume in of_nifti.planning.by_name.items():
        np.testing.assert_array_equal(of_series.planning.by_name[name], volume)
