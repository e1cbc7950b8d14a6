"""The forecast of a generation: its counts are those of the plan's own first runs."""

import dataclasses

import pytest
from generating import in_this_process

from glioquery.dbgen import DatabaseError, ParameterSpace, Plan, Range, generate, pilot
from glioquery.dbgen.datacard import describe_database
from glioquery.dbgen.generation import FinishedShard
from glioquery.dbgen.pilot import Forecast, forecast, run_pilot
from glioquery.dbgen.study.samples import Rejection, draw_samples
from glioquery.errors import InputError
from glioquery.solver.models import FisherKolmogorovMassEffect


def test_a_pilot_is_the_first_runs_of_the_plan(tissue, small_plan):
    runs, rejections = run_pilot(tissue, small_plan, 3)
    for run, samples in enumerate(runs):
        expected = draw_samples(tissue, small_plan, run)
        assert [s.parameters for s in samples] == [s.parameters for s in expected]
    assert rejections.total() == sum(samples[0].attempt for samples in runs)


def test_a_forecast_of_few_runs_is_what_is_generated(database, small_plan):
    # Six runs make eleven tumours: the pilot simulates all of them.
    said, made = forecast(small_plan, 11, shard_size=4, n_workers=2), describe_database(database)
    assert (said.n_samples, said.n_runs, said.n_draws) == (11, made.n_runs, made.n_draws)
    assert said.acceptance == made.acceptance
    assert sum(said.rejections.values()) == made.n_draws - made.n_runs
    assert said.n_bytes == pytest.approx(made.n_bytes, rel=0.05)
    assert said.seconds == said.core_seconds / 2 > 0


def test_a_forecast_counts_the_ventricles_that_are_stored(tmp_path):
    space = {"sampler": "grid", "origin_mm": [-150, 100, 60], "dw": 0.2, "rho": 0.06, "days": [60]}
    plan = Plan(ParameterSpace.from_dict(space), model=FisherKolmogorovMassEffect())
    said = forecast(plan, store="outlines")
    with in_this_process():
        made = describe_database(generate(tmp_path / "db", plan=plan, store="outlines"))
    assert said.n_bytes == pytest.approx(made.n_bytes, rel=0.02)


def test_a_forecast_refuses_files_without_tumours(small_plan):
    with pytest.raises(InputError, match="shard_size is a number from 1 up, got 0"):
        forecast(small_plan, 3, shard_size=0)


def test_a_forecast_grows_with_the_number_of_tumours(small_plan, monkeypatch):
    monkeypatch.setattr(pilot, "N_RUNS", 6)
    few, many = (forecast(small_plan, n, store="outlines") for n in (96, 960))
    assert (few.n_runs, many.n_runs) == (48, 480)
    assert few.pilot_draws / few.pilot_runs * 48 == pytest.approx(few.n_draws, abs=1)
    assert few.n_bytes * 10 == pytest.approx(many.n_bytes, rel=0.02)
    assert 0 < few.core_seconds < many.core_seconds


def test_a_sweep_needs_no_number():
    space = ParameterSpace.from_dict(
        {"sampler": "grid", "origin_mm": [-150, 100, 60], "dw": 0.1, "rho": 0.05, "days": [20, 30]}
    )
    said = forecast(Plan(space), store="outlines")
    assert (said.n_samples, said.n_draws, said.acceptance, said.rejections) == (2, 2, 1, {})
    with pytest.raises(ValueError, match="at most 2, the points swept, got 3"):
        forecast(Plan(space), 3)
    with pytest.raises(ValueError, match="'trajectory' draws without end"):
        forecast(Plan())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"days": 50, "rho": 0.01, "dw": 0.02}, Rejection.TOO_SMALL),
        ({"days": 1000, "rho": 0.2, "dw": 1.5, "whole_ml": {"high": 6}}, Rejection.TOO_LARGE),
        (
            {"days": 55, "rho": 0.12, "dw": 1.0, "whole_ml": {"low": 0.1}, "core_min_ml": 200},
            Rejection.CORE_TOO_SMALL,
        ),
    ],
)
def test_a_space_without_tumors_says_which_limit_rejects_them(monkeypatch, values, reason):
    monkeypatch.setattr("glioquery.dbgen.study.samples.MAX_ATTEMPTS", 5)
    space = {"sampler": "uniform", "origin_mm": [-150, 100, 60], **values}
    with pytest.raises(
        ValueError, match=f"no acceptable tumour in 5 draws: in 5 {reason.value}. Widen"
    ):
        forecast(Plan(ParameterSpace.from_dict(space)), 10)


def test_shards_are_told_as_they_are_finished(ray, small_plan, database, tmp_path):
    told: list[FinishedShard] = []
    generate(tmp_path / "db", 4, plan=small_plan, shard_size=4)
    made = generate(tmp_path / "db", 11, plan=small_plan, on_shard=told.append)
    assert sorted(shard.index for shard in told) == [1, 2]
    assert told[-1].n_done == told[-1].n_samples == 11
    attempts = made.parameters.attempt.values
    for shard in told:
        rows = slice(4 * shard.index, min(4 * shard.index + 4, 11))
        assert shard.n_runs == 2
        assert shard.n_draws == sum(attempts[rows][::2] + 1)


def test_what_is_not_named_is_as_in_the_folder(small_plan, tmp_path):
    generate(tmp_path / "db", 2, plan=small_plan, store="outlines")
    made = generate(tmp_path / "db", 3)
    assert made.plan == small_plan and not made.stores_density and len(made) == 3
    assert len(generate(tmp_path / "db")) == 3


def test_a_forecast_is_plain_numbers(small_plan):
    names = {field.name for field in dataclasses.fields(Forecast)}
    assert {"acceptance", "seconds", "n_bytes", "rejections"} <= names
    wide = dataclasses.replace(small_plan, space=ParameterSpace(whole_ml=Range(5, 300)))
    assert set(dataclasses.asdict(forecast(wide, 1, store="outlines"))) == names


def test_a_forecast_refuses_a_number_of_workers_below_1(small_plan):
    for n_workers in (0, -2):
        with pytest.raises(InputError, match=f"workers is 1 or more, got {n_workers}"):
            forecast(small_plan, 3, n_workers=n_workers)


def test_a_forecast_of_the_rest_leaves_out_what_is_finished(copy, monkeypatch):
    asked = []
    monkeypatch.setattr(pilot, "forecast", lambda plan, n, **more: asked.append((n, more)))
    (copy / "shards" / "shard-00001.nc").unlink()
    files = set(copy.rglob("*"))
    assert pilot.forecast_rest(copy, 15, n_workers=2) == (4, None)
    # The last shard of eleven tumours, with three, becomes one of four.
    ((n, more),) = asked
    assert n == 11 and more == {"store": "density", "shard_size": 4, "n_workers": 2}
    for arguments, said in [
        ({"n_samples": 9}, r"is a database of 11 samples, fewer were requested \(9\)"),
        ({"n_samples": 11, "plan": Plan()}, "holds a database of another plan"),
        ({"n_samples": 11, "store": "outlines"}, "holds a database of another plan"),
    ]:
        with pytest.raises(DatabaseError, match=said):
            pilot.forecast_rest(copy, **arguments)
    assert set(copy.rglob("*")) == files


def test_a_finished_database_costs_nothing_more(database):
    n_done, rest = pilot.forecast_rest(database.path)
    assert (n_done, rest.n_samples, rest.seconds, rest.n_bytes) == (11, 0, 0, 0)
