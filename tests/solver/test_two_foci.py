"""A tumour that begins at two places: against single tumours, and against the exact reaction."""

import numpy as np
import pytest

from glioquery.atlas import Grid
from glioquery.solver import GrowthParameters, Tissue, sensitivity, simulate, simulate_batch
from glioquery.solver.models import FisherKolmogorovTwoFoci
from glioquery.solver.seed import seed_density

FIRST, OFFSET = (24.0, 21.0, 23.0), (31.0, 2.0, -3.0)
SECOND = tuple(a + b for a, b in zip(FIRST, OFFSET, strict=True))
RHO = 0.1


@pytest.fixture(scope="module")
def tissue():
    shape = (40, 22, 22)
    ones = np.ones(shape)
    return Tissue.from_probabilities(ones, 0 * ones, 0 * ones, Grid(shape, np.diag([2.0, 2, 2, 1])))


def two_foci(delay):
    return FisherKolmogorovTwoFoci(
        offset_x_mm=OFFSET[0], offset_y_mm=OFFSET[1], offset_z_mm=OFFSET[2], delay=delay
    )


@pytest.mark.parametrize("delay", [pytest.param(0.0, marks=pytest.mark.slow), 2.0])
def test_far_foci_grow_as_two_tumors_do_the_second_for_less_time(tissue, delay):
    days = 50.0
    both = simulate(tissue, GrowthParameters(FIRST, 0.1, RHO, days), model=two_foci(delay))
    first = simulate(tissue, GrowthParameters(FIRST, 0.1, RHO, days)).final.u
    second = simulate(tissue, GrowthParameters(SECOND, 0.1, RHO, days - delay / RHO)).final.u
    for focus in (first, second):
        alone = focus > 1e-3
        assert focus.max() > 0.2
        off = np.linalg.norm((both.final.u - focus)[alone]) / np.linalg.norm(focus[alone])
        assert off < 5e-3, off
    assert both.clipped < 1e-5


def test_without_diffusion_each_seed_follows_the_logistic_curve_from_its_own_time(tissue):
    days, delay = 60.0, 2.5
    u = simulate(tissue, GrowthParameters(FIRST, 0, RHO, days), model=two_foci(delay)).final.u
    exact = np.zeros_like(u, dtype=np.float64)
    for origin, age in ((FIRST, RHO * days), (SECOND, RHO * days - delay)):
        seed = seed_density(tissue, origin).astype(np.float64)
        exact += seed * np.exp(age) / (1 + seed * np.expm1(age))
    np.testing.assert_allclose(u, exact, rtol=1e-4, atol=1e-12)


def test_a_second_focus_that_never_comes_leaves_the_steps_as_they_are(tissue):
    growth = GrowthParameters(FIRST, 0.5, 0.0, 60.0)
    waiting = simulate(tissue, growth, model=two_foci(2.0))
    alone = simulate(tissue, growth)
    assert waiting.n_steps == alone.n_steps > 5
    np.testing.assert_allclose(waiting.final.u, alone.final.u, atol=1e-6)


def test_before_its_time_the_second_focus_changes_nothing(tissue):
    early = GrowthParameters(FIRST, 0.2, RHO, 35)
    u = simulate(tissue, early, model=two_foci(4.0)).final.u
    plain = simulate(tissue, early).final.u
    np.testing.assert_allclose(u, plain, atol=2e-5)
    late = simulate(tissue, early, model=two_foci(4.0), snapshot_days=(30.0,)).snapshots[0].u
    assert late.sum() < u.sum()


def test_a_growth_has_its_own_second_focus_whatever_the_model_s_is(tissue):
    p = GrowthParameters(FIRST, 0.1, RHO, 50)
    offset = dict(zip(("offset_x_mm", "offset_y_mm", "offset_z_mm"), OFFSET, strict=True))
    own = GrowthParameters(FIRST, 0.1, RHO, 50, {**offset, "delay": 2.0})
    ours = simulate(tissue, own, model=FisherKolmogorovTwoFoci(delay=9)).final.u
    np.testing.assert_array_equal(ours, simulate(tissue, p, model=two_foci(2.0)).final.u)


def test_a_second_origin_outside_the_tissue_is_the_nearest_point_in_it(tissue):
    model = FisherKolmogorovTwoFoci(offset_x_mm=31, offset_y_mm=190)
    (place,) = model.more_origins(tissue, np.array(FIRST))
    assert place[1] == 42 and np.abs(place - [55, 42, 23]).max() == 1  # of those equally near
    (inside,) = FisherKolmogorovTwoFoci(offset_x_mm=3.3).more_origins(tissue, np.array(FIRST))
    assert inside.tolist() == [27.3, 21, 23]


def test_a_batch_has_both_foci_and_derivatives_are_refused(tissue):
    p = [GrowthParameters(FIRST, 0.1, RHO, days) for days in (50.0, 60.0)]
    model = two_foci(2.0)
    batch = simulate_batch(tissue, p, model=model, batch_size=2)
    for u, parameters in zip(batch.u, p, strict=True):
        np.testing.assert_allclose(u, simulate(tissue, parameters, model=model).final.u, atol=1e-3)
    with pytest.raises(ValueError, match="from one origin"):
        sensitivity(tissue, p[0], lambda u: u.sum(), model=model)
