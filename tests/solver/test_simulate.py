"""The solver against an independent reference, analytic solutions and invariants of the physics."""

import math
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from anatomies import blocky_tissue, middle, relative_l2, uniform_tissue
from euler_reference import explicit_limit_days, grow
from hypothesis import given, settings
from hypothesis import strategies as st

from glioquery.atlas import Grid
from glioquery.dbgen import ParameterSpace
from glioquery.errors import InputError
from glioquery.solver import (
    Accuracy,
    FisherKolmogorov,
    GrowthParameters,
    Status,
    Thresholds,
    Tissue,
    march,
    sensitivity,
    simulate,
    simulate_batch,
)
from glioquery.solver.marching import require_end
from glioquery.solver.models import ProliferativeNecrotic
from glioquery.solver.seed import SEED_CUT, SEED_MASS_MM3, SEED_SD_MM, seed_density


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (1.0, 2.0, 3.0)])
def test_agrees_with_the_euler_reference(spacing):
    tissue = blocky_tissue(spacing=spacing)
    p = GrowthParameters(middle(tissue), dw=0.5, rho=0.1, days=60)
    result = simulate(tissue, p, accuracy=Accuracy(0.05, 0.05))
    diffusivity = p.dw * (tissue.wm + tissue.gm / 10).astype(np.float64)
    n_steps = math.ceil(20 * p.days / explicit_limit_days(p.dw, spacing))
    seed = np.zeros(tissue.grid.shape)
    seed[tissue.box] = seed_density(tissue, p.origin_mm)
    coarse = grow(seed, diffusivity, tissue.domain, spacing, p.rho, p.days, n_steps)
    fine = grow(seed, diffusivity, tissue.domain, spacing, p.rho, p.days, 2 * n_steps)
    reference = 2 * fine - coarse  # Richardson: Euler errs with the first power of its step
    assert relative_l2(result.density.u, reference) < 3e-4


def test_what_neither_grows_nor_spreads_stays_as_it_was_seeded():
    tissue = blocky_tissue()
    run = simulate(tissue, GrowthParameters(middle(tissue), dw=0, rho=0, days=100))
    seed = seed_density(tissue, run.parameters.origin_mm)
    np.testing.assert_array_equal(run.density.u[tissue.box], seed)
    assert run.n_steps == 1 and run.status is Status.DONE


def test_time_error_is_of_second_order_on_a_masked_brain():
    tissue = blocky_tissue()
    p = GrowthParameters(middle(tissue), dw=0.4, rho=0.1, days=80)
    exact = simulate(tissue, p, accuracy=Accuracy(0.8, 0.8).refined(24)).density.u
    steps, errors = [], []
    for factor in (1, 1.5, 2, 3):
        run = simulate(tissue, p, accuracy=Accuracy(0.8, 0.8).refined(factor))
        steps.append(1 / factor)
        errors.append(relative_l2(run.density.u, exact))
    order = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert 1.8 < order < 2.5, (order, errors)


@pytest.mark.parametrize("tolerance", [5e-2, 2e-2, 5e-3, 1e-3, 2e-4])
def test_a_tolerance_is_kept(tolerance):
    tissue = blocky_tissue()
    p = GrowthParameters(middle(tissue), dw=0.1, rho=0.2, days=150)
    run = simulate(tissue, p, accuracy=Accuracy.for_error(tolerance))
    exact = simulate(tissue, p, accuracy=Accuracy.for_error(tolerance / 100))
    error = relative_l2(run.density.u, exact.density.u)
    assert 0.01 * tolerance < error < tolerance


def test_a_tolerance_has_a_range():
    assert Accuracy.for_error(5e-3) == Accuracy()
    for tolerance in (0.0, 0.5, math.nan):
        with pytest.raises(ValueError, match="a time error lies in"):
            Accuracy.for_error(tolerance)


def test_heat_kernel_in_free_space():
    tissue = uniform_tissue((41, 41, 41))
    origin = (40.6, 39.7, 40.2)
    p = GrowthParameters(origin, dw=0.5, rho=0.0, days=60)
    u = simulate(tissue, p, accuracy=Accuracy().refined(4)).density.u
    r2 = sum(
        (tissue.grid.axis_mm(a) - origin[a]).reshape([-1 if b == a else 1 for b in range(3)]) ** 2
        for a in range(3)
    )
    # The seed, a Gaussian cut at three standard deviations, has a slightly smaller variance.
    r = np.linspace(0, 3, 100001)
    gauss = np.exp(-(r**2) / 2)
    shrink = (r**4 * gauss).sum() / (r**2 * gauss).sum() / 3
    variance = shrink * SEED_SD_MM**2 + 2 * p.dw * p.days
    kernel = SEED_MASS_MM3 * np.exp(-r2 / (2 * variance)) / (2 * np.pi * variance) ** 1.5
    assert relative_l2(u, kernel) < 0.015  # what is left is the lattice: 2 mm against an sd of 8 mm


def test_mass_is_conserved_without_growth(tissue):
    p = GrowthParameters((-150.0, 100.0, 60.0), dw=1.0, rho=0.0, days=400)
    run = simulate(tissue, p)
    mass = run.density.u.sum(dtype=np.float64) * tissue.grid.voxel_ml * 1000
    assert mass == pytest.approx(SEED_MASS_MM3, rel=1e-6)
    assert run.n_stages > 100


def test_without_diffusion_every_voxel_grows_logistically():
    tissue = uniform_tissue((12, 12, 12))
    p = GrowthParameters((11.0, 11.0, 11.0), dw=0.0, rho=0.1, days=50)
    seed = seed_density(tissue, p.origin_mm).astype(np.float64)
    growth = np.exp(p.rho * p.days)
    expected = seed * growth / (1 + seed * (growth - 1))
    np.testing.assert_allclose(simulate(tissue, p).final.u, expected, rtol=2e-5, atol=1e-12)


def test_mirrored_anatomy_mirrored_tumor():
    tissue = blocky_tissue()
    origin = np.array(middle(tissue))
    p = GrowthParameters(tuple(origin), dw=0.5, rho=0.1, days=60)
    u = simulate(tissue, p).density.u
    for axis in range(3):
        flipped = Tissue(
            *(np.flip(m, axis) for m in (tissue.wm, tissue.gm, tissue.domain)), tissue.grid
        )
        there = origin.copy()
        there[axis] = tissue.grid.axis_mm(axis)[-1] - origin[axis]
        mirror = simulate(flipped, GrowthParameters(tuple(there), 0.5, 0.1, 60)).density.u
        np.testing.assert_allclose(np.flip(mirror, axis), u, atol=2e-6)


def test_scaling_law(tissue):
    p = GrowthParameters((-90.0, 120.0, 70.0), dw=0.2, rho=0.05, days=200)
    u = simulate(tissue, p).final.u
    np.testing.assert_array_equal(simulate(tissue, p.scaled(2)).final.u, u)
    np.testing.assert_array_equal(simulate(tissue, p.scaled(0.25)).final.u, u)
    assert relative_l2(simulate(tissue, p.scaled(1.7)).final.u, u) < 1e-5


@settings(max_examples=40)
@given(
    dw=st.floats(0.02, 1.5),
    rho=st.floats(0.002, 0.2),
    days=st.floats(50, 1500),
    voxel=st.integers(0, 10**9),
    shift=st.tuples(*[st.floats(-0.49, 0.49)] * 3),
)
def test_density_stays_between_0_and_1_and_in_the_tissue(dw, rho, days, voxel, shift):
    tissue = blocky_tissue()
    origin = tissue.grid.to_world(tissue.voxels[voxel % len(tissue.voxels)] + np.array(shift))
    run = simulate(tissue, GrowthParameters(tuple(origin), dw, rho, days))
    u = run.density.u
    assert u.min() >= 0 and u.max() <= 1
    assert run.clipped <= 1e-6
    assert not u[~tissue.domain].any()


@pytest.mark.parametrize(("dw", "rho"), [(0.05, 0.1), (0.3, 0.05), (1.2, 0.02)])
def test_the_window_changes_nothing(tissue, monkeypatch, dw, rho):
    p = GrowthParameters((-90.0, 120.0, 70.0), dw, rho, days=14 / rho)
    followed = simulate(tissue, p, snapshot_ml=(3.0,))
    monkeypatch.setattr("glioquery.solver.window.SIZES", ())
    whole_box = simulate(tissue, p, snapshot_ml=(3.0,))
    np.testing.assert_allclose(followed.final.u, whole_box.final.u, atol=1e-6)
    assert followed.snapshots[0].days == pytest.approx(whole_box.snapshots[0].days, rel=1e-9)
    # Far ahead of the front, where the tail that pulls it is, the windows agree in relative terms.
    tail = (whole_box.final.u > 1e-11) & (whole_box.final.u < 1e-9)
    np.testing.assert_allclose(followed.final.u[tail], whole_box.final.u[tail], rtol=0.01)


@pytest.mark.parametrize(("spacing", "first"), [(2.0, 0), (1.0, 0), (0.75, 0), (0.7, 1), (0.56, 1)])
def test_the_first_window_leaves_room_about_the_seed(monkeypatch, spacing, first):
    tissue = uniform_tissue((60, 60, 60), (spacing,) * 3)
    p = GrowthParameters((30.49 * spacing,) * 3, 0.2, 0.1, 10.0)
    assert next(march(tissue, p))._window == first
    if first:
        followed = simulate(tissue, p).final.u
        monkeypatch.setattr("glioquery.solver.window.SIZES", ())
        assert relative_l2(followed, simulate(tissue, p).final.u) < 1e-5


def test_no_cell_crosses_a_wall():
    shape = (16, 12, 12)
    csf = np.zeros(shape)
    csf[8] = 1
    csf[8, :2, :2] = 0  # a passage in one corner keeps both halves one component
    wm = 1 - csf
    tissue = Tissue.from_probabilities(
        wm, np.zeros(shape), csf, Grid(shape, np.diag([2.0, 2, 2, 1]))
    )
    p = GrowthParameters((12.0, 16.0, 16.0), dw=0.2, rho=0.05, days=15)
    near, far = 6, 9  # beside the wall and behind it, the passage far away
    u = simulate(tissue, p).density.u
    assert u[near, 8, 8] > 1e3 * max(u[far, 8, 8], 1e-30)
    seed = seed_density(tissue, (14.0, 16.0, 16.0))
    assert seed[:8].sum() > 0 and seed[9:].sum() == 0


def test_seed_has_its_mass_wherever_the_origin_lies(tissue):
    rng = np.random.default_rng(3)
    for voxel in tissue.voxels[rng.integers(len(tissue.voxels), size=20)]:
        origin = tissue.grid.to_world(voxel + rng.uniform(-0.49, 0.49, 3))
        seed = seed_density(tissue, origin)
        mass = seed.sum(dtype=np.float64) * tissue.grid.voxel_ml * 1000
        assert mass == pytest.approx(SEED_MASS_MM3, rel=1e-5)
        assert seed.max() <= 1


def test_snapshots_alter_nothing_and_equal_runs_that_end_there(tissue):
    p = GrowthParameters((-150.0, 100.0, 60.0), dw=0.3, rho=0.05, days=200)
    plain = simulate(tissue, p)
    watched = simulate(tissue, p, snapshot_days=(61.7, 150.0, 200.0), snapshot_ml=(2.0, 10.0))
    np.testing.assert_array_equal(watched.final.u, plain.final.u)
    assert [s.days for s in watched.snapshots] == sorted(s.days for s in watched.snapshots)
    assert len(watched.snapshots) == 5
    volumes = {s.days: s.whole_voxels * tissue.grid.voxel_ml for s in watched.snapshots}
    assert sum(abs(v / 2.0 - 1) < 0.03 for v in volumes.values()) == 1
    assert sum(abs(v / 10.0 - 1) < 0.03 for v in volumes.values()) == 1
    for snapshot in watched.snapshots:
        alone = simulate(tissue, GrowthParameters(p.origin_mm, p.dw, p.rho, snapshot.days))
        np.testing.assert_array_equal(alone.final.u, snapshot.u)
        assert snapshot.whole_voxels == (snapshot.u >= np.float32(0.2)).sum()
        assert snapshot.core_voxels == (snapshot.u >= np.float32(0.6)).sum()


def test_stops_at_a_volume_and_when_the_tissue_is_full():
    tissue = blocky_tissue()
    p = GrowthParameters(middle(tissue), dw=0.5, rho=0.2, days=5000)
    stopped = simulate(tissue, p, stop_ml=5.0)
    assert stopped.status is Status.STOPPED_AT_VOLUME
    assert 5.0 <= stopped.final.whole_voxels * tissue.grid.voxel_ml < 12.0
    full = simulate(tissue, p)
    assert full.status is Status.TISSUE_FULL
    assert full.parameters.days < 5000
    # No later density differs from this one by more than 1e-5: none exceeds 1.
    assert (full.density.u[tissue.domain] >= 1 - 1e-5).all()


def test_a_tumour_that_is_all_core_grows_on_to_the_time_asked_for():
    tissue = blocky_tissue()
    p = GrowthParameters(middle(tissue), dw=0.5, rho=0.2, days=5000)
    filled = simulate(tissue, p).parameters.days
    days = [float(d) for d in np.linspace(0.5, 0.98, 9) * filled]
    runs = [simulate(tissue, replace(p, days=d)) for d in days]
    all_core = [r for r in runs if r.final.core_voxels == tissue.domain.sum()]
    assert len(all_core) > 2
    for run, asked in zip(runs, days, strict=True):
        assert (run.status, run.parameters.days) == (Status.DONE, asked)
    means = [r.density.u[tissue.domain].mean() for r in all_core]
    assert 0.6 < means[0] < means[1] < means[2] < 1


def test_what_only_spreads_never_fills_the_tissue():
    tissue = blocky_tissue()
    faint = Thresholds(core=2e-5, whole=1e-5)
    p = GrowthParameters(middle(tissue), dw=0.5, rho=0, days=2000)
    run = simulate(tissue, p, thresholds=faint)
    assert run.final.core_voxels == tissue.domain.sum()
    assert (run.status, run.parameters.days) == (Status.DONE, 2000)


def test_a_model_that_fails_is_a_status_not_a_map():
    class Broken(FisherKolmogorov):
        def react(self, fields, rho, days):
            return tuple(f / (f - f) for f in fields)

    tissue = uniform_tissue((12, 12, 12))
    run = simulate(tissue, GrowthParameters((11, 11, 11), 0.5, 0.1, 50), model=Broken())
    assert run.status is Status.NOT_FINITE


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dw": -0.1}, "dw is a finite number >= 0"),
        ({"rho": math.nan}, "rho is a finite number >= 0"),
        ({"days": 0}, "days is a finite number > 0"),
        ({"origin_mm": (0, 0)}, "three finite coordinates"),
        ({"origin_mm": (0, 0, math.inf)}, "three finite coordinates"),
    ],
)
def test_parameters_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        GrowthParameters(**{"origin_mm": (0, 0, 0), "dw": 1, "rho": 1, "days": 1} | change)


ENDLESS = [
    {"dw": 1e9}, {"rho": 1e9}, {"days": 1e12}, {"dw": 1e300}, {"rho": 1e300, "days": 1e300},
    {"dw": 1e9, "rho": 0},
]  # fmt: skip


@pytest.mark.parametrize("change", ENDLESS)
def test_a_run_without_a_foreseeable_end_is_refused(change):
    tissue = uniform_tissue((12, 12, 12))
    p = replace(GrowthParameters((11, 11, 11), 0.5, 0.1, 200), **change)
    asked = re.escape(f"dw {p.dw:g} mm^2/day, rho {p.rho:g} 1/day and {p.days:g} days take about ")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it would be a second line
        for refuses in (
            lambda: simulate(tissue, p),
            lambda: simulate_batch(tissue, [p]),
            lambda: sensitivity(tissue, p, lambda u: u.sum()),
        ):
            with pytest.raises(InputError, match=asked + ".* at most 200000"):
                refuses()


def test_every_growth_of_the_default_space_has_an_end_at_the_least_tolerance(tissue):
    space = ParameterSpace()
    origin = tuple(tissue.grid.to_world(tissue.voxels[0]).tolist())
    p = GrowthParameters(origin, space.dw.high, space.rho.high, space.days.high)
    require_end(tissue, p, accuracy=Accuracy.for_error(1e-7))
    with pytest.raises(InputError, match="time steps"):
        require_end(tissue, replace(p, days=2 * p.days), accuracy=Accuracy.for_error(1e-7))


def test_an_origin_outside_the_tissue_names_the_nearest_point(tissue):
    with pytest.raises(
        ValueError, match=r"nearest tissue point is \(-.*\) mm, .* mm away"
    ) as error:
        simulate(tissue, GrowthParameters((-10, 10, 10), 0.5, 0.05, 100))
    assert "(-10, 10, 10)" in str(error.value)


@pytest.mark.parametrize("days", [(20, 10), (0, 10), (10, 300), (10, 10)])
def test_snapshot_times_are_checked(days):
    tissue = uniform_tissue((12, 12, 12))
    with pytest.raises(ValueError, match="snapshot times"):
        simulate(tissue, GrowthParameters((11, 11, 11), 0.5, 0.1, 200), snapshot_days=days)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"snapshot_days": (10, math.nan, 20)}, "snapshot times rise"),
        ({"snapshot_ml": (2.0, 1.0)}, "snapshot volumes rise"),
        ({"snapshot_ml": (1.0, math.nan)}, "snapshot volumes rise"),
        ({"snapshot_ml": (0.0, 1.0)}, "snapshot volumes are above 0 ml, got"),
        ({"snapshot_ml": (-1.0, 1.0)}, "snapshot volumes are above 0 ml, got"),
        ({"snapshot_ml": (math.nan,)}, "snapshot volumes are above 0 ml, got"),
        ({"stop_ml": math.nan}, "stop_ml is a volume in ml, or infinite for none, got nan"),
    ],
)
def test_what_no_run_can_reach_is_refused(asked, message):
    tissue = uniform_tissue((12, 12, 12))
    with pytest.raises(InputError, match=message):
        simulate(tissue, GrowthParameters((11, 11, 11), 0.5, 0.1, 200), **asked)


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ((np.ones((3, 3, 3)), np.zeros((3, 3, 3)), np.zeros((3, 3, 4))), "csf has"),
        ((np.full((3, 3, 3), 2.0), np.zeros((3, 3, 3)), np.zeros((3, 3, 3))), "probabilities"),
        ((np.full((3, 3, 3), np.nan), np.zeros((3, 3, 3)), np.zeros((3, 3, 3))), "probabilities"),
        ((np.zeros((3, 3, 3)), np.zeros((3, 3, 3)), np.ones((3, 3, 3))), "no voxel is tissue"),
    ],
)
def test_tissue_maps_are_checked(maps, message):
    with pytest.raises(ValueError, match=message):
        Tissue.from_probabilities(*maps, Grid((3, 3, 3), np.eye(4)))


def test_fluid_of_a_rounding_below_zero_makes_no_tissue_of_air():
    wm = np.zeros((12, 12, 12))
    wm[3:9, 3:9, 3:9] = 1
    for least in (0.0, -5e-4):  # the overshoot of a spline
        csf = np.where(wm > 0, 0, least)
        found = Tissue.from_probabilities(wm, 0 * wm, csf, Grid(wm.shape, np.eye(4)))
        np.testing.assert_array_equal(found.domain, wm > 0)
        np.testing.assert_array_equal(found.wm, wm)
        assert not found.fluid.any()


def test_tissue_is_one_piece_and_renormalised(tissue, atlas):
    total = tissue.wm + tissue.gm
    np.testing.assert_allclose(total[tissue.domain], 1, atol=1e-6)
    assert not total[~tissue.domain].any()
    assert (atlas.wm + atlas.gm > atlas.csf)[tissue.domain].all()
    assert 1100 < tissue.domain.sum() * tissue.grid.voxel_ml < 1200


@pytest.mark.parametrize(("core", "whole"), [(0.2, 0.6), (1.0, 0.2), (0.6, 0.0)])
def test_thresholds_are_checked(core, whole):
    with pytest.raises(ValueError, match="thresholds"):
        Thresholds(core=core, whole=whole)


def sheared_tissue(shear):
    """White matter alone, on axes of which the second leans by a share of the first."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[0, 1] = shear * 2
    ones = np.ones((12, 12, 12))
    return Tissue.from_probabilities(ones, 0 * ones, 0 * ones, Grid(ones.shape, affine))


@pytest.mark.parametrize(
    "model", [FisherKolmogorov(), ProliferativeNecrotic()], ids=lambda m: m.name
)
def test_isotropic_models_take_right_angles_alone(model):
    def grown_on(shear):
        tissue = sheared_tissue(shear)
        return simulate(tissue, GrowthParameters(middle(tissue), 0.5, 0.1, 5), model=model)

    with pytest.raises(InputError, match=r"at right angles, got a cosine of 0\.1 between two"):
        grown_on(0.1)
    assert grown_on(5e-4).final.u.max() > 0  # a rounding


def test_the_seed_is_whole_on_sheared_axes():
    """Its box reaches as far as the ball, which axes that are not at right angles cut otherwise."""
    affine = np.diag([2.0, 1.2, 2, 1])
    affine[0, 1] = 1.6
    grid = Grid((21, 31, 21), affine)
    white = np.ones(grid.shape, np.float32)
    tissue = Tissue(white, 0 * white, white > 0, grid)
    centre = grid.to_world(np.array([10, 15, 10]))
    away = np.linalg.norm(grid.to_world(np.argwhere(white > 0)) - centre, axis=1)
    assert (seed_density(tissue, centre) > 0).sum() == (away <= SEED_CUT * SEED_SD_MM).sum()
