"""The truth of the trial: an explicit solver of its own, against mass, orders and the solver."""

import jax.numpy as jnp
import numpy as np
import pytest
from anatomies import blocky_tissue, uniform_tissue
from convergence import slope

from glioquery.pipeline.virtual import true_growth
from glioquery.pipeline.virtual.true_growth import (
    TrueGrowth,
    draw_growth,
    face_weights,
    grow,
    seed,
)
from glioquery.solver import GrowthParameters, Tissue, simulate
from glioquery.solver.own_settings import own_jax


@pytest.fixture(scope="module")
def ball():
    """White matter alone in a ball of 72 mm."""
    whole = uniform_tissue((40, 40, 40))
    away = np.linalg.norm(whole.grid.to_world(np.argwhere(whole.domain)) - 39, axis=1)
    inside = (away <= 36).reshape(40, 40, 40).astype(float)
    return Tissue.from_probabilities(inside, 0 * inside, 1 - inside, whole.grid)


def grown(u, weights, step, n_steps):
    """So many steps, however large the tumour."""
    return np.asarray(true_growth._advance(jnp.asarray(u), weights, step, np.inf, n_steps)[0])


def test_diffusion_alone_keeps_the_mass_in_any_tissue():
    tissue = blocky_tissue(spacing=(1.5, 2.0, 2.5))
    rng = np.random.default_rng(1)
    diffusivities = [rng.uniform(0.1, 4, tissue.grid.shape).astype(np.float32) for _ in range(3)]
    weights = face_weights(diffusivities, tissue.domain, tissue.grid.spacing_mm, 0.03)
    first = seed(tissue.voxels[len(tissue.voxels) // 2], tissue.domain)
    last = grown(first, weights, 0.0, 200)
    assert last.sum(dtype=float) == pytest.approx(first.sum(dtype=float), rel=1e-5)
    assert last.max() < 0.5 * first.max() and not last[~tissue.domain].any()


def test_a_wave_decays_at_second_order_in_space():
    errors, sizes = [], []
    with own_jax(x64=True):
        for n in (10, 20, 40):
            h = 40.0 / n
            x = (np.arange(n) + 0.5) * h
            wave = np.cos(np.pi * x / 40)[:, None, None]
            tissue = uniform_tissue((n, 3, 3), (h, h, h))
            step = 0.02 * h**2
            d = [np.ones((n, 3, 3), np.float32)] * 3
            weights = face_weights(d, tissue.domain, (h, h, h), step)
            start = 0.5 + 0.4 * np.broadcast_to(wave, (n, 3, 3))
            last = grown(start, weights, 0.0, round(19.2 / step))
            exact = 0.5 + 0.4 * wave * np.exp(-19.2 * (np.pi / 40) ** 2)
            sizes.append(h)
            errors.append(np.abs(last - exact).max())
    assert slope(sizes, errors) == pytest.approx(2, abs=0.1)


def test_growth_is_of_first_order_in_time():
    none = (jnp.zeros((1, 2, 2)), jnp.zeros((2, 1, 2)), jnp.zeros((2, 2, 1)))
    exact = 1 / (1 + 9 * np.exp(-3.0))
    steps, errors = (0.2, 0.1, 0.05), []
    for step in steps:
        u = grown(np.full((2, 2, 2), 0.1, np.float32), none, step, round(3 / step))
        errors.append(float(np.abs(u - exact).max()))
    assert slope(steps, errors) == pytest.approx(1, abs=0.1)


def test_a_front_in_homogeneous_tissue_is_where_the_solver_has_it(ball, monkeypatch):
    monkeypatch.setattr(true_growth, "DEPARTURE", 1.0 + 1e-9)
    monkeypatch.setattr(true_growth, "LONGEST_STEP", 0.01)
    growth = TrueGrowth(lambda_mm=2.0, ratio=10, whole_ml=40)
    found = grow(ball, growth, np.random.default_rng(2))
    assert (found.density.u >= 0.2).sum() * 0.008 == pytest.approx(40, rel=0.05)
    rho = 0.05
    parameters = GrowthParameters(found.origins_mm[0], rho * 2.0**2, rho, found.rho_t / rho)
    there = simulate(ball, parameters).density
    for level in (0.01, 0.2, 0.6):
        ours, theirs = ((u >= level).sum() ** (1 / 3) for u in (found.density.u, there.u))
        assert ours == pytest.approx(theirs, rel=0.03)


def test_a_tumor_keeps_to_the_tissue_and_repeats_exactly(ball):
    growth = TrueGrowth(lambda_mm=2.5, ratio=10, whole_ml=8, has_two_foci=True, is_tensor=True)
    one, same, other = (grow(ball, growth, np.random.default_rng(i)) for i in (1, 1, 2))
    assert not one.density.u[~ball.domain].any() and len(one.origins_mm) == 2
    apart = np.linalg.norm(np.subtract(*one.origins_mm))
    assert 15 < apart < 35
    np.testing.assert_array_equal(one.density.u, same.density.u)
    assert not np.array_equal(one.density.u, other.density.u)


def test_a_tumor_that_does_not_reach_its_volume_is_none(ball):
    growth = TrueGrowth(lambda_mm=2.5, ratio=10, whole_ml=500)
    assert grow(ball, growth, np.random.default_rng(1)) is None


def test_departures_reach_their_factor_and_no_more():
    tissue = uniform_tissue((24, 24, 24))
    found = true_growth._departure(tissue, np.random.default_rng(3))
    largest = max(float(found.max()), float(1 / found.min()))
    assert largest == pytest.approx(true_growth.DEPARTURE, rel=1e-3)


def test_growths_lie_in_their_ranges():
    rng = np.random.default_rng(0)
    drawn = [draw_growth(rng) for _ in range(400)]
    for name, limits in (("lambda_mm", (1.8, 5)), ("ratio", (5, 20)), ("whole_ml", (25, 160))):
        values = [getattr(growth, name) for growth in drawn]
        assert limits[0] <= min(values) and max(values) <= limits[1]
        assert np.median(values) == pytest.approx(np.sqrt(np.prod(limits)), rel=0.15)
    for name in ("has_two_foci", "is_tensor"):
        assert np.mean([getattr(growth, name) for growth in drawn]) == pytest.approx(0.25, abs=0.06)
