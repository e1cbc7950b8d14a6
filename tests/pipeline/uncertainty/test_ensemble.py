"""Ensembles: weights, maps against loops, intervals, draws from a valley; several tumours."""

import math
from dataclasses import replace

import numpy as np
import pytest
from anatomies import uniform_tissue
from hypothesis import example, given, settings
from hypothesis import strategies as st

from glioquery.atlas import Grid
from glioquery.pipeline.fit import fitted_thresholds, several_tumors
from glioquery.pipeline.fit.coordinates import Coordinates
from glioquery.pipeline.fit.fitted_thresholds import CORE_RANGE, WHOLE_RANGE, fit_thresholds
from glioquery.pipeline.fit.refinement import NoGrowthError, Refined, Refinement, refine
from glioquery.pipeline.fit.several_tumors import LEAST_ML, combine, join, split_outlines
from glioquery.pipeline.fit.trajectory import Target
from glioquery.pipeline.uncertainty.ensemble import average, of_refinement
from glioquery.pipeline.uncertainty.interval_factors import QUANTITIES, Reach
from glioquery.pipeline.uncertainty.intervals import (
    LOGARITHMIC,
    TEMPERATURE,
    find_intervals,
    spread,
    weigh,
)
from glioquery.pipeline.uncertainty.members import N_DRAWS, Member, draw_members
from glioquery.query import Match, dice_of_masks
from glioquery.solver import (
    Accuracy,
    FisherKolmogorov,
    GrowthParameters,
    Status,
    Thresholds,
    Tissue,
    TumorDensity,
    TumorMasks,
    simulate,
)

FACTORS = dict(zip(QUANTITIES, (0.93, 1.01, 1.11, 1.34, 1.29), strict=True))
COORDINATES = Coordinates(FisherKolmogorov())
GROWTH = GrowthParameters((30.0, 32.0, 29.0), 0.04, 0.01, 700.0)


@pytest.fixture(scope="module")
def brain():
    return uniform_tissue((30, 30, 30))


@pytest.fixture(scope="module")
def target(brain):
    return Target(simulate(brain, GROWTH).density.outlines(), brain)


@pytest.fixture(scope="module")
def refinement(target):
    return refine(target, [replace(GROWTH, origin_mm=(33.0, 30.0, 31.0))])


def test_weights_fall_by_e_a_temperature(refinement):
    weights = weigh([1.5, 1.5 - TEMPERATURE, 1.5])
    assert weights.sum() == pytest.approx(1)
    assert weights[0] == weights[2]
    assert weights[0] / weights[1] == pytest.approx(math.e)


def test_maps_are_weighted_sums():
    rng = np.random.default_rng(2)
    grid = Grid((4, 5, 6), np.eye(4))
    stack = rng.random((5, 4, 5, 6)).astype(np.float32)
    weights = weigh(rng.random(5))
    maps = average((TumorDensity(u, grid) for u in stack), weights)
    mean = np.tensordot(weights, stack, 1)
    np.testing.assert_allclose(maps.mean, mean, rtol=1e-5)
    variance = np.tensordot(weights, (stack - mean) ** 2, 1)
    np.testing.assert_allclose(maps.sd, np.sqrt(variance), rtol=1e-6)


@settings(max_examples=100)
@given(
    level=st.floats(0, 1),
    reach=st.sampled_from([0.0, 1e-6, 1e-4, 1e-2, 1.0]),
    weights=st.lists(st.floats(1e-9, 1) | st.just(0.0), min_size=1, max_size=17).filter(any),
    seed=st.integers(0, 2**32 - 1),
)
@example(level=1.0, reach=1e-6, weights=[1e-9, 1.0], seed=0)
def test_the_deviation_is_right_however_near_each_other_the_members_are(
    level, reach, weights, seed
):
    rng = np.random.default_rng(seed)
    u = level + reach * (rng.random((len(weights), 4, 3, 2)) - 0.5)
    stack = np.clip(u, 0, 1).astype(np.float32)
    w = np.array(weights) / np.sum(weights)
    maps = average((TumorDensity(u, Grid((4, 3, 2), np.eye(4))) for u in stack), w)
    exact = stack.astype(np.float64)
    mean = np.tensordot(w, exact, 1)
    sd = np.sqrt(np.tensordot(w, (exact - mean) ** 2, 1))
    np.testing.assert_allclose(maps.mean, mean, rtol=1e-7, atol=1e-14)
    np.testing.assert_allclose(maps.sd, sd, rtol=1e-6, atol=1e-14)


def test_one_member_has_no_deviation():
    grid = Grid((3, 3, 3), np.eye(4))
    u = np.linspace(0, 1, 27, dtype=np.float32).reshape(3, 3, 3)
    maps = average([TumorDensity(u, grid)], [1.0])
    np.testing.assert_array_equal(maps.mean, u)
    assert not maps.sd.any()
    with pytest.raises(ValueError, match="at least one member"):
        average([], [])


def members(shift=0.0, widen=1.0):
    rng = np.random.default_rng(4)
    found = []
    for score in (1.8, 1.75, 1.7, 1.6):
        x = rng.normal(size=5) * widen
        rho = 0.01
        lambda_mm = 2.0 * math.exp(0.2 * x[3])
        rho_t = 10 * math.exp(0.1 * x[4])
        found.append(
            Member(
                GrowthParameters((shift + x[0], x[1], x[2]), lambda_mm**2 * rho, rho, rho_t / rho),
                score,
            )
        )
    return found


def test_intervals_move_with_the_members_and_widen_with_them():
    base, moved, wide = (
        find_intervals(m, "matches", FACTORS, COORDINATES)
        for m in (members(), members(shift=7.0), members(widen=4.0))
    )
    assert list(base) == list(QUANTITIES)
    for name in QUANTITIES:
        by = 7.0 if name == "origin_x_mm" else 0.0
        assert moved[name].low == pytest.approx(base[name].low + by)
        assert moved[name].high == pytest.approx(base[name].high + by)
    for name in QUANTITIES[:3]:
        assert wide[name].high - wide[name].low > base[name].high - base[name].low
    for name in LOGARITHMIC:
        assert wide[name].high / wide[name].low > base[name].high / base[name].low > 1


def test_intervals_are_centre_and_spread_times_the_factor():
    centre, width = spread(members(), "refinement", COORDINATES)
    found = find_intervals(members(), "refinement", FACTORS, COORDINATES)
    for q, name in enumerate(QUANTITIES):
        low, high = found[name].low, found[name].high
        if name in LOGARITHMIC:
            low, high = math.log(low), math.log(high)
        assert (low + high) / 2 == pytest.approx(centre[q])
        assert (high - low) / 2 == pytest.approx(FACTORS[name] * width[q])
    assert find_intervals(members(), "own anatomy", FACTORS, COORDINATES) == found


def test_members_are_the_same_whatever_the_threads(target, refinement, monkeypatch):
    found = []
    for threads in ("1", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        found.append(draw_members(target, refinement))
    assert found[0].members == found[1].members
    for one, other in zip(found[0].densities, found[1].densities, strict=True):
        np.testing.assert_array_equal(one.u, other.u)


def test_draws_surround_the_refined_growth_and_score_no_better_than_chance(target, refinement):
    found = draw_members(target, refinement, seed=3)
    assert found.members[0].parameters == refinement.best.parameters
    assert len(found.members) == N_DRAWS + len(refinement.arrivals) and found.n_dropped == 0
    origins = np.array([member.parameters.origin_mm for member in found.members[1:]])
    off = origins - refinement.best.parameters.origin_mm
    assert 0 < np.abs(off).max() < 6 * np.sqrt(np.diag(refinement.covariance)[:3].max())
    for member, density in zip(found.members, found.densities, strict=True):
        assert member.score == sum(dice_of_masks(target.masks, density.outlines()))
    again = draw_members(target, refinement, seed=3)
    assert again.members == found.members
    assert draw_members(target, refinement, seed=4).members != found.members


def test_draws_in_coarse_steps_spread_as_in_fine_ones(target, refinement, monkeypatch):
    """In a valley as wide as disturbed outlines leave; here the outlines are the growth's own, and
    weights would leave little but the best."""
    wide = replace(refinement, covariance=16 * refinement.covariance)
    drawn = [draw_members(target, wide)]
    monkeypatch.setattr("glioquery.pipeline.uncertainty.members.ACCURACY", Accuracy().refined(2))
    drawn.append(draw_members(target, wide))
    n = len(drawn[0].members)
    coarse, fine = (average(one.densities, np.full(n, 1 / n)).sd for one in drawn)
    seen = fine > 1e-3
    assert 0 < np.abs(coarse - fine)[seen].mean() < 0.03 * fine[seen].mean()


@pytest.fixture(scope="module")
def with_passage():
    """A cube of 16 mm at 1 mm with a passage of one voxel, where a seed finds too little tissue."""
    domain = np.zeros((30, 16, 16))
    domain[:16] = 1
    domain[16:, 8, 8] = 1
    grid = Grid(domain.shape, np.eye(4))
    tissue = Tissue.from_probabilities(domain, np.zeros_like(domain), 1 - domain, grid)
    return tissue, GrowthParameters((8.0, 8.0, 8.0), 0.02, 0.05, 100.0)


def test_members_that_find_no_room_for_a_seed_are_counted_and_told(with_passage, monkeypatch):
    monkeypatch.setattr("glioquery.pipeline.uncertainty.members.N_DRAWS", 2)
    tissue, growth = with_passage
    density = simulate(tissue, growth).density
    target = Target(density.outlines(), tissue)
    outside = replace(growth, origin_mm=(25.0, 8.0, 8.0))
    found = Refinement(
        best=Refined(growth, 2.0, 1.0, 1.0),
        density=density,
        arrivals=((growth, 2.0), (outside, 1.0), (replace(growth, days=90.0), 0.9)),
        covariance=np.diag([0.1, 0.1, 0.1, 1e-3, 1e-3]) ** 2,
        n_runs=1,
        n_unseeded=0,
        n_dropped=0,
        n_stranded=0,
    )
    told = of_refinement(target, found, Reach(None, "Calibrate it."))
    assert (told.row()["members"], told.row()["dropped_members"]) == (4, 1)
    (notice,) = told.notices
    assert notice.startswith("1 of 5 members of the ensemble were left out")
    without = replace(found, arrivals=found.arrivals[:1])
    assert of_refinement(target, without, Reach(None, "")).notices == []


def test_a_member_whose_density_is_no_number_spoils_no_map(target, refinement, monkeypatch):
    monkeypatch.setattr("glioquery.pipeline.uncertainty.members.N_DRAWS", 1)

    def breaks(tissue, growth, **options):
        run = simulate(tissue, growth, **options)
        none = replace(run.final, u=np.full_like(run.final.u, np.nan))
        return replace(run, final=none, status=Status.NOT_FINITE)

    monkeypatch.setattr("glioquery.pipeline.fit.trajectory.simulate", breaks)
    alone = replace(refinement, arrivals=refinement.arrivals[:1])
    told = of_refinement(target, alone, Reach(None, "Calibrate it."))
    assert (len(told.members), told.n_dropped) == (1, 1)
    np.testing.assert_array_equal(told.maps.mean, refinement.density.u)


def test_another_fault_of_a_member_is_not_taken_for_want_of_room(target, refinement, monkeypatch):
    def fails(*arguments, **options):
        raise ValueError("a bug")

    monkeypatch.setattr("glioquery.pipeline.fit.trajectory.simulate", fails)
    with pytest.raises(ValueError, match="a bug"):
        draw_members(target, refinement)


def test_uncertainty_of_a_refinement_surrounds_its_growth(target, refinement):
    told = of_refinement(target, refinement, Reach(FACTORS, "20 tumours"))
    interval = told.intervals["origin_x_mm"]
    assert interval.low < refinement.best.parameters.origin_mm[0] < interval.high
    assert told.weights.sum() == pytest.approx(1)
    assert told.maps.mean.max() <= 1
    row = told.row()
    assert (row["members"], row["calibration"]) == (len(told.members), "20 tumours")
    assert row["intervals"]["origin_x_mm"] == [interval.low, interval.high]


def test_without_factors_no_interval_is_claimed(target, refinement):
    told = of_refinement(target, refinement, Reach(None, "Calibrate it."))
    row = told.row()
    assert (told.intervals, row["intervals"], row["calibration"]) == (None, None, None)
    assert row["no_intervals"] == "Calibrate it."


def test_fitted_thresholds_are_those_of_the_outlines(brain, monkeypatch):
    """Outlines drawn at 0.75 and 0.35: at 0.6 and 0.2 no growth overlaps them as well."""
    drawn = Thresholds(core=0.75, whole=0.35)
    older = replace(GROWTH, days=850.0)
    masks = simulate(brain, older).density.outlines(drawn)
    conventional = Target(masks, brain)
    start = refine(conventional, [older]).best
    fitted = fit_thresholds(conventional, start)
    assert fitted.fit.score >= start.score
    assert fitted.fit.score > 1.95
    assert CORE_RANGE[0] <= fitted.thresholds.core <= CORE_RANGE[1]
    assert WHOLE_RANGE[0] <= fitted.thresholds.whole <= WHOLE_RANGE[1]
    own = Target(masks, brain, thresholds=fitted.thresholds)
    density = simulate(brain, fitted.fit.parameters, thresholds=fitted.thresholds).density
    assert sum(own.dice_of(density)) == fitted.fit.score
    coreless = Target(TumorMasks(np.zeros_like(masks.core), masks.whole, masks.grid), brain)
    whole = fit_thresholds(coreless, replace(start, score=start.dice_whole, dice_core=0.0))
    assert whole.thresholds.core == coreless.thresholds.core
    assert whole.thresholds.whole != coreless.thresholds.whole and whole.fit.dice_core == 0
    # It stays below the core's, which nothing tells, however low that is.
    monkeypatch.setattr(fitted_thresholds, "WHOLE_RANGE", (0.45, 0.5))
    low = replace(coreless, thresholds=Thresholds(core=0.4, whole=0.2))
    found = fit_thresholds(low, replace(start, score=0.1, dice_core=0.0))
    assert found.thresholds == Thresholds(core=0.4, whole=0.4)


def test_thresholds_at_which_nothing_grows_leave_what_was_found(target, refinement, monkeypatch):
    def hopeless(*_, **__):
        raise NoGrowthError("no start grows")

    with monkeypatch.context() as patched:
        patched.setattr(fitted_thresholds, "refine", hopeless)
        fitted = fit_thresholds(target, refinement.best)
    assert (fitted.thresholds, fitted.fit) == (target.thresholds, refinement.best)
    assert fitted.failure == "no start grows"
    monkeypatch.setattr(fitted_thresholds, "follow", lambda *_: None)
    fitted = fit_thresholds(target, refinement.best)
    assert fitted.fit == refinement.best and "does not come near" in fitted.failure


def spheres(grid, *balls):
    points = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    return np.logical_or.reduce([np.linalg.norm(points - c, axis=-1) <= r for c, r in balls])


def test_outlines_are_split_by_the_nearest_large_component(brain):
    grid = brain.grid
    a, b, speck = (16.0, 30.0, 30.0), (44.0, 30.0, 30.0), (30.0, 50.0, 30.0)
    core = spheres(grid, (a, 7), (b, 9), (speck, 2.5))
    whole = spheres(grid, (a, 12), (b, 13), (speck, 5))
    parts = split_outlines(TumorMasks(core, whole, grid))
    assert len(parts) == 2
    sizes = [part.core.sum() * grid.voxel_ml for part in parts]
    assert sizes[0] > sizes[1] >= LEAST_ML
    assert (sum(p.whole.astype(int) for p in parts) == whole).all()
    assert (sum(p.core.astype(int) for p in parts) == core).all()
    one = split_outlines(TumorMasks(spheres(grid, (a, 7)), whole, grid))
    assert len(one) == 1
    assert split_outlines(TumorMasks(np.zeros_like(core), whole, grid)) == []


def test_the_union_of_outlines_is_the_outline_of_the_largest_density(brain):
    one, two = (
        simulate(brain, replace(GROWTH, origin_mm=o, days=600.0)).density
        for o in ((20.0, 30.0, 30.0), (40.0, 30.0, 30.0))
    )
    joint = join([one, two]).outlines()
    np.testing.assert_array_equal(joint.core, one.outlines().core | two.outlines().core)
    np.testing.assert_array_equal(joint.whole, one.outlines().whole | two.outlines().whole)


class Stored:
    """As much of a database as a combination asks for."""

    def __init__(self, outlines):
        self.all = outlines
        self.n_samples = len(outlines)

    def outlines(self, sample):
        return self.all[sample]


def naive_search(index, masks, k):
    scored = [Match(i, sum(d), *d) for i in range(index.n_samples)
              for d in [dice_of_masks(masks, index.outlines(i))]]  # fmt: skip
    return sorted(scored, key=lambda m: (-m.score, m.sample))[:k]


def test_two_stored_tumors_are_found_again_as_two(brain, monkeypatch):
    monkeypatch.setattr(several_tumors, "search", naive_search)
    monkeypatch.setattr(several_tumors, "N_TRIED", 2)
    centres = [(16.0, 30.0, 30.0), (24.0, 24.0, 30.0), (46.0, 30.0, 30.0), (38.0, 44.0, 30.0)]
    tumors = [
        TumorMasks(spheres(brain.grid, (c, 7 + i)), spheres(brain.grid, (c, 10 + i)), brain.grid)
        for i, c in enumerate(centres)
    ]
    stored = Stored(tumors)
    both = TumorMasks(
        tumors[0].core | tumors[2].core, tumors[0].whole | tumors[2].whole, brain.grid
    )
    found = combine(stored, stored, both)
    assert found.samples == (2, 0)
    assert found.score == 2.0 and found.score > naive_search(stored, both, 1)[0].score
    assert combine(stored, stored, tumors[1]) is None
