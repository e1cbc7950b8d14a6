"""Batches agree with single runs; derivatives with central differences."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from anatomies import blocky_tissue, middle, relative_l2, uniform_tissue

from glioquery.errors import InputError
from glioquery.solver import (
    Accuracy,
    GrowthParameters,
    sensitivity,
    simulate,
    simulate_batch,
)
from glioquery.solver.declarations import own_parameters
from glioquery.solver.models import ProliferativeNecrotic


def test_a_batch_agrees_with_single_runs():
    tissue = blocky_tissue()
    rng = np.random.default_rng(5)
    parameters = [
        GrowthParameters(
            tuple(tissue.grid.to_world(tissue.voxels[rng.integers(len(tissue.voxels))])),
            dw=rng.uniform(0.05, 1.5), rho=rng.uniform(0.01, 0.2), days=rng.uniform(20, 150),
        )
        for _ in range(7)
    ]  # fmt: skip
    batch = simulate_batch(tissue, parameters, batch_size=3)
    for i, p in enumerate(parameters):
        alone = simulate(tissue, p)
        assert relative_l2(batch.u[i], alone.final.u) < 1e-3
        assert batch.core_voxels[i] == (batch.u[i] >= np.float32(0.6)).sum()
        assert batch.whole_voxels[i] == (batch.u[i] >= np.float32(0.2)).sum()
    assert (batch.clipped <= 1e-6).all()


def test_a_batch_of_equals_is_one_run_many_times():
    tissue = blocky_tissue()
    p = GrowthParameters(middle(tissue), dw=0.5, rho=0.1, days=60)
    batch = simulate_batch(tissue, [p] * 3, batch_size=2)
    np.testing.assert_array_equal(batch.u[0], batch.u[2])
    np.testing.assert_allclose(batch.u[1], simulate(tissue, p).final.u, atol=1e-6)


def test_a_batch_needs_members():
    tissue = uniform_tissue((12, 12, 12))
    p = GrowthParameters(middle(tissue), 0.5, 0.1, 60)
    with pytest.raises(ValueError, match="at least one"):
        simulate_batch(tissue, [])
    for size in (0, -1):
        with pytest.raises(ValueError, match=f"batch_size is a number from 1 up, got {size}"):
            simulate_batch(tissue, [p], batch_size=size)


def test_derivatives_agree_with_a_central_difference():
    """Along a direction in which each of the seven quantities changes the value."""
    tissue = blocky_tissue((14, 16, 12))
    target = np.random.default_rng(0).uniform(size=tissue.box_shape)
    # A step that no perturbation lets cross a stage boundary: all runs share their schedule.
    p = GrowthParameters(middle(tissue), dw=0.4, rho=0.08, days=50, own={"ratio": 6.0})

    traced = []

    def value_of(u):
        traced.append(u)
        return ((u - target) ** 2).sum()

    def at(theta):
        *origin, dw, rho, days, ratio = theta.tolist()
        growth = GrowthParameters(tuple(origin), dw, rho, days, own={"ratio": ratio})
        return sensitivity(tissue, growth, value_of, dtype=np.float64)

    theta = np.array([*p.origin_mm, p.dw, p.rho, p.days, p.own["ratio"]])
    found = at(theta)
    assert found.value == pytest.approx(value_of(simulate(tissue, p).final.u), rel=1e-5)
    slopes = np.array([*found.origin_mm, found.dw, found.rho, found.days, found.own["ratio"]])
    shares = np.array([4, 5, 4, -3, 4, 5, 3])  # of each quantity in the change of the value
    change = 1e-4 * shares / slopes
    before = len(traced)
    difference = (at(theta + change).value - at(theta - change).value) / 2
    assert len(traced) == before  # compiled once
    # Other dw, rho and days change the schedule a little.
    assert difference == pytest.approx(1e-4 * shares.sum(), rel=1e-3)


def test_derivatives_by_what_another_model_declares_agree_with_central_differences():
    tissue = blocky_tissue((14, 16, 12))
    growth = GrowthParameters(middle(tissue), dw=0.4, rho=0.08, days=50)
    model, values = ProliferativeNecrotic(), {"consumption": 0.3, "nutrient_diffusion": 0.5}

    def at(own):
        there = replace(growth, own=own)
        return sensitivity(tissue, there, jnp.sum, model=model, dtype=np.float64)

    found = at(values)
    assert set(found.own) == {one.name for one in own_parameters(model)}
    for name, value in values.items():
        ends = [at(values | {name: value * (1 + h)}).value for h in (-1e-3, 1e-3)]
        assert found.own[name] == pytest.approx((ends[1] - ends[0]) / (2e-3 * value), rel=5e-3)


def test_a_batch_keeps_each_growths_own_parameters():
    tissue = blocky_tissue((14, 16, 12))
    growth = GrowthParameters(middle(tissue), dw=0.4, rho=0.08, days=50)
    growths = [replace(growth, own={"ratio": ratio}) for ratio in (2.0, 20.0, 2.0)]
    batch = simulate_batch(tissue, growths, batch_size=2)
    for u, one in zip(batch.u, growths, strict=True):
        assert relative_l2(u, simulate(tissue, one).final.u) < 1e-3
    assert relative_l2(batch.u[0], batch.u[1]) > 0.05
    with pytest.raises(InputError, match=r"unknown parameter 'speed': choose one of .*days, ratio"):
        simulate(tissue, replace(growth, own={"speed": 2.0}))


def test_scaling_law_ties_the_derivatives():
    # u depends on (dw T, rho T) alone: dw u_dw + rho u_rho - T u_T = 0.
    tissue = uniform_tissue((14, 14, 14))
    p = GrowthParameters((13.0, 13.4, 12.8), dw=0.2, rho=0.1, days=40)
    accuracy = Accuracy().refined(2)
    found = sensitivity(tissue, p, jnp.sum, accuracy=accuracy, dtype=np.float64)
    total = p.dw * found.dw + p.rho * found.rho - p.days * found.days
    assert abs(total) < 1e-9 * abs(p.days * found.days)
