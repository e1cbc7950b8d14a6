"""What the rates of several scans are said to be worth."""

from types import SimpleNamespace

import numpy as np
import pytest

from glioquery.atlas import Grid
from glioquery.pipeline.scans.dated_outlines import DatedOutlines
from glioquery.pipeline.scans.patient_outlook import PatientOutlook
from glioquery.pipeline.scans.real_rates import Rate
from glioquery.solver import GrowthParameters, TumorMasks


def outlined(core, whole):
    """Outlines of which the one or the other may be empty."""
    masks = [np.full((2, 2, 2), is_there) for is_there in (core, whole)]
    return TumorMasks(*masks, Grid((2, 2, 2), np.eye(4)))


def outlook(
    *,
    rho=0.02,
    grown_to_ml=40.0,
    is_treated=False,
    determined=("rho", "dw"),
    later=(0.6, 0.7),
    outlines=(True, True),
):
    """An outlook of two scans whose tumour measured 20 ml at first, and the Dice of the later."""
    masks = outlined(True, True), outlined(*outlines)
    scans = [DatedOutlines(*dated) for dated in zip(masks, (0, 90), strict=True)]
    fit = SimpleNamespace(
        growth=GrowthParameters((-85.0, 125.0, 85.0), 0.2, rho, 600.0),
        joint=SimpleNamespace(scans=scans, is_treated=is_treated),
        dice=((0.7, 0.8), later),
    )
    named = ("velocity", "rho", "dw")
    rates = {name: SimpleNamespace(is_determined=name in determined) for name in named}
    outlook = SimpleNamespace(fit=fit, rates=rates)
    return PatientOutlook(None, outlook, (20.0, grown_to_ml), (), (), ())


def test_rates_that_the_scans_do_not_tell_are_named():
    assert outlook(determined=("rho", "dw", "velocity")).notices == []
    (notice,) = outlook(determined=("dw",)).notices
    assert notice == "The scans do not determine, to a factor of two, rho, velocity."


@pytest.mark.parametrize(
    ("later", "outlines", "mean"),
    [
        ((0.2, 0.3), (True, True), "0.25"),
        ((0.0, 0.4), (False, True), "0.40"),
        ((0.0, 0.6), (False, True), None),  # an empty core has no Dice
        ((0.3, 0.62), (True, True), None),
        ((0.0, 0.0), (False, False), None),  # a treatment has removed the tumour
    ],
)
def test_a_scan_that_the_growth_is_not_like_is_named(later, outlines, mean):
    told = [n for n in outlook(later=later, outlines=outlines).notices if "is not like" in n]
    assert len(told) == (mean is not None)
    assert not told or f"the tumour of day 90: a mean Dice of {mean}" in told[0]


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
