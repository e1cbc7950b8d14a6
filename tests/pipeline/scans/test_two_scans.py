"""A growth in real days from the outlines of several scans, on a small brain."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from anatomies import uniform_tissue
from scipy import ndimage

from glioquery.errors import InputError
from glioquery.pipeline.fit.descent import DIFFERENCE_LOG, DIFFERENCE_MM
from glioquery.pipeline.fit.refinement import NoGrowthError
from glioquery.pipeline.scans.dated_outlines import (
    DatedOutlines,
    doubts_of_change,
    in_order,
)
from glioquery.pipeline.scans.forecast import look_ahead
from glioquery.pipeline.scans.joint_fit import PACE_TOLERANCE, JointFit, fit_jointly, keep_pace
from glioquery.pipeline.scans.joint_outlines import RHO, JointTarget
from glioquery.pipeline.scans.real_rates import (
    FACTORS_TREATED,
    LEAST_DEVIATION,
    RESTS_ON,
    RESTS_ON_TREATED,
    basis_of,
    rates_of,
)
from glioquery.pipeline.scans.runs_of_pairs import COARSE, in_real_days
from glioquery.pipeline.scans.scan_days import checked_forecast
from glioquery.pipeline.scans.sensitivity_of_volumes import (
    DIFFERENCES,
    _growths_aside,
    volumes_of,
)
from glioquery.solver import (
    Accuracy,
    FisherKolmogorov,
    GrowthParameters,
    Radiotherapy,
    Resection,
    TumorMasks,
    on_grid,
    simulate,
)

GROWTH = GrowthParameters((26.3, 25.1, 27.8), 0.16, 0.04, 200.0)
DAYS = (0.0, 40.0, 75.0)


@pytest.fixture(scope="module")
def brain():
    return uniform_tissue((28, 28, 28))


@pytest.fixture(scope="module")
def seen(brain):
    """Densities of one growth on three days."""
    ages = [GROWTH.days + day for day in DAYS]
    run = simulate(brain, replace(GROWTH, days=ages[-1]), snapshot_days=ages)
    return [on_grid(brain, snapshot.u) for snapshot in run.snapshots]


@pytest.fixture(scope="module")
def scans(seen):
    return [DatedOutlines(u.outlines(), day) for u, day in zip(seen, DAYS, strict=True)]


@pytest.fixture(scope="module")
def fit(brain, scans):
    """Of the first two scans, from a growth elsewhere, of another front and half as fast."""
    start = replace(GROWTH.scaled(0.5), origin_mm=(29.0, 28.0, 25.0), dw=0.12)
    return fit_jointly(JointTarget(tuple(scans[:2]), brain), [start])


def test_a_run_of_another_speed_is_found_in_real_days(brain, scans):
    joint = JointTarget(tuple(scans), brain)
    found = in_real_days(joint.follow(GROWTH.scaled(0.25), Accuracy()))
    assert found.parameters.rho == pytest.approx(GROWTH.rho, rel=0.05)
    assert found.parameters.days == pytest.approx(GROWTH.days, rel=0.05)
    assert found.score > 5.8


def test_two_scans_tell_the_rates_of_a_growth(fit):
    assert fit.score > 3.95
    assert fit.growth.rho == pytest.approx(GROWTH.rho, rel=0.02)
    assert fit.growth.dw == pytest.approx(GROWTH.dw, rel=0.02)
    assert math.dist(fit.growth.origin_mm, GROWTH.origin_mm) < 0.2  # a tenth of a voxel
    assert (np.linalg.eigvalsh(fit.covariance) > 0).all()


def test_a_growth_that_does_not_follow_the_volumes_gets_their_pace(brain, scans):
    joint = JointTarget(tuple(scans[:2]), brain)
    slow = GROWTH.scaled(0.3)
    kept = keep_pace(joint, slow, Accuracy())
    assert kept.rho == pytest.approx(GROWTH.rho, rel=0.06)
    assert kept.rho_t == pytest.approx(GROWTH.rho_t) and kept.lambda_mm == GROWTH.lambda_mm
    almost = GROWTH.scaled(0.9)
    assert keep_pace(joint, almost, Accuracy()) is almost
    treated = replace(joint, treatments=(Resection(5.0, scans[0].masks.core),))
    assert keep_pace(treated, slow, Accuracy()) is slow


def test_volumes_that_hardly_differ_tell_no_pace_and_others_a_likely_one(brain, scans):
    """One scan twice, with a few voxels more around it the second time."""
    whole = scans[0].masks.whole
    rim = np.argwhere(ndimage.binary_dilation(whole) & ~whole)
    for share in (0.002, 0.04, 0.06):
        more = whole.copy()
        more[tuple(rim[: max(1, round(share * whole.sum()))].T)] = True
        later = DatedOutlines(TumorMasks(scans[0].masks.core, more, brain.grid), 90.0)
        joint = JointTarget((scans[0], later), brain)
        kept = keep_pace(joint, GROWTH, Accuracy())
        if share < 0.05:
            assert kept is GROWTH
        else:
            seen = joint.snapshots(kept, (0.0, 90.0), Accuracy())
            grown = math.log(seen[1].whole_voxels / seen[0].whole_voxels)
            assert grown == pytest.approx(math.log(1 + share), rel=PACE_TOLERANCE)
            assert kept.lambda_mm == pytest.approx(GROWTH.lambda_mm)


def test_a_pace_stays_within_the_limits_of_the_rate(brain, scans):
    joint = JointTarget((scans[0], replace(scans[1], day=2.0)), brain)
    fast = GROWTH.scaled(5.0)  # a fourth as fast as the volumes
    assert keep_pace(joint, fast, Accuracy()).rho == pytest.approx(RHO[1])


def test_two_scans_about_a_treatment_tell_the_rates(brain, scans):
    course = Radiotherapy(10.0, 2.0, alpha=0.08, fractions=10)
    age = GROWTH.days + DAYS[2]
    later = simulate(
        brain,
        replace(GROWTH, days=age),
        treatments=[replace(course, day=GROWTH.days + course.day)],
    ).density.outlines()
    treated = (scans[0], DatedOutlines(later, DAYS[2]))
    assert treated[1].whole_ml < 0.8 * scans[2].whole_ml
    start = replace(GROWTH.scaled(0.5), origin_mm=(27.3, 26.1, 27.0))
    joint = JointTarget(treated, brain, treatments=(course,))
    found = fit_jointly(joint, [start], accuracy=COARSE)
    assert found.growth.rho == pytest.approx(GROWTH.rho, rel=0.02)
    assert found.growth.dw == pytest.approx(GROWTH.dw, rel=0.02)
    untreated = in_real_days(replace(joint, treatments=()).follow(GROWTH, COARSE))
    assert untreated.parameters.rho < 0.8 * GROWTH.rho
    rates = look_ahead(found).rates
    assert "doubling_days" not in rates and basis_of(found) == RESTS_ON_TREATED
    for name, rate in rates.items():  # intervals of treated pairs
        reach = FACTORS_TREATED[name] * math.hypot(rate.deviation, LEAST_DEVIATION)
        assert math.log(rate.high / rate.value) == pytest.approx(reach)


def test_a_treatment_after_the_last_scan_leaves_the_fit_and_changes_the_forecast(fit):
    cavity = fit.joint.scans[1].masks.whole
    later = replace(fit.joint, treatments=(Resection(DAYS[1] + 5, cavity),))
    assert not later.is_treated
    outlook = look_ahead(replace(fit, joint=later), [DAYS[2]])
    assert not outlook.forecast[0].density.u[cavity].any()
    assert basis_of(outlook.fit) == RESTS_ON
    assert outlook.rates == look_ahead(fit).rates


def test_a_third_scan_is_forecast_with_its_volume(fit, seen, scans):
    outlook = look_ahead(fit, [DAYS[2]])
    (day,) = outlook.forecast
    true = scans[2].whole_ml
    assert day.after_days == DAYS[2]
    assert day.whole_ml.value == pytest.approx(true, rel=0.01)
    assert day.whole_ml.low < true < day.whole_ml.high
    assert np.abs(day.density.u - seen[2].u).max() < 0.02
    assert [scan.after_days for scan in outlook.scans] == list(DAYS[:2])


def test_rates_follow_from_one_growth(fit):
    rates = look_ahead(fit).rates
    dw, rho = rates["dw"].value, rates["rho"].value
    assert rates["lambda_mm"].value == pytest.approx(math.sqrt(dw / rho))
    assert rates["velocity_mm_per_year"].value == pytest.approx(730.5 * math.sqrt(dw * rho))
    assert rates["age_days"].value == fit.growth.days
    for rate in rates.values():
        assert rate.low < rate.value < rate.high
    truth = (
        DAYS[1] * math.log(2) / math.log(fit.joint.scans[1].whole_ml / fit.joint.scans[0].whole_ml)
    )
    assert rates["doubling_days"].value == pytest.approx(truth, rel=0.03)


@dataclass(frozen=True)
class AsItIs(FisherKolmogorov):
    """A model that states no symmetry."""

    symmetry: ClassVar = {}


def fit_of(joint, growth):
    """A fit that ended at a growth, with deviations of 5 % in the last direction."""
    n = len(joint.coordinates)
    return JointFit(joint, growth, ((1.0, 1.0),) * 2, 0.05**2 * np.eye(n), Accuracy(), None, 0)


@pytest.mark.parametrize(
    ("lambda_mm", "rho"), [(29.0, 0.04), (29.9, 0.04), (2.0, 0.495), (2.0, 0.499), (2.0, 0.8)]
)
def test_slopes_are_those_of_the_steps_that_limits_allow(brain, scans, lambda_mm, rho):
    growth = replace(GROWTH, dw=lambda_mm**2 * rho, rho=rho, days=GROWTH.rho_t / rho)
    fit = fit_of(JointTarget(tuple(scans[:2]), brain), growth)
    for i, (aside, step) in enumerate(_growths_aside(fit)):
        way = fit.joint.coordinates.between(growth, aside)
        assert way[i] == step and abs(step) >= 0.5 * (*DIFFERENCES, DIFFERENCE_LOG)[i]
        np.testing.assert_allclose(np.delete(way, i), 0, atol=1e-9)


def test_where_the_tissue_ends_the_origin_steps_back(brain, scans):
    last = np.array(brain.grid.shape) - 1.0
    corner = replace(GROWTH, origin_mm=tuple((2 * last + 0.9).tolist()))
    fit = fit_of(JointTarget(tuple(scans[:2]), brain), corner)
    steps = [step for _, step in _growths_aside(fit)][:3]
    assert steps == pytest.approx([-DIFFERENCE_MM] * 3)


def test_a_rate_that_no_symmetry_makes_up_for_is_fitted_once(brain, scans):
    joint = JointTarget(tuple(scans[:2]), brain, AsItIs())
    assert [one.name for one in joint.coordinates.more] == ["rho"]
    fit = fit_of(joint, GROWTH)
    rates = rates_of(fit, volumes_of(fit, joint.snapshots(GROWTH, DAYS[:2], COARSE), DAYS[:2]))
    assert rates["rho"].deviation == pytest.approx(0.05)


def test_directions_are_found_by_name(fit):
    coordinates = fit.joint.coordinates
    assert coordinates.direction("lambda_mm").tolist() == [0, 0, 0, 1, 0, 0]
    assert coordinates.direction("rho_t").tolist() == [0, 0, 0, 0, 1, 0]
    assert coordinates.direction("rho").tolist() == [0, 0, 0, 0, 0, 1]


def test_an_interval_too_wide_is_of_a_quantity_that_is_not_determined(fit):
    vague = replace(fit, covariance=100 * np.eye(len(fit.covariance)))
    assert not any(rate.is_determined for rate in look_ahead(vague).rates.values())


def test_a_growth_that_never_comes_near_the_volume_is_none(brain, scans):
    still = replace(GROWTH, rho=0.0)
    joint = JointTarget(tuple(scans[:2]), brain)
    assert joint.follow(still, COARSE) is None
    with pytest.raises(NoGrowthError, match="volumes of all scans"):
        fit_jointly(joint, [still])


def test_scans_come_in_any_order(scans):
    assert [scan.day for scan in in_order([scans[2], scans[0], scans[1]])] == list(DAYS)


@pytest.mark.parametrize(
    ("days", "message"),
    [
        ((3.0, 3.0), "two scans are of day 3"),
        ((3.0, math.nan), "the day of a scan is a finite number, got nan"),
        ((3.0,), "take two scans or more, got 1"),
        ((75.0, 0.0), r"shrinks by \d+% from day 0 to day 75"),
    ],
)
def test_scans_that_no_growth_explains_are_refused(scans, days, message):
    dated = [replace(scan, day=day) for scan, day in zip(scans, days, strict=False)]
    with pytest.raises(InputError, match=message):
        in_order(dated)


def test_a_tumour_may_shrink_after_a_treatment(scans):
    shrunk = [scans[1], replace(scans[0], day=50.0)]
    assert in_order(shrunk, [45.0]) == tuple(shrunk)
    with pytest.raises(InputError, match="and list treatments, if there were any"):
        in_order(shrunk, [55.0])


def test_a_tumour_that_stands_still_is_told(scans):
    assert doubts_of_change((0, 50), (20.0, 30.0)) == []
    (told,) = doubts_of_change((0, 50), (20.0, 20.5))
    assert told.startswith("The whole tumour measures 20.0 ml on day 0 and 20.5 ml on day 50")
    assert "says no more of the rates than that they are low" in told


@pytest.mark.parametrize(
    ("days", "message"),
    [((50.0, 30.0), "after the last scan, which is of day 40; got 30"),
     (range(50, 80), "at most 20 days, got 30")],
)  # fmt: skip
def test_what_cannot_be_forecast_is_refused(days, message):
    with pytest.raises(InputError, match=message):
        checked_forecast(days, 40.0)


def test_a_scan_without_a_core_takes_part_with_its_whole(brain, scans):
    bare = TumorMasks(np.zeros_like(scans[0].masks.core), scans[0].masks.whole, brain.grid)
    joint = JointTarget((DatedOutlines(bare, 0.0), scans[1]), brain)
    run = joint.follow(GROWTH, COARSE)
    assert in_real_days(run).parameters.rho == pytest.approx(GROWTH.rho, rel=0.05)
