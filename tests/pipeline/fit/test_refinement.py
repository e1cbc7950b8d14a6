"""Refinement on small brains: trajectories against the solver, residuals, descents."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glioquery.atlas import Grid
from glioquery.pipeline.fit import coordinates, descent, refinement
from glioquery.pipeline.fit.coordinates import COMMON_REACH
from glioquery.pipeline.fit.descent import Descent, Interior, _Walk, descend
from glioquery.pipeline.fit.overlap import BlurredOverlap
from glioquery.pipeline.fit.refinement import (
    N_CONFIRMED,
    NoGrowthError,
    Refined,
    Stage,
    choose_starts,
    refine,
)
from glioquery.pipeline.fit.trajectory import Target, follow, logit
from glioquery.query import dice_of_masks
from glioquery.solver import (
    Accuracy,
    GrowthParameters,
    OriginError,
    Thresholds,
    Tissue,
    TumorMasks,
    simulate,
)


@pytest.fixture(scope="module")
def brain():
    """A ball of white matter with a grey shell and a slab of CSF, 32^3 voxels of 2 mm."""
    shape = (32, 32, 32)
    x, y, z = np.indices(shape) - 15.5
    radius = np.sqrt(x**2 + y**2 + z**2)
    csf = ((radius > 15) | ((np.abs(x - 6) < 1) & (z > 2))).astype(float)
    gm = np.clip((radius - 10) / 3, 0, 1) * (1 - csf)
    wm = 1 - csf - gm
    return Tissue.from_probabilities(wm, gm, csf, Grid(shape, np.diag([2.0, 2.0, 2.0, 1.0])))


@pytest.fixture(scope="module")
def truth(brain):
    """A growth of about 30 ml, and what it leaves on a scan."""
    growth = GrowthParameters((24.3, 33.1, 27.8), 0.04, 0.01, 820.0)
    return growth, simulate(brain, growth).density


@pytest.fixture(scope="module")
def target(brain, truth):
    return Target(truth[1].outlines(), brain)


@pytest.fixture(scope="module")
def start(truth):
    return replace(truth[0], origin_mm=(29.0, 28.0, 30.0), dw=0.08)


def test_a_trajectory_passes_through_the_solvers_densities(target, brain, truth):
    growth, _ = truth
    run = follow(target, growth, Accuracy())
    volume = [np.count_nonzero(u >= 0.2) for u in run.densities]
    assert volume[0] <= 0.5 * target.n_whole and volume[-1] >= 2 * target.n_whole
    between = (np.array(run.days[:-1]) + run.days[1:]) / 2
    for days in (*run.days[1:4], *between[1:4], growth.days):
        exact = simulate(brain, replace(growth, days=float(days))).density.u[brain.box]
        found = 1 / (1 + np.exp(-run.at(days)))
        assert np.abs(found - exact).max() < 4e-3


def test_the_best_duration_of_the_true_growth_is_its_own(target, truth):
    score, days = follow(target, truth[0], Accuracy()).best(64)
    assert score > 1.995
    assert days == pytest.approx(truth[0].days, rel=2e-3)


def test_the_score_along_a_run_is_the_score_of_its_outlines(target, brain, start):
    run = follow(target, start, Accuracy())
    score, days = run.best()
    outlines = simulate(brain, replace(start, days=days)).density.outlines()
    assert sum(dice_of_masks(target.masks, outlines)) == pytest.approx(score, abs=0.02)
    for kept in run.days:
        assert target.score(run.at(kept)) <= score + 1e-12, kept


def test_a_tumor_that_never_grows_to_the_volume_has_no_trajectory(target, truth):
    assert follow(target, replace(truth[0], rho=0), Accuracy()) is None
    huge = replace(target, masks=replace(target.masks, whole=np.ones_like(target.masks.whole)))
    assert follow(huge, truth[0], Accuracy()) is None


def test_residual_counts_the_voxels_that_disagree(brain, target, truth):
    """Without a blur |r|^2 is the share of each outline that differs, but for surface voxels."""
    sharp = BlurredOverlap.of(target, 1e-3)
    own = sharp.residual(logit(truth[1].u[brain.box])[sharp.part])
    off = own.reshape(2, -1) * np.sqrt([[target.n_core], [target.n_whole]])
    assert np.abs(off).max() < 0.501  # a voxel's share and its outline lie on one side of a half
    assert float(own @ own) < 0.12  # surface voxels, each off by 1 / 12 in the mean square
    nothing = sharp.residual(logit(np.zeros(brain.box_shape, np.float32))[sharp.part])
    assert float(nothing @ nothing) == pytest.approx(2, rel=1e-4)


def test_blur_makes_distant_outlines_feel_each_other(brain):
    """Two outlines without a common voxel: only through a blur does moving nearer pay."""
    x, y, z = np.indices(brain.grid.shape)

    def ball(at):
        return ((x - at) ** 2 + (y - 16) ** 2 + (z - 14) ** 2) < 12

    def cost(blur_mm, at):
        target = Target(TumorMasks(ball(22), ball(22), brain.grid), brain)
        u = np.where(ball(at), 0.9, 1e-6).astype(np.float32)
        comparison = BlurredOverlap.of(target, blur_mm)
        r = comparison.residual(logit(u[brain.box])[comparison.part])
        return float(r @ r)

    assert cost(1e-3, 12) == pytest.approx(cost(1e-3, 14), rel=0.02)
    # Balls of variance v under a blur of s^2 are like Gaussians: |G * (A - B)|^2 rises with their
    # distance d as 1 - exp(-d^2 / (4 (s^2 + v))), here in voxels of 2 mm.
    variance = 3.0**2 + np.argwhere(ball(22))[:, 1].var()
    apart = {at: 1 - np.exp(-((22 - at) ** 2) / (4 * variance)) for at in (12, 14, 16)}
    for at in (14, 16):
        assert cost(6.0, at) / cost(6.0, 12) == pytest.approx(apart[at] / apart[12], abs=0.015)


def test_interior_keeps_points_inside_and_brings_others_near(brain):
    interior = Interior(brain)
    rng = np.random.default_rng(3)
    for point in rng.uniform(-5, 70, (40, 3)):
        found = interior.nearest(point)
        voxel = brain.nearest_voxel(found)  # raises outside the tissue
        assert brain.domain[voxel]
        distances = np.linalg.norm(brain.grid.to_world(brain.voxels) - point, axis=1)
        assert np.linalg.norm(found - point) <= distances.min() + 1e-9
    inside = np.array([30.2, 30.9, 29.7])
    np.testing.assert_allclose(interior.nearest(inside), inside, atol=1e-9)


def test_a_descent_lowers_its_cost_and_finds_the_growth(target, brain, start, truth):
    comparison = BlurredOverlap.of(target, 6.0)
    short, long = (
        descend(comparison, Interior(brain), start, accuracy=Accuracy(), n_steps=n) for n in (0, 8)
    )
    assert long.last.cost < 0.01 * short.last.cost
    assert long.best.best_score > 1.9 > short.best.best_score
    assert math.dist(long.last.nearest.origin_mm, truth[0].origin_mm) < 0.6
    assert long.last.nearest.lambda_mm == pytest.approx(truth[0].lambda_mm, rel=0.05)


@pytest.fixture(scope="module")
def refined(target, start):
    far = replace(start, origin_mm=(20.0, 40.0, 22.0))
    return refine(target, [start, far])


def test_a_descent_is_the_same_however_its_differences_are_made(target, brain, start):
    comparison, n_at_once = BlurredOverlap.of(target, 6.0), []

    def pooled(function, growths):
        n_at_once.append(len(growths))
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(function, growths))

    one, many = (
        descend(
            comparison,
            Interior(brain),
            start,
            accuracy=Accuracy.for_error(0.05),
            n_steps=2,
            mapped=mapped,
        )
        for mapped in (map, pooled)
    )
    assert n_at_once[0] == 4  # lambda and three moves of the origin
    assert one.last.nearest == many.last.nearest and one.n_runs == many.n_runs
    assert not one.last.trajectory.densities and not one.best.trajectory.densities
    np.testing.assert_array_equal(one.curvature, many.curvature)


def test_refinement_finds_origin_and_identifiable_growth(refined, truth):
    best, growth = refined.best, truth[0]
    assert best.score > 1.98
    assert math.dist(best.parameters.origin_mm, growth.origin_mm) < 0.2  # a tenth of a voxel
    assert best.parameters.lambda_mm == pytest.approx(growth.lambda_mm, rel=0.01)
    assert best.parameters.rho_t == pytest.approx(growth.rho_t, rel=0.01)
    assert best.parameters.rho == growth.rho


def test_refined_score_is_that_of_the_refined_density(refined, target, brain):
    outlines = refined.density.outlines()
    assert (refined.best.dice_core, refined.best.dice_whole) == dice_of_masks(
        target.masks, outlines
    )
    again = simulate(brain, refined.best.parameters).density
    np.testing.assert_array_equal(again.u, refined.density.u)


@pytest.mark.parametrize("limit", [1.0, 0.8])
def test_a_front_at_its_limit_or_beyond_becomes_narrower(target, start, truth, monkeypatch, limit):
    """The true lambda is 2 mm, the start's 2.8 mm, the limit as much or less."""
    for module in (coordinates, descent):
        monkeypatch.setattr(module, "LAMBDA_MM", (0.3, limit * start.lambda_mm))
    found = refine(target, [start], stages=[Stage(3.0, Accuracy.for_error(0.05), 4, 1)])
    assert found.best.parameters.lambda_mm < 2.5


@pytest.mark.parametrize("lambda_mm", [0.2, 40.0])
def test_a_front_beyond_its_limits_stays_where_only_the_origin_moves(target, start, lambda_mm):
    wide = replace(start, dw=lambda_mm**2 * start.rho)
    moved = target.coordinates.changed(wide, np.array([1.0, 2.0, 3.0]), lambda_mm)
    assert moved.lambda_mm == pytest.approx(lambda_mm) and moved.origin_mm == (1, 2, 3)
    farther = lambda_mm**2 / 3  # beyond the limit on the same side
    moved = target.coordinates.changed(wide, np.zeros(3), farther)
    assert moved.lambda_mm == pytest.approx(lambda_mm)


def test_refinement_is_the_same_whatever_the_threads(refined, target, start):
    far = replace(start, origin_mm=(20.0, 40.0, 22.0))
    alone = refine(target, [start, far], n_threads=1)
    assert alone.best == refined.best and alone.arrivals == refined.arrivals


def test_refinement_does_not_depend_on_which_of_the_raw_parameters_is_kept(target, start, refined):
    twice = refine(target, [start.scaled(2.0)])
    once = refine(target, [start])
    assert twice.best.score == once.best.score
    assert twice.best.parameters.origin_mm == once.best.parameters.origin_mm
    assert twice.best.parameters.rho_t == once.best.parameters.rho_t


def test_the_valleys_shape_is_a_covariance(refined):
    values = np.linalg.eigvalsh(refined.covariance)
    assert (values > 0).all()


@settings(max_examples=30)
@given(
    scores=st.lists(st.floats(0, 2), min_size=9, max_size=9),
    confirmed=st.lists(st.floats(0, 2), min_size=9, max_size=9),
    n_descents=st.lists(st.integers(1, 3), min_size=3, max_size=3),
    meet=st.booleans(),
    folding=st.sets(st.integers(0, 8), max_size=N_CONFIRMED - 1),
)
def test_best_and_covariance_are_of_one_descent(
    target, scores, confirmed, n_descents, meet, folding
):
    """Descents of known scores, whose curvature names their start and their stage."""
    stages = tuple(
        Stage(blur_mm, Accuracy(), 1, n) for blur_mm, n in zip((6, 3, 1.5), n_descents, strict=True)
    )
    starts = [GrowthParameters((20.0 + 10 * i, 30.0, 30.0), 0.04, 0.01, 800.0) for i in range(3)]

    def place_of(growth):  # rho is kept along a descent: it names the start
        return round(growth.rho / 0.01) - 1

    def descend(comparison, interior, start, *, accuracy, n_steps, mapped):
        stage = [s.blur_mm for s in stages].index(comparison.blur_mm)
        i = place_of(start)
        best = SimpleNamespace(
            best=replace(start, days=100.0 + stage), best_score=scores[3 * i + stage]
        )
        last = SimpleNamespace(nearest=starts[0] if meet else start, cost=1.0)
        last.nearest = replace(last.nearest, rho=start.rho, dw=4 * start.rho)
        return Descent(best, last, np.diag([i + 1.0, stage + 1.0, 0, 0, 0]), 7, 2)

    timed, tried = [], []

    def number_of(growth):
        return 3 * place_of(growth) + round(growth.days) - 100

    def time(target, growth, accuracy):
        timed.append(growth)
        return confirmed[number_of(growth)], growth

    def confirm(target, growth, accuracy):
        tried.append(growth)
        if number_of(growth) in folding:
            return None
        score = confirmed[number_of(growth)]
        return Refined(growth, score, score, 0.0), None

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(refinement, "descend", descend)
        patched.setattr(refinement, "_timed", time)
        patched.setattr(refinement, "_confirm", confirm)
        starts = [replace(s, rho=0.01 * (i + 1), dw=0.04 * (i + 1)) for i, s in enumerate(starts)]
        found = refine(target, starts, stages=stages, n_threads=1)
    precision = np.diag(np.linalg.inv(found.covariance)) - 1 / np.square(COMMON_REACH)
    i, stage = round(precision[0]) - 1, round(precision[1]) - 1
    best, onward = divmod(number_of(found.best.parameters), 3), {}
    going, behind = [0, 1, 2], {0: [], 1: [], 2: []}  # the best of those that meet goes on for all
    for k, n in enumerate(n_descents):
        ended = sorted(going[:n], key=lambda place, k=k: -scores[3 * place + k])
        onward |= {earlier: (place, k) for place in ended for earlier in behind[place]}
        behind = {place: [(place, k)] for place in ended}
        if meet:
            behind = {ended[0]: [(place, k) for place in ended]}
        going = list(behind)
    while best in onward:
        best = onward[best]
    assert (i, stage) == best
    assert found.arrivals[0][0] == found.best.parameters
    n_ended = found.n_unseeded // 2
    assert found.n_runs == 7 * n_ended + N_CONFIRMED + len(tried)
    assert len(timed) == N_CONFIRMED
    assert found.best.score == max(
        confirmed[number_of(growth)] for growth in timed if number_of(growth) not in folding
    )


def test_starts_and_runs_without_room_for_a_seed_are_counted(brain, target, truth, monkeypatch):
    """The tissue of the second start is taken for too small, and so are runs beyond x = 26 mm."""

    def follow_if_there_is_room(target, parameters, accuracy, *, until=math.inf):
        if parameters.origin_mm[0] > 26:
            raise OriginError("too small")
        return follow(target, parameters, accuracy, until=until)

    monkeypatch.setattr("glioquery.pipeline.fit.overlap.follow", follow_if_there_is_room)
    near = replace(truth[0], origin_mm=(25.5, 33.1, 27.8))
    far = replace(truth[0], origin_mm=(30.0, 33.1, 27.8))
    stage = Stage(6.0, Accuracy.for_error(0.05), 0, 2)
    found = refine(target, [near, far], stages=[stage])
    assert found.row() == {
        "runs": found.n_runs, "unseeded_runs": 1, "dropped_starts": 1, "stranded_arrivals": 0,
    }  # fmt: skip
    with pytest.raises(NoGrowthError, match="no start grows to the volume"):
        refine(target, [far], stages=[stage])


@pytest.mark.parametrize("failing_mm", [{3.0}, {1.5}, {3.0, 1.5}])
def test_what_was_found_stands_where_a_later_stage_finds_nothing(
    target, start, monkeypatch, failing_mm
):
    def descend_until_then(comparison, *arguments, **options):
        if comparison.blur_mm in failing_mm:
            return None
        return descend(comparison, *arguments, **options)

    monkeypatch.setattr(refinement, "descend", descend_until_then)
    stages = [Stage(blur_mm, Accuracy.for_error(0.05), 0, 1) for blur_mm in (6.0, 3.0, 1.5)]
    found = refine(target, [start], stages=stages)
    first = refine(target, [start], stages=stages[:1])
    assert found.best == first.best and found.arrivals == first.arrivals
    assert (found.n_stranded, found.n_dropped) == (len(failing_mm), 0)


def test_merged_voxels_show_the_way_and_judge_nothing(target, brain, start):
    """A stage on merged voxels has no say in the answer, and the next goes on from its end."""
    coarse = Accuracy.for_error(0.05)
    merged, own = Stage(8.0, coarse, 6, 1, voxel_mm=4.0), Stage(4.0, Accuracy(), 0, 1)
    found = refine(target, [start], stages=[merged, own])
    ((growth, score),) = found.arrivals
    outlines = simulate(brain, growth).density.outlines()
    assert sum(dice_of_masks(target.masks, outlines)) == pytest.approx(score, abs=0.02)
    at_once = refine(target, [start], stages=[own])
    assert found.best.score > 1.8 > at_once.best.score
    assert found.n_runs > at_once.n_runs


@pytest.mark.parametrize("failing", ["on merged voxels", "after merged voxels"])
def test_without_a_way_over_merged_voxels_the_own_ones_are_gone_through(
    target, start, monkeypatch, failing
):
    went = []

    def descend_elsewhere(comparison, interior, growth, **options):
        is_merged = comparison.target is not target
        went.append(is_merged)
        fails = is_merged if failing == "on merged voxels" else went[0] and len(went) == 2
        return None if fails else descend(comparison, interior, growth, **options)

    monkeypatch.setattr(refinement, "descend", descend_elsewhere)
    stages = [Stage(b, Accuracy.for_error(0.05), 1, 1, voxel_mm=v) for b, v in ((8, 4), (4, 0))]
    found = refine(target, [start], stages=stages)
    monkeypatch.undo()
    own = refine(target, [start], stages=[replace(stage, voxel_mm=0.0) for stage in stages])
    assert went[0] and found.best == own.best and found.row() == own.row()


def test_another_fault_of_a_run_is_not_taken_for_want_of_room(target, start, monkeypatch):
    def fails(*arguments, **options):
        raise ValueError("a bug")

    monkeypatch.setattr("glioquery.pipeline.fit.overlap.follow", fails)
    with pytest.raises(ValueError, match="a bug"):
        refine(target, [start])


def test_a_tumor_without_core_is_refined_by_its_whole_outline(brain, truth, start):
    masks = truth[1].outlines()
    coreless = TumorMasks(np.zeros_like(masks.core), masks.whole, masks.grid)
    found = refine(Target(coreless, brain), [start])
    assert found.best.dice_core == 0 and found.best.dice_whole > 0.97


def test_outlines_in_no_tissue_are_refused(brain):
    none = np.zeros(brain.grid.shape, bool)
    with pytest.raises(ValueError, match="no tissue lies in the whole outline"):
        Target(TumorMasks(none, none, brain.grid), brain)
    corner = none.copy()
    corner[0, 0, 0] = True
    with pytest.raises(ValueError, match="no tissue"):
        Target(TumorMasks(none, corner, brain.grid), brain)
    other = Grid((4, 4, 4), np.eye(4))
    few = np.ones((4, 4, 4), bool)
    with pytest.raises(ValueError, match="the tissue to grow into needs"):
        Target(TumorMasks(few, few, other), brain)


def test_what_is_not_merged_is_gone_through_once(brain, start, monkeypatch):
    ball = np.linalg.norm(np.indices(brain.grid.shape).T - 15.0, axis=-1).T < 3
    began = []
    monkeypatch.setattr(refinement, "descend", lambda *a, **k: began.append(a))
    with pytest.raises(NoGrowthError, match="no start grows to the volume"):
        refine(Target(TumorMasks(ball, ball, brain.grid), brain), [start])
    assert len(began) == 1


def test_starts_that_cannot_grow_are_said_so(target, start):
    with pytest.raises(ValueError, match="no start grows"):
        refine(target, [replace(start, rho=0)])


def test_starts_are_the_first_of_each_kind(start):
    near = replace(start, origin_mm=(29.5, 28.0, 30.0))
    wide = replace(start, dw=start.dw * 4)
    far = replace(start, origin_mm=(40.0, 28.0, 30.0))
    assert choose_starts([start, near, wide, far]) == [start, wide, far]
    assert choose_starts([start, near, wide, far], 2) == [start, wide]


def test_thresholds_move_the_growth_that_fits(brain, truth):
    """Outlines drawn at other thresholds are met by the same growth, once these are told."""
    levels = Thresholds(core=0.7, whole=0.35)
    masks = truth[1].outlines(levels)
    found = refine(Target(masks, brain, thresholds=levels), [truth[0]])
    assert found.best.score > 1.97
    assert found.best.parameters.rho_t == pytest.approx(truth[0].rho_t, rel=0.03)


def test_a_descent_from_where_nothing_is_seen_ends_there(target, brain, start, monkeypatch):
    """Too far away, no change of the growth changes the residual."""
    monkeypatch.setattr(_Walk, "_jacobian", lambda self, place: np.zeros((len(place.residual), 5)))
    comparison = BlurredOverlap.of(target, 6.0)
    found = descend(comparison, Interior(brain), start, accuracy=Accuracy(), n_steps=3)
    assert found.n_runs == 1 and not found.curvature.any()
    assert found.best.best.origin_mm == start.origin_mm
