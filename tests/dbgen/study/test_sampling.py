"""The samplers: what they draw, from what alone, and that databases made with them are sound."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import qmc

from glioquery.atlas import Grid
from glioquery.dbgen import Database, DatabaseError, ParameterSpace, Plan, Range, generate, verify
from glioquery.dbgen.study.samples import Rejection, draw_attempt, draw_samples
from glioquery.dbgen.study.sampling import (
    draw_grid,
    draw_identifiable,
    draw_run,
    draw_sobol,
    draw_trajectory,
    draw_uniform,
    origin_at,
)
from glioquery.errors import InputError
from glioquery.solver import FisherKolmogorov, Thresholds, Tissue, simulate
from glioquery.solver.integrate import follow

INDEPENDENT = ("uniform", "sobol")
DRAWN = ("trajectory", "uniform", "sobol", "identifiable")
"""All but the sweep, which leaves nothing to chance."""

QUICK = {
    "dw": Range(0.1, 0.3),
    "rho": Range(0.05, 0.08),
    "days": Range(100, 250),
    "whole_ml": Range(5, 60),
    "snapshots_per_run": 1,
}
"""About every other draw is acceptable, and small."""


def coordinates(draw):
    """The six numbers of a draw, in one row."""
    p = draw.parameters
    return [*p.origin_mm, p.dw, p.rho, p.days]


def test_a_trajectory_is_what_the_format_says(tissue):
    # FORMAT.md in ten lines: databases that exist must not change.
    space = ParameterSpace(rho=Range(0.01, 0.2, "log-uniform"), snapshots_per_run=3)
    for run, attempt in ((0, 0), (5, 2), (49999, 1)):
        rng = np.random.default_rng([7, run, attempt])
        voxel = np.argwhere(tissue.domain)[rng.integers(tissue.domain.sum())]
        origin = tissue.grid.to_world(voxel + rng.uniform(-0.5, 0.5, 3))
        dw = rng.uniform(0.02, 1.5)
        rho = np.exp(rng.uniform(np.log(0.01), np.log(0.2)))
        low, high = np.cbrt(5.0), np.cbrt(300.0)
        volumes = (low + (high - low) * (np.arange(3) + rng.uniform(size=3)) / 3) ** 3
        draw = draw_trajectory(tissue, space, 7, run, attempt)
        assert coordinates(draw)[:5] == [*origin, dw, rho]
        assert draw.volumes_ml == tuple(volumes)
        assert draw.parameters.days >= 1500


@pytest.mark.parametrize("name", DRAWN)
def test_a_draw_depends_on_seed_run_and_attempt(tissue, name):
    space = ParameterSpace.from_dict({"sampler": name})
    keys = [(s, r, a) for s in (0, 1) for r in (0, 1, 40000) for a in (0, 1)]
    draws = [draw_run(tissue, space, *key) for key in keys]
    assert len({tuple(coordinates(draw)) for draw in draws}) == len(keys)
    again = [draw_run(tissue, space, *key) for key in reversed(keys)]
    assert draws == again[::-1]


@pytest.mark.parametrize("draw", [draw_uniform, draw_sobol])
def test_draws_are_uniform_in_ranges_and_tissue(tissue, draw):
    space = ParameterSpace(
        rho=Range(0.002, 0.2, "log-uniform"), snapshots_per_run=1, sampler="uniform"
    )
    values = np.array([coordinates(draw(tissue, space, 3, run, 0)) for run in range(512)])
    voxels = np.rint(tissue.grid.to_voxel(values[:, :3])).astype(int)
    assert tissue.domain[tuple(voxels.T)].all()
    # Kolmogorov-Smirnov at 1 in 10,000 for each coordinate, against its own law.
    critical = stats.kstwo.ppf(1 - 1e-4, 512)
    world = tissue.grid.to_world(tissue.voxels)
    for axis in range(3):
        inner = world[:, axis] + np.random.default_rng(axis).uniform(-1, 1, len(world))
        assert stats.ks_2samp(values[:, axis], inner).statistic < critical
    for column, (low, high) in zip(
        (values[:, 3], np.log(values[:, 4]), values[:, 5]),
        ((0.02, 1.5), np.log([0.002, 0.2]), (50, 1500)),
        strict=True,
    ):
        assert low <= column.min() and column.max() <= high
        assert stats.kstest(column, stats.uniform(low, high - low).cdf).statistic < critical


def test_sobol_draws_are_the_points_of_one_sequence(tissue):
    space = ParameterSpace(snapshots_per_run=1, sampler="sobol")
    points = qmc.Sobol(6, seed=np.random.default_rng([3, 2])).random(64)
    for run in (0, 1, 17, 63):
        values = coordinates(draw_sobol(tissue, space, 3, run, 2))
        np.testing.assert_allclose(values[:3], origin_at(tissue, points[run, :3]), rtol=1e-12)
        low, high = np.array([[0.02, 0.002, 50], [1.5, 0.2, 1500]])
        np.testing.assert_allclose(values[3:], low + points[run, 3:] * (high - low), rtol=1e-12)


def test_sobol_draws_are_more_even_than_independent_ones(tissue):
    space = ParameterSpace(snapshots_per_run=1, sampler="sobol")
    volume = float(tissue.domain.sum())

    def unevenness(draw):
        # Of the origins' x, by the share of the tissue below: 64 strata of equal volume.
        x = np.array([draw(tissue, space, 3, run, 0).parameters.origin_mm[0] for run in range(256)])
        ends = np.cumsum(tissue.domain.sum(axis=(1, 2))) / volume
        edges = tissue.grid.axis_mm(0) + 1
        shares = np.interp(x, edges, ends)
        return np.histogram(shares, 64, (0, 1))[0].std()

    assert unevenness(draw_sobol) < 0.3 < 1.5 < unevenness(draw_uniform)


def test_origins_reach_every_end_of_the_tissue(tissue):
    for shares in ((0, 0, 0), (1 - 2**-30,) * 3, (0.5, 0, 1 - 2**-30)):
        tissue.nearest_voxel(origin_at(tissue, shares))  # raises outside the tissue


@pytest.mark.parametrize("sampler", INDEPENDENT)
def test_a_sample_is_the_tumour_at_the_drawn_time(tissue, sampler):
    plan = Plan(ParameterSpace(**QUICK, sampler=sampler), seed=2)
    (sample,) = draw_samples(tissue, plan, run=1)
    draw = draw_run(tissue, plan.space, 2, 1, sample.attempt)
    assert sample.parameters == replace(draw.parameters, own={"ratio": 10.0})
    run = simulate(tissue, sample.parameters)
    np.testing.assert_array_equal(run.final.u, sample.snapshot.u)
    assert plan.space.whole_ml.holds(sample.snapshot.whole_voxels * tissue.grid.voxel_ml)


@pytest.mark.parametrize("sampler", INDEPENDENT)
def test_databases_of_independent_tumours_are_sound(tmp_path, sampler):
    plan = Plan(ParameterSpace(**QUICK, sampler=sampler), seed=2)
    made = generate(tmp_path / "db", 5, plan=plan, shard_size=2)
    assert made.header["plan"]["sampler"] == sampler
    assert "sampler" not in made.header["plan"]["space"]
    assert Database.open(made.path).plan == plan
    np.testing.assert_array_equal(made.parameters.run, np.arange(5))
    assert verify(made.path) == []
    other = generate(tmp_path / "other", 3, plan=plan, store="outlines")
    assert [other.growth_parameters(i) for i in other] == [
        made.growth_parameters(i) for i in range(3)
    ]
    with pytest.raises(
        DatabaseError, match=rf"plan\.sampler is {sampler}, requested is trajectory"
    ):
        generate(made.path, 5, plan=Plan(ParameterSpace(**QUICK), seed=2))


def test_the_default_sampler_is_described_as_ever(atlas):
    described = Plan().describe(atlas)
    assert described["sampler"] == "trajectory"
    assert list(described["space"]) == [
        "dw", "rho", "days", "whole_ml", "core_min_ml", "snapshots_per_run",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"sampler": "magic"},
            "unknown sampler 'magic': choose one of trajectory, uniform, sobol, latin-hypercube, ",
        ),
        ({"sampler": ["sobol"]}, "unknown sampler"),
        ({"sampler": "sobol", "snapshots_per_run": 4}, "snapshots_per_run is 1, got 4"),
    ],
)
def test_a_bad_sampler_is_named(values, message):
    with pytest.raises(ValueError, match=message):
        ParameterSpace.from_dict(values)


def test_a_sampler_in_toml_and_its_replacement(tmp_path):
    (tmp_path / "space.toml").write_text("sampler = 'sobol'\n")
    space = Plan.from_toml(tmp_path / "space.toml").space
    assert space == ParameterSpace(sampler="sobol", snapshots_per_run=1)
    replaced = Plan.from_toml(tmp_path / "space.toml", sampler="trajectory").space
    assert replaced == ParameterSpace()
    with pytest.raises(ValueError, match="draws every tumour by itself"):
        ParameterSpace(sampler="uniform")


# Identifiable coordinates.


def test_an_identifiable_growth_is_what_the_format_says(tissue):
    # FORMAT.md in ten lines: databases that exist must not change.
    space = ParameterSpace.from_dict({"sampler": "identifiable", "snapshots_per_run": 3})
    for run, attempt in ((0, 0), (5, 2), (49999, 1)):
        rng = np.random.default_rng([7, run, attempt])
        voxel = np.argwhere(tissue.domain)[rng.integers(tissue.domain.sum())]
        origin = tissue.grid.to_world(voxel + rng.uniform(-0.5, 0.5, 3))
        front = np.exp(rng.uniform(np.log(1), np.log(8)))
        least, greatest = max(0.002, 0.02 / front**2), min(0.2, 1.5 / front**2)
        rho = least * (greatest / least) ** rng.uniform()
        draw = draw_identifiable(tissue, space, 7, run, attempt)
        np.testing.assert_allclose(coordinates(draw)[:5], [*origin, front**2 * rho, rho], rtol=1e-9)
        assert draw.size_shares == tuple((np.arange(3) + rng.uniform(size=3)) / 3)
        assert draw.volumes_ml == ()


@settings(max_examples=60)
@given(
    low=st.floats(0.4, 20), ratio=st.floats(1, 3), seed=st.integers(0, 9), run=st.integers(0, 10**6)
)  # fmt: skip
def test_identifiable_draws_lie_in_all_ranges(tissue, low, ratio, seed, run):
    space = ParameterSpace(sampler="identifiable", lambda_mm=Range(low, min(low * ratio, 27.3)))
    p = draw_identifiable(tissue, space, seed, run, 0).parameters
    assert space.dw.holds(p.dw) and space.rho.holds(p.rho)
    assert low * (1 - 1e-9) <= p.lambda_mm <= low * ratio * (1 + 1e-9)
    # Whatever the speed drawn, the run may last as long as the slowest scaled one, to a factor 2.
    reach = p.rho_t / (space.days.high * min(space.rho.high, space.dw.high / p.lambda_mm**2))
    assert 0.5 * (1 - 1e-9) < reach <= 1 + 1e-9


def test_identifiable_growths_are_accepted_from_their_least_size_on(tissue):
    space = ParameterSpace(
        sampler="identifiable", whole_ml=Range(5, 60), lambda_mm=Range(2, 4), snapshots_per_run=3
    )
    plan = Plan(space, seed=4)
    ml = tissue.grid.voxel_ml
    for run in range(3):
        samples = draw_attempt(tissue, plan, run, 0)
        draw = draw_identifiable(tissue, space, 4, run, 0)
        # The least size by brute force: the growth followed through many volumes.
        ladder = np.geomspace(5, 61, 100)
        followed = simulate(tissue, draw.parameters, snapshot_ml=ladder, stop_ml=61).snapshots
        fit = [s.whole_voxels * ml for s in followed if s.core_voxels * ml >= 0.5]
        roots = np.cbrt([s.snapshot.whole_voxels * ml for s in samples])
        shares = (roots - np.cbrt(fit[0])) / (np.cbrt(60) - np.cbrt(fit[0]))
        np.testing.assert_allclose(shares, draw.size_shares, atol=0.03)
        assert all(s.snapshot.core_voxels * ml >= 0.5 for s in samples)
        assert all(
            s.parameters.lambda_mm == pytest.approx(draw.parameters.lambda_mm) for s in samples
        )


# A sweep.

SWEEP = {
    "sampler": "grid",
    "origin_mm": [[-150.0, 100.0, 60.0], [-80.5, 90.0, 70.0]],
    "dw": [0.2, 0.1],
    "rho": 0.05,
    "days": [60, 120, 180],
}


def test_a_sweep_is_the_product_of_its_lists(tissue):
    space = ParameterSpace.from_dict(SWEEP)
    assert space.n_points == 12 and space.snapshots_per_run == 1
    swept = [coordinates(draw_grid(tissue, space, 0, run, 0)) for run in range(12)]
    product = itertools.product(SWEEP["origin_mm"], SWEEP["dw"], [0.05], SWEEP["days"])
    assert swept == [[*origin, dw, rho, days] for origin, dw, rho, days in product]
    with pytest.raises(ValueError, match="12"):
        draw_grid(tissue, space, 0, 12, 0)


def test_a_sweep_keeps_every_tumour_as_it_is(tissue):
    plan = Plan(ParameterSpace.from_dict(SWEEP))
    volumes = []
    for run in (0, 1, 2):
        (sample,) = draw_samples(tissue, plan, run)
        point = draw_grid(tissue, plan.space, 0, run, 0).parameters
        assert sample.parameters == replace(point, own={"ratio": 10.0})
        volumes.append(sample.snapshot.whole_voxels * tissue.grid.voxel_ml)
    assert volumes[0] < plan.space.whole_ml.low < volumes[2]


def test_a_sweep_keeps_the_tumour_of_its_days_where_it_fills_the_tissue():
    shape, centre = (10, 10, 10), np.array([-150.0, 100.0, 60.0])
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = centre - np.array(shape)
    ones = np.ones(shape)
    tissue = Tissue.from_probabilities(ones, 0 * ones, 0 * ones, Grid(shape, affine))
    values = {"sampler": "grid", "origin_mm": centre.tolist(), "dw": 1.0, "rho": 0.1}
    plan = Plan(ParameterSpace.from_dict(values | {"days": [100, 110, 120, 600]}))
    samples = [draw_samples(tissue, plan, run)[0] for run in range(4)]
    lowest = [sample.snapshot.u.min() for sample in samples]
    assert 0.6 < lowest[0] < lowest[1] < lowest[2] < 0.999
    for sample in samples[:3]:
        assert sample.snapshot.days == sample.parameters.days
    np.testing.assert_allclose(samples[3].snapshot.u, 1, atol=1e-5)


@pytest.mark.parametrize("draw", [draw_trajectory, draw_uniform, draw_sobol, draw_identifiable])
def test_draws_from_lists_and_points(tissue, draw):
    points = ((-150.0, 100.0, 60.0), (-80.5, 90.0, 70.0), (-120.0, 60.0, 70.0))
    listed = {} if draw is draw_identifiable else {"rho": [0.02, 0.04, 0.1]}
    name = draw.__name__.removeprefix("draw_")
    space = ParameterSpace.from_dict({"sampler": name, "origin_mm": points, "dw": 0.3} | listed)
    draws = [draw(tissue, space, 1, run, 0).parameters for run in range(300)]
    for values, expected in (
        ([p.origin_mm for p in draws], points),
        ([p.rho for p in draws], listed.get("rho", ())),
    ):
        # Each about as often as the others: 100 +- 5 standard deviations.
        assert all(59 < values.count(value) < 141 for value in expected)
    np.testing.assert_allclose([p.dw for p in draws], 0.3)


# Why a draw is not accepted.


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"days": 60, "rho": 0.02, "dw": 0.1, "sampler": "uniform"}, Rejection.TOO_SMALL),
        ({"days": 900, "rho": 0.2, "dw": 1.0, "sampler": "uniform"}, Rejection.TOO_LARGE),
        ({"core_min_ml": 40, "whole_ml": {"low": 30, "high": 60}}, Rejection.CORE_TOO_SMALL),
        ({"days": {"low": 50, "high": 60}, "rho": 0.05, "dw": 0.1}, Rejection.TOO_SLOW),
        ({"days": {"low": 1400}, "rho": 0.2, "dw": 0.5}, Rejection.OUT_OF_RANGES),
        (
            {"sampler": "identifiable", "lambda_mm": {"low": 6}, "whole_ml": {"high": 20}},
            Rejection.CORE_TOO_SMALL,
        ),
    ],
)
def test_a_rejection_says_which_limit_was_broken(tissue, values, reason):
    space = ParameterSpace.from_dict({"origin_mm": [-150, 100, 60], **values})
    assert draw_attempt(tissue, Plan(space), 0, 0) is reason


def test_a_run_whose_smallest_tumour_is_refused_ends_there_and_draws_are_the_same(
    tissue, monkeypatch
):
    plan = Plan(ParameterSpace(whole_ml=Range(5, 60)), seed=3)
    lengths = {}

    def drawn(kind, follow_run):
        def counted(*arguments, **options):
            course = follow_run(*arguments, **options)
            lengths.setdefault(kind, []).append(course.n_steps)
            return course

        monkeypatch.setattr("glioquery.dbgen.study.samples.follow", counted)
        return [draw_attempt(tissue, plan, run, 0) for run in range(12)]

    early = drawn("early", follow)
    to_the_end = drawn("to the end", lambda *a, is_wanted, **options: follow(*a, **options))
    refused = [found is Rejection.CORE_TOO_SMALL for found in early]
    assert 1 < sum(refused) < 10
    for one, other, *steps, was_refused in zip(
        early, to_the_end, lengths["early"], lengths["to the end"], refused, strict=True
    ):
        assert steps[0] < steps[1] if was_refused else steps[0] == steps[1]
        if isinstance(one, Rejection):
            assert one is other
            continue
        for a, b in zip(one, other, strict=True):
            assert a.parameters == b.parameters
            np.testing.assert_array_equal(a.snapshot.u, b.snapshot.u)


def test_the_core_that_counts_is_that_of_the_thresholds(tissue):
    space = ParameterSpace(
        sampler="identifiable", whole_ml=Range(5, 40), lambda_mm=Range(3, 3.1), snapshots_per_run=1
    )
    easy = Plan(space, thresholds=Thresholds(core=0.25, whole=0.2))
    (low,), (high,) = (draw_attempt(tissue, plan, 0, 0) for plan in (easy, Plan(space)))
    assert low.snapshot.whole_voxels < high.snapshot.whole_voxels


class Broken(FisherKolmogorov):
    """A model whose density is no number after the first step."""

    def react(self, fields, rho, days):
        return tuple(f / (f - f) for f in fields)


@pytest.mark.parametrize("sampler", DRAWN)
def test_a_draw_whose_density_is_no_number_is_rejected_as_that(tissue, sampler):
    plan = Plan(ParameterSpace(**QUICK, sampler=sampler), model=Broken())
    assert draw_attempt(tissue, plan, 0, 0) is Rejection.NOT_FINITE


def test_a_point_of_a_sweep_whose_density_is_no_number_is_named(tissue):
    values = {"dw": 0.2, "rho": [0.05, 0.06], "days": 100, "origin_mm": [-150, 100, 60]}
    plan = Plan(ParameterSpace.from_dict(values | {"sampler": "grid"}), model=Broken())
    with pytest.raises(InputError, match=r"point 1 of the sweep, .*rho=0.06.* stopped being a num"):
        draw_samples(tissue, plan, 1)
