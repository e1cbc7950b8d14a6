"""What the rates of several scans are said to be worth."""

from types import SimpleNamespace

import pytest

from glioquery.pipeline.scans.patient_outlook import PatientOutlook
from glioquery.pipeline.scans.real_rates import Rate
from glioquery.solver import GrowthParameters


def outlook(*, rho=0.02, grown_to_ml=40.0, is_treated=False, determined=("rho", "dw")):
    """An outlook of two scans whose tumour measured 20 ml at first."""
    scans = [SimpleNamespace(day=day) for day in (0, 90)]
    fit = SimpleNamespace(
        growth=GrowthParameters((-85.0, 125.0, 85.0), 0.2, rho, 600.0),
        joint=SimpleNamespace(scans=scans, is_treated=is_treated),
    )
    named = ("velocity", "rho", "dw")
    rates = {name: SimpleNamespace(is_determined=name in determined) for name in named}
    outlook = SimpleNamespace(fit=fit, rates=rates)
    return PatientOutlook(None, outlook, (20.0, grown_to_ml), (), (), ())


def test_rates_that_the_scans_do_not_tell_are_named():
    assert outlook(determined=("rho", "dw", "velocity")).notices == []
    (notice,) = outlook(determined=("dw",)).notices
    assert notice == "The scans do not determine, to a factor of two, rho, velocity."


def test_a_growth_faster_than_any_of_the_space_doubts_the_days():
    notice, _ = outlook(rho=3.0).notices
    assert "rho is 3 per day" in notice and "See that the days of the scans are right" in notice


@pytest.mark.parametrize("is_treated", [False, True])
def test_a_tumor_that_hardly_grew_is_said_to_unless_it_was_treated(is_treated):
    notices = outlook(grown_to_ml=20.2, is_treated=is_treated).notices
    assert any("20.0 ml on day 0 and 20.2 ml on day 90" in told for told in notices) != is_treated


def test_a_rate_of_another_value_keeps_the_factors_of_its_interval():
    rate = Rate(20.0, 10.0, 60.0, "ml", 0.4)
    assert rate.scaled_to(30.0) == Rate(30.0, 15.0, 90.0, "ml", 0.4)
    nothing = Rate(0.0, 0.0, 0.0, "ml", 0.4)  # a tumour that a treatment has removed
    assert nothing.scaled_to(0.0) == nothing
    assert nothing.scaled_to(0.1) == Rate(0.1, 0.1, 0.1, "ml", 0.4)
