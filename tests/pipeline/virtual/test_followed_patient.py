"""A virtual patient with two scans, in a small block of white matter."""

import itertools

import numpy as np
import pytest
from anatomies import uniform_tissue

from glioquery.pipeline.images.point_map import SAME_WORLD
from glioquery.pipeline.virtual import followed_patient
from glioquery.pipeline.virtual.anatomies import Anatomy
from glioquery.pipeline.virtual.followed_patient import make_followed_patient
from glioquery.pipeline.virtual.trial_patient import Bearer
from glioquery.pipeline.virtual.true_growth import TrueGrowth


@pytest.fixture(scope="module")
def patient():
    tissue = uniform_tissue((28, 28, 28))
    ones, zeros = (np.full(tissue.grid.shape, v, np.float32) for v in (1, 0))
    anatomy = Anatomy(0.7 * ones, ones, zeros, zeros, tissue.grid)
    growth = TrueGrowth(lambda_mm=2.5, ratio=10.0, whole_ml=30.0, has_two_foci=True)
    bearer = Bearer(anatomy, "block", SAME_WORLD, tissue, growth, None, False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(followed_patient, "make_bearer", lambda seed, number: bearer)
        patch.setattr(followed_patient, "FIRST_ML", (12.0, 16.0))
        return make_followed_patient(5, 0)


def test_one_tumour_goes_on_growing(patient):
    first, second = (scan.density.u for scan in patient.scans)
    later = patient.later.u
    assert (second >= first).all() and (later >= second).all()  # of one place and one head
    volumes = [(u >= 0.2).sum() for u in (first, second, later)]
    low, high = followed_patient.TIMES_AS_LARGE
    for before, after in itertools.pairwise(volumes):
        assert 0.95 * low < after / before < 1.1 * high


def test_the_days_between_follow_from_the_rates(patient):
    ages = [scan.facts["rho_t"] for scan in patient.scans]
    assert patient.rho * patient.apart_days == pytest.approx(ages[1] - ages[0])
    assert patient.dw == pytest.approx(2.5**2 * patient.rho)
    assert patient.ahead_days > 0


def test_the_head_lies_otherwise_at_the_second_scan(patient):
    first, second = patient.scans
    motion = second.grid.affine @ np.linalg.inv(first.grid.affine)
    np.testing.assert_allclose(motion[:3, :3] @ motion[:3, :3].T, np.eye(3), atol=1e-12)
    turned = np.degrees(np.arccos((np.trace(motion[:3, :3]) - 1) / 2))
    assert 0.5 < turned < np.sqrt(3) * followed_patient.TURN_DEGREES
    assert second.masks.grid == second.t1.grid == second.grid
    for here, there in zip(first.facts["origins_mm"], second.facts["origins_mm"], strict=True):
        np.testing.assert_allclose((motion @ (*here, 1))[:3], there)


def test_its_facts_are_each_scans_own(patient):
    for scan in patient.scans:
        true = scan.density.outlines()
        assert scan.facts["whole_ml"] == pytest.approx(true.whole_ml, rel=1e-6)
        assert scan.facts["core_ml"] == pytest.approx(true.core_ml, rel=1e-6)


def test_its_files_are_those_of_two_days(patient, tmp_path):
    scans = patient.write(tmp_path)
    assert [scan.day for scan in scans] == [0.0, patient.apart_days]
    assert len({path for scan in scans for path in (scan.t1, scan.seg) if path.is_file()}) == 4
