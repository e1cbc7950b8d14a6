"""Parameters of a model's own in the fit: directions, choices, what outlines do not determine."""

import math
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from generating import make_indexed
from three_of_its_own import Shedding

from glioquery.atlas import Grid
from glioquery.dbgen import Plan, Range
from glioquery.dbgen.study.values import Choices
from glioquery.errors import InputError
from glioquery.pipeline.fit import trajectory
from glioquery.pipeline.fit.answer import find_answer
from glioquery.pipeline.fit.coordinates import Coordinates, Free, free_parameters
from glioquery.pipeline.fit.descent import Interior, _Walk
from glioquery.pipeline.fit.matches import rank_matches
from glioquery.pipeline.fit.overlap import BlurredOverlap
from glioquery.pipeline.fit.refinement import STAGES, NoGrowthError, Stage, refine
from glioquery.pipeline.fit.trajectory import Target
from glioquery.pipeline.report.report import _parameters
from glioquery.pipeline.uncertainty import members
from glioquery.pipeline.uncertainty.assessment import assess
from glioquery.pipeline.uncertainty.ensemble import of_refinement
from glioquery.pipeline.uncertainty.interval_factors import QUANTITIES, Reach
from glioquery.pipeline.uncertainty.intervals import Interval, find_intervals, tell_fitted
from glioquery.pipeline.uncertainty.members import Member, draw_members
from glioquery.query import Index, outlines_of, search
from glioquery.solver import (
    Accuracy,
    FisherKolmogorov,
    GrowthParameters,
    Status,
    Tissue,
    simulate,
)
from glioquery.solver.declarations import own_parameters
from glioquery.solver.models import register_model

(RATIO,) = own_parameters(FisherKolmogorov)
FREE = Free(RATIO, 2.0, 50.0)
COARSE = Accuracy.for_error(0.05)
ONE_STEP = (Stage(6.0, COARSE, 1, 1),)


@dataclass(frozen=True)
class AsItIs(FisherKolmogorov):
    """A model that states no symmetry."""

    symmetry: ClassVar = {}


def brain_of(grey):
    """A ball with a share of grey matter in one half, 24^3 voxels of 2 mm."""
    shape = (24, 24, 24)
    x, y, z = np.indices(shape) - 11.5
    csf = (np.sqrt(x**2 + y**2 + z**2) > 11).astype(float)
    gm = np.where(x > 0, grey, 0.0) * (1 - csf)
    return Tissue.from_probabilities(
        1 - csf - gm, gm, csf, Grid(shape, np.diag([2.0, 2.0, 2.0, 1.0]))
    )


def target_of(tissue, growth, free=(FREE,), model=None):
    model = model or FisherKolmogorov()
    masks = simulate(tissue, growth, model=model).density.outlines()
    return Target(masks, tissue, model, free=free)


GROWTH = GrowthParameters((23.0, 22.0, 24.0), 0.05, 0.02, 520.0, {"ratio": 4.0})


def test_a_growth_moves_in_all_directions_and_back():
    coordinates = Coordinates(FisherKolmogorov(), (FREE,))
    plain = replace(GROWTH, own={})  # the model's ratio, 10
    moved = coordinates.changed(plain, np.array([1.0, 2, 3]), 2.0, [math.log(2)])
    assert moved.own == {"ratio": pytest.approx(20)} and moved.rho == plain.rho
    way = coordinates.between(plain, moved)
    np.testing.assert_allclose(
        way, [-22, -20, -21, math.log(2 / plain.lambda_mm), 0, math.log(2)], atol=1e-12
    )
    far = coordinates.changed(plain, np.array(plain.origin_mm), 2.0, [9.0])
    assert far.own == {"ratio": 50}  # the end of its range


@pytest.mark.parametrize("ratio", [1.5, 60.0])
def test_a_value_beyond_its_range_stays_where_nothing_moves_it(ratio):
    coordinates = Coordinates(FisherKolmogorov(ratio=ratio), (FREE,))
    plain = replace(GROWTH, own={})
    still = coordinates.changed(plain, np.array(plain.origin_mm), 2.0)
    assert still.own == {"ratio": pytest.approx(ratio)}
    tissue = brain_of(0.9)
    target = target_of(tissue, GROWTH)
    walk = _Walk(BlurredOverlap.of(target, 4.0), Interior(tissue), COARSE, map)
    beyond = replace(GROWTH, own={"ratio": ratio})
    step = walk._step_of(beyond, 0)
    assert (step > 0) == (ratio < FREE.high)
    inward = target.coordinates.changed(beyond, np.zeros(3), 2.0, [step])
    assert target.coordinates.between(beyond, inward)[5] == pytest.approx(step)


def test_only_what_is_asked_of_a_run_changes_it_at_a_value_beyond_its_range():
    """The derivatives by the origin and lambda do not hang on the range of another parameter."""
    tissue = brain_of(0.9)
    growth = replace(GROWTH, own={"ratio": 1.5})
    target = target_of(tissue, growth)
    start = replace(growth, origin_mm=(24.5, 22.0, 24.0))
    found = []
    for low in (1.0, 2.0):
        seen = replace(target, free=(replace(FREE, low=low),))
        walk = _Walk(BlurredOverlap.of(seen, 4.0), Interior(tissue), COARSE, map)
        place = walk._place(walk._run(start), start.days)
        found.append(walk._jacobian(place)[:, :5])
    np.testing.assert_array_equal(*found)


def test_a_rate_moves_where_no_symmetry_makes_up_for_it():
    coordinates = Coordinates(AsItIs())
    assert [one.name for one in coordinates.more] == ["rho"] and len(coordinates) == 6
    moved = coordinates.changed(GROWTH, np.array(GROWTH.origin_mm), GROWTH.lambda_mm, [0.02])
    assert moved.rho == pytest.approx(0.04) and moved.rho_t == pytest.approx(GROWTH.rho_t)
    assert len(Coordinates(FisherKolmogorov())) == 5


def test_a_refinement_finds_the_ratio_that_the_outlines_tell():
    tissue = brain_of(0.9)
    target = target_of(tissue, GROWTH)
    start = replace(GROWTH, origin_mm=(25.0, 23.0, 23.0), own={})
    found = refine(target, [start], stages=STAGES[1:])
    assert found.best.score > 1.99
    assert found.best.parameters.own["ratio"] == pytest.approx(4, rel=0.05)
    assert found.covariance.shape == (6, 6)
    told = of_refinement(target, found, Reach(None, "Calibrate it."))
    assert told.row()["fitted"]["ratio"] == {
        "low": 2, "high": 50, "is_determined": True, "choices": (),
    }  # fmt: skip
    assert told.intervals is None


def test_a_parameter_that_the_outlines_do_not_determine_has_its_range():
    target = target_of(brain_of(0.0), GROWTH)  # no grey matter at all
    found = refine(target, [replace(GROWTH, own={})], stages=STAGES[1:2])
    factors = dict.fromkeys((*QUANTITIES, "ratio"), 1.0)
    told = of_refinement(target, found, Reach(factors, "Twenty tumours."))
    assert told.intervals["ratio"] == Interval(2, 50) and not told.fitted["ratio"].is_determined
    assert told.intervals["lambda_mm"].high < 3


def test_near_an_end_of_its_range_an_interval_keeps_its_centre():
    growths = [replace(GROWTH, own={"ratio": ratio}) for ratio in (45.0, 50.0, 50.0, 30.0, 20.0)]
    some = [Member(growth, 1.99) for growth in growths]
    factors = dict.fromkeys((*QUANTITIES, "ratio"), 0.2)
    coordinates = Coordinates(FisherKolmogorov(), (FREE,))
    interval = find_intervals(some, "refinement", factors, coordinates)["ratio"]
    assert 35 < interval.low < 45 < interval.high < 50
    assert math.sqrt(interval.low * interval.high) == pytest.approx(45)
    beyond = [Member(replace(GROWTH, own={"ratio": 60.0}), 1.99)]
    interval = find_intervals(beyond, "refinement", factors, coordinates)["ratio"]
    assert 2 < interval.low < interval.high == pytest.approx(60)


@pytest.mark.parametrize("status", [Status.FOLDED, Status.NOT_FINITE])
def test_a_growth_that_is_no_solution_is_no_refinement_and_no_member(monkeypatch, status):
    target = target_of(brain_of(0.0), GROWTH, free=())
    found = refine(target, [GROWTH], stages=ONE_STEP)
    failed = partial(replace, status=status)
    monkeypatch.setattr(trajectory, "simulate", lambda *p, **more: failed(simulate(*p, **more)))
    monkeypatch.setattr(members, "N_DRAWS", 2)
    drawn = draw_members(target, found)
    assert len(drawn.members) == 1 and drawn.n_dropped == 2
    with pytest.raises(NoGrowthError, match="the tissue folds"):
        refine(target, [GROWTH], stages=ONE_STEP)


def test_each_choice_is_tried_from_each_start():
    _, _, crowding = own_parameters(Shedding)
    free = Free(crowding, 1, 2, (1.0, 2.0))
    model = Shedding()
    tissue = brain_of(0.5)
    growth = replace(GROWTH, own={"ratio": 8.0, "death": 1e-3, "crowding": 2.0})
    target = target_of(tissue, growth, (free,), model)
    starts = [replace(growth, own={**growth.own, "crowding": 1.0})]
    found = refine(target, starts, stages=STAGES[1:2])
    assert {g.own["crowding"] for g, _ in found.arrivals} == {1.0, 2.0}
    told = tell_fitted(draw_members(target, found).members, "refinement", None, target.coordinates)
    assert told["crowding"].choices == (1.0, 2.0)


@pytest.fixture(scope="module")
def shed(tmp_path_factory):
    """Some tumours of a user's model, and their index."""
    register_model(Shedding)
    values = {"whole_ml": {"low": 5, "high": 15}, "snapshots_per_run": 2, "core_min_ml": 0.1}
    plan = Plan.of_values(values, model=Shedding(), seed=7)
    return make_indexed(tmp_path_factory.mktemp("shed") / "db", 4, plan, store="outlines")


def test_what_a_study_varies_is_fitted(shed):
    free = free_parameters(shed)
    assert [(one.name, one.low, one.high, one.choices) for one in free] == [
        ("ratio", 4, 16, ()), ("crowding", 1, 2, (1.0, 2.0)),
    ]  # fmt: skip
    with pytest.raises(InputError, match="'speed': choose one of ratio, death"):
        free_parameters(shed, ["speed"])
    with pytest.raises(InputError, match="fit: the range of death is unknown"):
        free_parameters(shed, ["death"])


def merged(*parts):
    """What `free_parameters` reads of a database of parts: each one's model and what it varies."""
    told = [
        SimpleNamespace(space=SimpleNamespace(own=own), plan=SimpleNamespace(model=model))
        for model, own in parts
    ]
    return SimpleNamespace(model=parts[0][0], parts=told)


def test_of_a_merged_database_the_parts_that_vary_nothing_count(tmp_path):
    """A part whose study does not name a parameter holds tumours of its model's own value."""
    kept = (Shedding(ratio=40.0, crowding=1.0, death=0.0), {})
    other = {"ratio": Range(2, 5), "crowding": Choices((2.0,)), "death": Range(1e-4, 1e-2)}
    for parts in ((kept, (Shedding(), other)), ((Shedding(), other), kept)):
        free = {one.name: one for one in free_parameters(merged(*parts))}
        assert (free["ratio"].low, free["ratio"].high) == (2, 40)
        assert free["crowding"].choices == (1.0, 2.0)
        assert (free["death"].low, free["death"].high) == (0, 1e-2)
    # Two models of different values alone vary nothing, but the range holds both.
    two = merged((Shedding(ratio=40.0), {}), (Shedding(ratio=1.5), {}))
    assert free_parameters(two) == ()
    (ratio,) = free_parameters(two, ["ratio"])
    assert ratio.low <= 1.5 and ratio.high >= 40


def test_the_range_of_a_parameter_that_no_study_varies_holds_the_models_value(tmp_path):
    values = {"whole_ml": {"low": 5, "high": 15}, "snapshots_per_run": 2, "core_min_ml": 0.1}
    plan = Plan.of_values(values, model=FisherKolmogorov(ratio=1.5), seed=7)
    database = make_indexed(tmp_path / "db", 2, plan, store="outlines")
    (free,) = free_parameters(database, ["ratio"])
    assert (free.low, free.high) == (1.5, 50.0)


def test_a_users_model_is_found_refined_and_told_with_its_names(shed):
    index = Index.open(outlines_of(shed).path)
    masks = shed.outlines(2)
    found = search(index, masks, k=4)
    assert found[0].sample == 2
    ranked = rank_matches(shed, found)
    row = ranked[0].row()
    assert {"ratio", "death", "crowding", "net_t", "lambda_mm"} <= set(row)
    findings = find_answer(shed, index, masks, ranked, refined=False, thresholds_fitted=False)
    told = assess(shed, findings)
    assert set(told.row()["fitted"]) == {"ratio", "crowding"}
    rows = _parameters(findings.answer.row()["growths"], findings.answer.declared)
    known = {label: (unit, told) for label, _, unit, told in rows}
    assert known["cells that die μ"] == ("1/day", "not identifiable from one scan")
    assert known["white over grey ratio"] == ("no unit", "identifiable")
    assert known["net e-foldings νT"] == ("no unit", "identifiable")
