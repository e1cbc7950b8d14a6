"""Tissue that a tumour pushes: against elasticity, its volumes, and what a simulation tells of it.

`pytest -s` prints the figures that docs/verification.md tells.
"""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from skull import brain, places, radii

from glioquery.errors import InputError
from glioquery.solver import (
    Drug,
    GrowthParameters,
    Radiotherapy,
    Resection,
    Status,
    Thresholds,
    march,
    sensitivity,
    simulate,
    simulate_batch,
)
from glioquery.solver import displacement as displacement_module
from glioquery.solver.displacement import displace
from glioquery.solver.models import FisherKolmogorov, FisherKolmogorovMassEffect, reach_of
from glioquery.solver.treated_state import require_treatable


def outward(tissue, moved):
    """Radius of each voxel's tissue now, and how far out it came, in mm."""
    now = places(tissue.grid)[:, *moved.box]
    r = np.sqrt((now**2).sum(axis=0))
    return r, r - np.sqrt(((now + 2 * moved.backward) ** 2).sum(axis=0))


@pytest.mark.parametrize("swelling", [0.3, 0.5, 1.0])
def test_a_ball_moves_a_homogeneous_medium_as_the_closed_form_says(swelling):
    tissue, size = brain(30), 20.0
    u = np.clip((size - radii(tissue.grid)) / 2 + 0.5, 0, 1).astype(np.float32)
    r, found = outward(tissue, displace(tissue, u[tissue.box], swelling=swelling))
    before = np.where(
        r**3 < (1 + swelling) * size**3,
        r / np.cbrt(1 + swelling),
        np.cbrt(np.maximum(r**3 - swelling * size**3, 0)),
    )
    medium = (r > 2) & (r < 28)
    off = np.linalg.norm((found - (r - before))[medium])
    share = off / np.linalg.norm((r - before)[medium])
    print(f"\nswelling {swelling}: {share:.4f} of {(r - before)[medium].max():.2f} mm")
    assert share < (0.03 if swelling < 1 else 0.045)


def elastic_displacement(r, push):
    """Radial displacement of a ball, held at its end, by a force grad(push): finite differences.

    (l + 2 m) (d'' + 2 d' / r - 2 d / r^2) = push', for l + 2 m = 1, whatever Poisson's ratio.
    """
    h, middle = r[1] - r[0], r[1:-1]
    operator = np.eye(len(r))
    for i, x in enumerate(middle, start=1):
        curved, sloped = 1 / h**2, 1 / (x * h)
        operator[i, i - 1 : i + 2] = curved - sloped, -2 * curved - 2 / x**2, curved + sloped
    return np.linalg.solve(operator, np.r_[0, np.gradient(push, h)[1:-1], 0])


def test_without_fluid_it_is_linear_elasticity_in_a_clamped_ball():
    # No fluid yields: all tissue is pressed alike, as is a homogeneous elastic medium.
    tissue, swelling = brain(36), 0.05
    u = (1 / (1 + np.exp((radii(tissue.grid) - 16) / 3))).astype(np.float32)
    r, found = outward(tissue, displace(tissue, u[tissue.box], swelling=swelling))
    line = np.linspace(0, 36, 361)
    elastic = elastic_displacement(line, swelling / (1 + np.exp((line - 16) / 3)))
    expected = np.interp(r, line, elastic)
    medium = (r > 2) & (r < 32)
    assert np.linalg.norm((found - expected)[medium]) < 0.03 * np.linalg.norm(expected[medium])


def test_nothing_pushes_nothing():
    tissue = brain(30, 6)
    moved = displace(tissue, np.zeros(tissue.box_shape, np.float32), swelling=1.0)
    assert moved.max_mm == 0 and moved.least_jacobian == 1
    p = GrowthParameters((6, 0, 0), 0.3, 0.1, 50)
    still = simulate(tissue, p, model=FisherKolmogorovMassEffect(swelling=0))
    plain = simulate(tissue, p, model=FisherKolmogorov())
    np.testing.assert_array_equal(still.final.u, plain.final.u)
    assert still.displacement is None and still.pushed_tissue is tissue
    # A database of this model stores the ventricles of this growth, too.
    np.testing.assert_array_equal(still.final.ventricles, tissue.ventricles[tissue.box])


def test_tissue_keeps_its_volume_but_for_what_swells_and_the_ventricle_gives_the_room():
    tissue, swelling = brain(30, 10), 0.5
    off = places(tissue.grid) - np.array([6.0, 4, 0])[:, None, None, None]
    u = tissue.domain / (1 + np.exp((np.sqrt((off**2).sum(axis=0)) - 10) / 2))
    moved = displace(tissue, u[tissue.box].astype(np.float32), swelling=swelling)
    gained = swelling * u.sum()
    for part in (tissue.domain, tissue.domain & (places(tissue.grid)[0] < 0)):
        expected = (part * (1 + swelling * u)).sum()
        share = moved.carry(part).sum() / expected - 1
        print(f"\nvolume of tissue off by {share:.4f}, the tumour gained {gained / part.sum():.3f}")
        assert abs(share) < 0.01
    ventricle = tissue.fluid & (radii(tissue.grid) < 26)
    assert moved.carry(ventricle).sum() < ventricle.sum() - 0.04 * gained
    assert 0.1 < moved.least_jacobian < 1 and 1 < moved.max_mm < 5
    # Nothing crosses the skull, and it stays filled.
    inside = tissue.domain | tissue.fluid
    assert not moved.carry(tissue.domain)[~inside].any()
    assert moved.carry(inside)[inside].mean() > 0.99


@pytest.fixture(scope="module")
def grown():
    tissue = brain(30, 8)
    p = GrowthParameters((7.3, 2.6, -0.9), 0.15, 0.08, 100)
    return tissue, p, simulate(tissue, p, model=FisherKolmogorovMassEffect(swelling=0.6))


def test_a_simulation_tells_displacement_and_deformed_tissue(grown):
    tissue, p, run = grown
    assert run.status is Status.DONE
    plain = simulate(tissue, p)
    assert 1.2 < run.displacement.max_mm < 6
    # The cells are those of the plain model, in tissue that has swollen and moved.
    assert run.final.u.sum() > 1.1 * plain.final.u.sum()
    pushed = run.pushed_tissue
    assert not (run.density.outlines().core & ~pushed.domain).any()
    assert pushed.fluid.sum() < tissue.fluid.sum()
    assert (pushed.domain | pushed.fluid == tissue.domain | tissue.fluid).mean() > 0.995


def test_ventricles_are_pushed_away_from_the_tumour_and_lose_room(grown):
    tissue, p, run = grown
    before, after = tissue.ventricles[tissue.box], run.final.ventricles
    # 25 mm deep in a skull of 36 mm: what the fluid has within 11 mm of the middle.
    deep = tissue.fluid & (radii(tissue.grid) <= 12)
    assert 0 < tissue.ventricles.sum() <= deep.sum() and not (tissue.ventricles & ~deep).any()
    assert 0 < after.sum() < before.sum()
    x = places(tissue.grid)[0][tissue.box]
    assert x[after].mean() < x[before].mean() - 0.3  # the tumour lies at larger x
    assert simulate(tissue, p).final.ventricles is None
    seed = simulate(tissue, replace(p, days=1), model=FisherKolmogorovMassEffect())
    np.testing.assert_array_equal(seed.final.ventricles, before)


def test_sizes_are_counted_on_the_pushed_density_and_reckoned_between(grown):
    tissue, p, run = grown
    model = FisherKolmogorovMassEffect(swelling=0.6)
    levels = Thresholds()
    assert run.final.whole_voxels == (run.final.u >= np.float32(levels.whole)).sum()
    assert run.final.core_voxels == (run.final.u >= np.float32(levels.core)).sum()
    states = march(tissue, p, model=model)
    state = next(s for s in states if s.next_days > p.days).at(p.days)
    np.testing.assert_array_equal(state.u, run.final.u)
    assert abs(state.whole_voxels / run.final.whole_voxels - 1) < 0.03, state.whole_voxels
    (kept,) = simulate(tissue, p, model=model, snapshot_ml=(8.0,)).snapshots
    assert abs(kept.whole_voxels * tissue.grid.voxel_ml / 8 - 1) < 0.05


@pytest.mark.parametrize("treatment", [Drug(40.0, 1e-9, 1e9), Radiotherapy(80.0, 0.0, alpha=0.1)])
def test_a_treatment_that_kills_nothing_leaves_the_sizes_as_they_are(grown, treatment):
    tissue, p, _ = grown
    follow = partial(march, tissue, p, model=FisherKolmogorovMassEffect(swelling=0.6))
    treated = next(s for s in follow(treatments=[treatment]) if s.days >= 80)
    plain = next(s for s in follow() if s.next_days > treated.days).at(treated.days)
    assert treated.whole_voxels == pytest.approx(plain.whole_voxels, rel=5e-3)
    assert treated.core_voxels == pytest.approx(plain.core_voxels, rel=5e-3)


@pytest.mark.parametrize("own", [{}, {"swelling": 0.3}])
def test_a_map_of_a_treatment_is_refused_where_tissue_moves_and_only_there(grown, own):
    tissue, p, _ = grown
    everywhere = np.ones(tissue.grid.shape)
    still, moving = FisherKolmogorovMassEffect(swelling=0), FisherKolmogorovMassEffect(swelling=0.6)
    for treatment in (
        Resection(40.0, everywhere > 0),
        Radiotherapy(40.0, 2 * everywhere, alpha=0.1),
    ):
        model = still if own else moving
        with pytest.raises(InputError, match="mass-effect has pushed elsewhere"):
            march(tissue, replace(p, own=own), model=model, treatments=[treatment])
        march(tissue, p, model=still, treatments=[treatment])
        march(tissue, p, model=FisherKolmogorov(), treatments=[treatment])
        with pytest.raises(InputError, match="has pushed elsewhere"):
            require_treatable(moving, [treatment])
    march(tissue, p, model=moving, treatments=[Radiotherapy(40.0, 2.0, alpha=0.1)])
    march(tissue, p, model=moving, treatments=[Drug(40.0, 0.1, 5.0)])


def test_a_growth_swells_by_its_own_parameter_whatever_the_model_s_is(grown):
    tissue, p, run = grown
    still, own = FisherKolmogorovMassEffect(swelling=0), replace(p, own={"swelling": 0.6})
    np.testing.assert_array_equal(simulate(tissue, own, model=still).final.u, run.final.u)
    # A database of the model has a bit for each voxel that some growth of it may reach.
    assert reach_of(still, tissue).domain[run.density.outlines().whole].all()
    assert reach_of(FisherKolmogorov(), tissue) is tissue


def test_a_batch_is_pushed_too_and_derivatives_are_refused(grown):
    tissue, p, run = grown
    model = FisherKolmogorovMassEffect(swelling=0)
    batch = simulate_batch(tissue, [replace(p, own={"swelling": 0.6})], model=model, batch_size=1)
    assert np.abs(batch.u[0] - run.final.u).max() < 1e-5
    assert batch.whole_voxels[0] == (batch.u[0] >= np.float32(0.2)).sum()
    with pytest.raises(ValueError, match="that stands still"):
        sensitivity(tissue, p, lambda u: u.sum(), model=model)


def test_tissue_that_folds_is_told(grown, monkeypatch):
    tissue, p, run = grown
    monkeypatch.setattr(displacement_module, "FOLDED", run.displacement.least_jacobian + 0.01)
    again = simulate(tissue, p, model=FisherKolmogorovMassEffect(swelling=0.6))
    assert again.status is Status.FOLDED and "smaller swelling" in again.status.value
