"""Batches agree with single runs; derivatives with central differences."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from anatomies import blocky_tissue, middle, relative_l2, uniform_tissue

from glioquery.solver import (
    Accuracy,
    GrowthParameters,
    sensitivity,
    simulate,
    simulate_batch,
)


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
    with pytest.raises(ValueError, match="at least one"):
        simulate_batch(uniform_tissue((12, 12, 12)), [])


def test_derivatives_agree_with_central_differences():
    tissue = blocky_tissue()
    target = np.random.default_rng(0).uniform(size=tissue.box_shape)
    # A step that no perturbation lets cross a stage boundary: all runs share their schedule.
    p = GrowthParameters(middle(tissue), dw=0.4, rho=0.08, days=70)

    def misfit(u):
        return ((u - target) ** 2).sum()

    found = sensitivity(tissue, p, misfit, dtype=np.float64)

    def value(**change):
        return sensitivity(tissue, replace(p, **change), misfit, dtype=np.float64).value

    for name, delta in (("dw", 1e-5), ("rho", 1e-6)):
        x = getattr(p, name)
        difference = (value(**{name: x + delta}) - value(**{name: x - delta})) / (2 * delta)
        # Changing dw or rho alone changes the schedule a little: an error of the time step's size.
        assert getattr(found, name) == pytest.approx(difference, rel=0.01)
    difference = (value(days=p.days + 1e-4) - value(days=p.days - 1e-4)) / 2e-4
    assert found.days == pytest.approx(difference, rel=0.01)
    for axis in range(3):
        shift = np.eye(3)[axis] * 1e-4
        ahead = value(origin_mm=tuple(np.array(p.origin_mm) + shift))
        behind = value(origin_mm=tuple(np.array(p.origin_mm) - shift))
        assert found.origin_mm[axis] == pytest.approx((ahead - behind) / 2e-4, rel=0.01)


def test_the_value_is_that_of_the_simulation():
    tissue = blocky_tissue()
    p = GrowthParameters(middle(tissue), dw=0.4, rho=0.08, days=70)
    found = sensitivity(tissue, p, jnp.sum)
    assert found.value == pytest.approx(simulate(tissue, p).final.u.sum(), rel=1e-5)
    assert found.dw > 0 and found.rho > 0 and found.days > 0


def test_scaling_law_ties_the_derivatives():
    # u depends on (dw T, rho T) alone: dw u_dw + rho u_rho - T u_T = 0.
    tissue = uniform_tissue((14, 14, 14))
    p = GrowthParameters((13.0, 13.4, 12.8), dw=0.2, rho=0.1, days=40)
    accuracy = Accuracy().refined(2)
    found = sensitivity(tissue, p, jnp.sum, accuracy=accuracy, dtype=np.float64)
    total = p.dw * found.dw + p.rho * found.rho - p.days * found.days
    assert abs(total) < 1e-9 * abs(p.days * found.days)
