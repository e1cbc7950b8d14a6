"""A growth that folds the tissue is no tumour of a database."""

import pytest
from skull import brain

from glioquery.dbgen import Plan
from glioquery.dbgen.study.samples import Rejection, draw_attempt
from glioquery.errors import InputError
from glioquery.solver import displacement, stepper
from glioquery.solver.models import FisherKolmogorovMassEffect

ORIGIN = [7.3, 2.6, -0.9]
SIZES = {"whole_ml": {"low": 2, "high": 6}, "core_min_ml": 0, "snapshots_per_run": 1}
POINT = {"dw": 0.15, "rho": 0.08, "days": 90, "swelling": 0.6}


def plan_of(values):
    return Plan.of_values({"origin_mm": ORIGIN, **values}, model=FisherKolmogorovMassEffect())


@pytest.mark.slow
def test_a_run_that_folds_is_drawn_again_and_a_point_of_a_sweep_refused(monkeypatch):
    tissue, swept = brain(30, 8), plan_of({"sampler": "grid", **POINT})
    (kept,) = draw_attempt(tissue, swept, 0, 0)
    assert kept.parameters.own["swelling"] == 0.6 and kept.snapshot.whole_voxels > 0
    monkeypatch.setattr(displacement, "FOLDED", 2.0)  # as if all tissue were folded
    drawn = plan_of({"dw": 0.15, "rho": 0.08, **SIZES})
    assert draw_attempt(tissue, drawn, 0, 0) is Rejection.FOLDED
    with pytest.raises(InputError, match=r"point 0 of the sweep, .*swelling.* the tissue folds"):
        draw_attempt(tissue, swept, 0, 0)


@pytest.mark.slow
def test_a_draw_that_is_refused_finds_one_displacement(monkeypatch):
    found = []
    push = stepper.displace
    monkeypatch.setattr(stepper, "displace", lambda *a, **k: found.append(1) or push(*a, **k))
    sizes = SIZES | {"core_min_ml": 3, "snapshots_per_run": 4}  # the core of 2 ml is smaller
    drawn = plan_of({"dw": 0.15, "rho": 0.08, **sizes})
    assert draw_attempt(brain(30, 8), drawn, 0, 0) is Rejection.CORE_TOO_SMALL
    assert len(found) == 1
