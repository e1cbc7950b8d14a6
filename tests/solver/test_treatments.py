"""Treatment as events of a growth: laws, order in time, and a solver of its own in NumPy."""

import math
from dataclasses import replace

import numpy as np
import pytest
from anatomies import blocky_tissue, middle, relative_l2
from convergence import slope
from euler_reference import explicit_limit_days, grow

from glioquery.errors import InputError
from glioquery.solver import (
    Accuracy,
    Drug,
    GrowthParameters,
    Radiotherapy,
    Resection,
    Status,
    Thresholds,
    march,
    simulate,
)
from glioquery.solver.models import ProliferativeNecrotic
from glioquery.solver.seed import seed_density

DAYS, EVENT = 100.0, 60.0


@pytest.fixture(scope="module")
def tissue():
    return blocky_tissue((14, 14, 12))


@pytest.fixture(scope="module")
def growth(tissue):
    return GrowthParameters(middle(tissue), 0.1, 0.08, DAYS)


@pytest.fixture(scope="module")
def cavity(tissue, growth):
    """A ball of 7 mm about the origin."""
    at = np.moveaxis(tissue.grid.to_world(np.moveaxis(np.indices(tissue.grid.shape), 0, -1)), -1, 0)
    away = np.sqrt(sum((c - o) ** 2 for c, o in zip(at, growth.origin_mm, strict=True)))
    return away < 7


def ended(tissue, growth, *treatments, accuracy=Accuracy()):
    return simulate(tissue, growth, treatments=treatments, accuracy=accuracy)


def test_a_uniform_dose_leaves_the_share_of_the_linear_quadratic_law(tissue, growth):
    fraction = Radiotherapy(EVENT, 2.0, alpha=0.1)
    states = march(tissue, growth, treatments=[fraction])
    before = next(s for s in states if s.next_days == EVENT)
    after = next(states)
    untreated = before._stepper.step(before, EVENT - before.days, EVENT)
    assert after.days == EVENT
    np.testing.assert_array_equal(
        after.u, untreated.u * np.float32(math.exp(-0.1 * 2 - 0.01 * 2**2))
    )
    assert after.whole_voxels == (after.u >= np.float32(0.2)).sum()


def test_a_course_acts_at_each_of_its_fractions(tissue, growth):
    course = Radiotherapy(30.0, 2.0, alpha=0.1, fractions=6)
    single = [Radiotherapy(day, 2.0, alpha=0.1) for day in (30.0, 31.0, 32.0, 33.0, 34.0, 37.0)]
    short = replace(growth, days=40.0)
    found = ended(tissue, short, course).density.u
    np.testing.assert_array_equal(found, ended(tissue, short, *single).density.u)


def test_a_whole_number_of_fractions_may_be_of_any_type():
    days = [Radiotherapy(30.0, 2.0, alpha=0.1, fractions=n).days for n in (6, 6.0, np.int16(6))]
    assert days == [(30, 31, 32, 33, 34, 37)] * 3


def test_a_map_of_doses_acts_where_it_is(tissue, growth):
    dose = np.zeros(tissue.grid.shape)
    dose[:7] = 3.0
    fraction = Radiotherapy(DAYS, dose, alpha=0.2, alpha_beta_gy=5.0)
    plain, treated = ended(tissue, growth).density.u, ended(tissue, growth, fraction).density.u
    np.testing.assert_allclose(treated[:7], plain[:7] * math.exp(-0.6 * 1.6), rtol=1e-5)
    np.testing.assert_array_equal(treated[7:], plain[7:])


def test_a_cavity_stays_empty(tissue, growth, cavity):
    run = ended(tissue, growth, Resection(EVENT, cavity))
    assert not run.density.u[cavity].any()
    assert run.density.u[~cavity].max() > 0.1


def test_events_agree_with_a_solver_in_numpy(tissue, growth, cavity):
    dose = 2.0 + np.indices(tissue.grid.shape)[0] / 10
    fraction = Radiotherapy(30.0, dose, alpha=0.15)
    treatments = [Resection(EVENT, cavity), fraction]
    found = ended(tissue, growth, *treatments).density.u
    shortest = explicit_limit_days(growth.dw, tissue.grid.spacing_mm)

    def euler(step_days):
        u = np.zeros(tissue.grid.shape)
        u[tissue.box] = seed_density(tissue, growth.origin_mm)
        diffusivity = growth.dw * (tissue.wm + tissue.gm / 10.0)
        domain = tissue.domain
        for start, end in ((0, 30.0), (30.0, EVENT), (EVENT, DAYS)):
            n = math.ceil((end - start) / step_days)
            spacing = tissue.grid.spacing_mm
            u = grow(u, diffusivity, domain, spacing, growth.rho, end - start, n)
            if end == 30.0:
                u = u * np.exp(-0.15 * dose - 0.015 * dose**2)
            if end == EVENT:
                u[cavity] = 0
                domain = domain & ~cavity
        return u

    # Euler errs in the first order: what is left after its extrapolation is of the second.
    exact = 2 * euler(shortest / 80) - euler(shortest / 40)
    assert relative_l2(found, exact) < 5e-3


def test_a_drug_that_stays_slows_a_young_tumour_by_its_rate(tissue, growth):
    # u << 1 grows by rho - k: the seed alone is of that size, and 1 - u is felt by both alike.
    young = GrowthParameters(growth.origin_mm, 0.1, 0.02, 30.0)
    drug = Drug(1e-6, 0.02, math.inf)
    mass = [ended(tissue, young, *t).density.u.sum() for t in ((drug,), ())]
    assert mass[0] / mass[1] == pytest.approx(math.exp(-0.02 * 30), rel=0.03)


def test_a_drug_falls_by_half_in_its_half_life():
    drug = Drug(10.0, 0.4, 5.0)
    assert drug.killed(0.0, 10.0) == 0
    assert drug.killed(10.0, 15.0) == pytest.approx(2 * drug.killed(15.0, 20.0))
    assert drug.killed(0.0, 1e6) == pytest.approx(0.4 * 5 / math.log(2))


def test_order_in_time_is_two_with_events(tissue, growth):
    treatments = (Radiotherapy(EVENT, 2.0, alpha=0.1), Drug(20.0, 0.05, 15.0))
    steps = (1.0, 2.0, 4.0)
    exact = ended(tissue, growth, *treatments, accuracy=Accuracy().refined(16)).density.u
    errors = [
        relative_l2(
            ended(tissue, growth, *treatments, accuracy=Accuracy().refined(f)).density.u, exact
        )
        for f in steps
    ]
    assert slope([1 / f for f in steps], errors) == pytest.approx(2, abs=0.4)


@pytest.mark.parametrize(
    "treatment",
    [
        Drug(20.0, 10.0, math.inf),
        Radiotherapy(20.0, 60.0, alpha=1.0, fractions=3),
        Resection(20.0, np.ones((14, 14, 12), np.bool_)),
    ],
    ids=["drug", "radiotherapy", "resection"],
)
def test_a_tumour_of_which_nothing_is_left_stays_away(tissue, growth, treatment):
    run = simulate(tissue, growth, snapshot_days=(10.0, 50.0), treatments=[treatment])
    assert run.status is Status.DONE and run.parameters.days == DAYS
    assert run.snapshots[0].u.max() > 0
    assert run.snapshots[1].u.max() == run.final.u.max() == run.final.whole_voxels == 0
    assert run.clipped < 1e-6


@pytest.mark.parametrize("is_asked", [True, False], ids=["snapshot", "stop"])
def test_a_volume_that_a_resection_takes_away_in_the_same_step_is_seen(tissue, growth, is_asked):
    taken = Resection(EVENT, tissue.domain)
    states = march(tissue, growth, treatments=[taken])
    before = next(s for s in states if s.next_days == EVENT)
    largest = next(states).before_events
    assert largest.days == EVENT
    ml = tissue.grid.voxel_ml
    volume = (before.whole_voxels + largest.whole_voxels) / 2 * ml
    if is_asked:
        run = simulate(tissue, growth, snapshot_ml=(volume,), treatments=[taken])
        (found,) = run.snapshots
        assert before.days < found.days < EVENT
        assert found.whole_voxels * ml == pytest.approx(volume, rel=0.03)
        assert run.final.whole_voxels == 0
        return
    run = simulate(tissue, growth, stop_ml=volume, treatments=[taken])
    assert run.status is Status.STOPPED_AT_VOLUME and run.parameters.days == EVENT
    assert run.final.whole_voxels == largest.whole_voxels
    np.testing.assert_array_equal(run.final.u, largest.u)


def test_what_no_treatment_can_be_is_refused(tissue, growth):
    with pytest.raises(InputError, match="above 0; got 0"):
        Drug(0.0, 0.1, 5.0)
    with pytest.raises(InputError, match="alpha >= 0"):
        Radiotherapy(3.0, 2.0, alpha=-1.0)
    with pytest.raises(InputError, match="a dose is 0 Gy or more"):
        Radiotherapy(3.0, -2.0, alpha=0.1)
    with pytest.raises(InputError, match="whole number of fractions, 1 or more, got 0"):
        Radiotherapy(3.0, 2.0, alpha=0.1, fractions=0)
    with pytest.raises(InputError, match=r"whole number of fractions, 1 or more, got 2\.5"):
        Radiotherapy(3.0, 2.0, alpha=0.1, fractions=2.5)
    for unlike in (-1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="a dose is 0 Gy or more"):
            Radiotherapy(3.0, np.array([2.0, unlike]), alpha=0.1)
    with pytest.raises(InputError, match="a boolean array, got uint8: give `mask > 0`"):
        Resection(3.0, np.zeros(tissue.grid.shape, np.uint8))
    with pytest.raises(InputError, match="half-life > 0"):
        Drug(1.0, 0.1, 0.0)
    with pytest.raises(InputError, match="shape of the tissue's grid"):
        ended(tissue, growth, Resection(3.0, np.zeros((2, 2, 2), np.bool_)))
    with pytest.raises(InputError, match="models with one population"):
        simulate(
            tissue,
            growth,
            model=ProliferativeNecrotic(),
            thresholds=Thresholds(),
            treatments=[Radiotherapy(3.0, 2.0, alpha=0.1)],
        )


@pytest.mark.parametrize("half_life", [4.0, 15.0, math.inf])
def test_a_drug_keeps_the_time_error_however_slowly_the_tumour_grows(half_life):
    """Its steps are bounded as well as those of the growth: a slow tumour has long ones."""
    tissue = blocky_tissue((14, 14, 12))
    growth = GrowthParameters(middle(tissue), 0.1, 0.01, 1130)
    drug = Drug(1100.0, 0.1, half_life)
    found = [
        ended(tissue, growth, drug, accuracy=Accuracy().refined(factor)).density.u
        for factor in (1, 2, 4, 16)
    ]
    errors = [relative_l2(u, found[-1]) for u in found[:-1]]
    assert errors[0] < 5e-3
    assert errors[1] < max(errors[0] / 2.5, 1e-4)  # of second order, down to single precision


def test_a_drug_that_is_spent_bounds_no_step(tissue, growth):
    drug = Drug(20.0, 0.05, 1.0)
    assert drug.step_days(19.0, 0.4) == math.inf
    assert drug.step_days(20.0, 0.4) == pytest.approx(0.4)
    assert drug.step_days(60.0, 0.4) == math.inf
    assert Drug(20.0, 0.05, math.inf).step_days(1e4, 0.4) == pytest.approx(0.4 / 0.05)


def test_a_map_of_another_shape_is_refused_before_the_first_step(tissue, growth):
    for treatment in (
        Resection(60.0, np.ones((3, 3, 3), bool)),
        Radiotherapy(600.0, np.ones((14, 14)), alpha=0.1),
    ):
        with pytest.raises(
            InputError, match=r"the shape of the tissue's grid, \(14, 14, 12\), got"
        ):
            march(tissue, growth, treatments=[treatment])


def test_snapshot_times_may_be_an_array(tissue, growth):
    run = simulate(tissue, growth, snapshot_days=np.array([10.0, 20.0]))
    assert [snapshot.days for snapshot in run.snapshots] == [10.0, 20.0]
    assert not simulate(tissue, growth, snapshot_days=np.array([])).snapshots
