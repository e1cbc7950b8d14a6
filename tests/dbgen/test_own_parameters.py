"""Parameters that a model declares: drawn, simulated, stored, read and merged by what it says."""

import dataclasses
import hashlib
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import netCDF4
import numpy as np
import pytest
from command_line import run
from generating import in_this_process
from three_of_its_own import Shedding

from glioquery.dbgen import (
    DatabaseError,
    ParameterSpace,
    Plan,
    Range,
    generate,
    merge,
    verify,
)
from glioquery.dbgen.datacard import describe_database
from glioquery.dbgen.machine.files import sha256_of, write_json
from glioquery.dbgen.request import number_of_samples
from glioquery.dbgen.store import embedded_database
from glioquery.dbgen.store.shard import VARIABLES, udunits
from glioquery.dbgen.study.samples import _into_ranges, draw_samples
from glioquery.dbgen.study.sampling import draw_run
from glioquery.dbgen.study.table import RunTable
from glioquery.dbgen.study.values import Choices
from glioquery.dbgen.verification import LARGE
from glioquery.errors import InputError
from glioquery.solver import TIME_SCALING, FisherKolmogorov, GrowthParameters, simulate
from glioquery.solver.declarations import COMMON, Combination, own_parameters, parameter
from glioquery.solver.models import find_model, register_model

ORIGIN = [-150.0, 100.0, 60.0]
SIZES = {"whole_ml": {"low": 5, "high": 15}}
SWEEP = {"sampler": "grid", "origin_mm": ORIGIN, "dw": 0.2, "rho": 0.06, "days": 120}


def plan_of(values, model=None):
    return Plan.of_values(values, model=model or FisherKolmogorov(), seed=7)


def made(folder, plan, n=None):
    with in_this_process():
        return generate(folder, n, plan=plan, store="outlines", shard_size=4)


OFFSETS = {"offset_x_mm", "offset_y_mm", "offset_z_mm"}


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("fisher-kolmogorov-mass-effect", {"swelling"}),
        ("fisher-kolmogorov-two-foci", OFFSETS | {"delay"}),
        ("fisher-kolmogorov-tensor", set()),
        ("proliferative-necrotic", set()),
    ],
)
def test_a_study_draws_what_makes_a_model_s_shape_and_takes_the_rest_as_it_is(name, drawn):
    model = find_model(name)
    assert set(plan_of({}, model).space.own) == drawn
    given = {p.name: getattr(model, p.name) for p in own_parameters(model)}
    assert all(values.is_fixed for values in plan_of(given, model).space.own.values())


@pytest.mark.parametrize("sampler", ["trajectory", "identifiable", "uniform", "sobol"])
def test_what_is_drawn_besides_changes_no_other_draw(tissue, sampler):
    plain = ParameterSpace.from_dict({"sampler": sampler})
    ours = plan_of({"sampler": sampler, "ratio": {"low": 5, "high": 20}}).space
    assert ours.own == {"ratio": Range(5, 20, "log-uniform")}
    ratios = []
    for number in range(5):
        a, b = (draw_run(tissue, s, 7, number, 0).parameters for s in (plain, ours))
        if sampler != "sobol":  # a point of another sequence
            assert dataclasses.replace(b, own={}) == a
        ratios.append(b.own["ratio"])
    assert len(set(ratios)) == 5 and min(ratios) >= 5 and max(ratios) <= 20


def test_a_latin_hypercube_has_one_value_in_each_part_of_each_range(tissue):
    n = 16
    plan = plan_of({"sampler": "latin-hypercube", "points": n, "ratio": {"low": 4, "high": 20}})
    assert plan.space.n_points == n
    drawn = [draw_run(tissue, plan.space, 3, i, 0).parameters.values() for i in range(n)]
    for name in ("dw", "rho", "days", "ratio"):
        values = plan.space.values()[name]
        ends = [values.at(i / n) for i in range(n + 1)]
        counts, _ = np.histogram([growth[name] for growth in drawn], ends)
        assert (counts == 1).all()


def test_each_run_is_grown_with_its_own_value(tissue):
    growth = GrowthParameters(tuple(ORIGIN), 0.2, 0.06, 100)
    for ratio in (3.0, 30.0):
        ours = simulate(tissue, dataclasses.replace(growth, own={"ratio": ratio})).final.u
        theirs = simulate(tissue, growth, model=FisherKolmogorov(ratio=ratio)).final.u
        np.testing.assert_array_equal(ours, theirs)


def test_a_sweep_of_an_own_parameter_is_stored_read_and_verified(tmp_path):
    plan = plan_of(SWEEP | {"ratio": [5, 10, 20]})
    database = made(tmp_path / "db", plan)
    assert database.header["schema_version"] == 3 and database.plan == plan
    ratio = database.parameters.ratio
    assert ratio.values.tolist() == [5, 10, 20]
    assert ratio.attrs == {"units": "1", "long_name": "white over grey diffusivity"}
    assert database.select(ratio=slice(8, None)).tolist() == [1, 2]
    assert database.growth_parameters(2).own == {"ratio": 20.0}
    assert database.density(2).u.any()  # simulated again, with its own ratio
    assert verify(tmp_path / "db") == []
    assert describe_database(database).stored["ratio"] == (5, 10, 20)
    card = (tmp_path / "db" / "DATACARD.md").read_text()
    assert "| ratio | 1 | 5, 10, 20 | list | 5 | 10 | 20 |" in card


def test_the_embedded_database_is_that_of_today_s_plan(tmp_path):
    old = embedded_database()
    assert old.header["schema_version"] == 2 and "ratio" not in old.parameters
    new = made(tmp_path / "db", Plan(), 4)
    for name in VARIABLES:
        np.testing.assert_array_equal(new.parameters[name], old.parameters[name][:4])
    for ours, theirs in zip(new.packed_outlines(0, 4), old.packed_outlines(0, 4), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (new.parameters.ratio == 10).all()


def test_a_model_of_a_user_brings_its_parameters(tmp_path):
    register_model(Shedding)
    plan = plan_of({"snapshots_per_run": 2, **SIZES, "death": 0.002}, Shedding())
    assert plan.space.own == {
        "ratio": Range(4, 16), "death": Range(0.002, 0.002), "crowding": Choices((1.0, 2.0)),
    }  # fmt: skip
    database = made(tmp_path / "db", plan, 4)
    values = database.parameters
    assert values.death.attrs == {"units": "day-1", "long_name": "cells that die"}
    np.testing.assert_allclose(values.net_t, (values.rho - values.death) * values.days)
    assert verify(tmp_path / "db") == []
    text = (tmp_path / "db" / "DATACARD.md").read_text()
    assert "net_t = (rho - death) * days" in text and "rho, days and death are not" in " ".join(
        text.split()
    )


def test_a_model_without_symmetry_is_stored_as_it_grew():
    @dataclasses.dataclass(frozen=True)
    class AsItIs(FisherKolmogorov):
        symmetry: ClassVar = {}

    growth = GrowthParameters(tuple(ORIGIN), 0.4, 0.1, 110)
    asked = {"days": {"low": 200, "high": 400}}
    assert _into_ranges(growth, plan_of(asked)) == growth.scaled(0.5)
    assert _into_ranges(growth, plan_of(asked, AsItIs())) is None
    shedding = dataclasses.replace(growth, own={"ratio": 8.0, "death": 0.004, "crowding": 1.0})
    scaled = _into_ranges(
        shedding, plan_of(asked | {"death": {"low": 0.001, "high": 1}}, Shedding())
    )
    assert scaled.own == {"ratio": 8.0, "death": 0.002, "crowding": 1.0} and scaled.days == 220


def test_conditions_hold_for_all_that_is_kept(tissue):
    plan = plan_of({"where": ["dw / rho < 9", "rho_t > 3"], **SIZES})
    for number in range(3):
        for sample in draw_samples(tissue, plan, number):
            assert sample.parameters.lambda_mm < 3 and sample.parameters.rho_t > 3


CSV = "origin_x_mm,origin_y_mm,origin_z_mm,dw,rho,days"


def test_a_table_of_runs_is_a_database(tmp_path):
    (tmp_path / "runs.csv").write_text(
        f"{CSV},ratio\n-150,100,60,0.2,0.06,100,5\n-150,100,60,0.2,0.06,100,20\n"
    )
    (tmp_path / "study.toml").write_text('table = "runs.csv"\n')
    plan = Plan.from_toml(tmp_path / "study.toml")
    database = made(tmp_path / "db", plan)
    assert len(database) == 2 and database.parameters.ratio.values.tolist() == [5, 20]
    assert isinstance(database.plan.space.table, RunTable) and database.plan == plan
    assert verify(tmp_path / "db") == []
    assert "rows" in json.loads(database.to_xarray().glioquery_database)["plan"]["space"]["table"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dw,rho,days\n1,1,1\n", "no column origin_x_mm, origin_y_mm, origin_z_mm"),
        (f"{CSV},speed\n0,0,0,1,1,1,1\n", "unknown column 'speed': choose one of .*, ratio"),
        (f"{CSV}\n0,0,0,1,nan,1\n", "row 1: rho .*, got nan"),
        (f"{CSV}\n0,0,0,1,1,1\n0,0,0,1,1,fast\n", "row 2: days .*, got 'fast'"),
        (f"{CSV},ratio\n0,0,0,1,1,1,0.5\n", "row 1: ratio .* >= 1, got 0.5"),
        (f"{CSV}\n0,0,0,1,1\n", "row 1: 6 values are expected, got 5"),
        (f"{CSV}\n", "at least one row"),
        ("", "no column"),
    ],
)
def test_a_table_that_is_none_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as refused:
        plan_of({"table": path})
    assert str(refused.value).startswith(str(path)) and "\n" not in str(refused.value)


def test_parquet_is_read_where_pyarrow_is(tmp_path, monkeypatch):
    path = tmp_path / "runs.parquet"
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"runs\.parquet: .* pip install pyarrow, or .* as CSV"):
        plan_of({"table": path})
    columns = dict(zip(CSV.split(","), (*ORIGIN, 0.2, 0.06, 100.0), strict=True))
    table = SimpleNamespace(
        column_names=list(columns),
        columns=[SimpleNamespace(to_pylist=lambda v=v: [v]) for v in columns.values()],
    )
    arrow = SimpleNamespace(ArrowException=RuntimeError)
    monkeypatch.setitem(sys.modules, "pyarrow", arrow)
    monkeypatch.setitem(
        sys.modules, "pyarrow.parquet", SimpleNamespace(read_table=lambda path: table)
    )
    assert plan_of({"table": path}).space.table.growth(0).dw == 0.2


def test_the_sweep_of_the_page_is_made_and_plotted(tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "write-a-study.md").read_text("utf-8")
    study, script = (page.split(f"```{kind}\n")[1].split("```")[0] for kind in ("toml", "python"))
    (tmp_path / "study.toml").write_text(study)
    database = made(tmp_path / "DB", Plan.from_toml(tmp_path / "study.toml"))
    assert len(database) == 18
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    exec(script, {})
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"raito": 3}, "unknown parameter 'raito': choose one of dw, .*ratio"),
        ({"ratio": 0.5}, "ratio .* >= 1, got 0.5"),
        ({"ratio": "ten"}, "ratio: expected a number, got 'ten'"),
        ({"ratio": float("nan")}, "ratio: a range has finite ends"),
        ({"ratio": {"low": 60}}, "ratio: a range has finite ends with low <= high, got 60 to 50"),
        ({"where": "speed < 3"}, "where, 'speed < 3': unknown parameter 'speed': .*rho_t"),
        ({"where": "dw / rho"}, "where: a condition is expected"),
        ({"where": "dw <"}, "the formula 'dw <' cannot be read"),
        ({"where": "__import__('os').getcwd() < 3"}, "has no place|may call|no number"),
        ({"where": "dw.real < 3"}, "attribute has no place"),
        ({"points": 10}, "points: .* 'latin-hypercube', and for it alone, got 10"),
        ({"sampler": "latin-hypercube"}, "points: .*, got None"),
        ({"sampler": "table"}, "the sampler 'table' takes the rows of a table"),
        (SWEEP | {"where": "dw < 0.1"}, "does not hold at point 0 of the sweep .dw = 0.2."),
        (SWEEP | {"ratio": {"low": 2, "high": 3}}, "ratio: the sampler 'grid' takes one value"),
    ],
)  # fmt: skip
def test_what_no_study_can_mean_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        plan_of(values)


@pytest.mark.parametrize(
    "name",
    sorted(
        {"sample", "model", "treatment", "x", "y", "z", *LARGE, *VARIABLES}
        | {field.name for field in dataclasses.fields(ParameterSpace)}
        | {one.name for one in COMMON}
    ),
)
def test_no_model_takes_a_name_of_a_study_or_a_database(name):
    own = dataclasses.make_dataclass(
        "Own", [(name, float, parameter(1.0, "a rate"))], bases=(FisherKolmogorov,), frozen=True
    )
    for make in (lambda: Plan(model=own()), lambda: plan_of({name: 2.0}, own())):
        with pytest.raises(InputError, match=f"declares '{name}', a name that is taken already"):
            make()


def test_a_parameter_is_given_once(tmp_path):
    (tmp_path / "study.toml").write_text(
        "ratio = 5\n[model]\nname = 'fisher-kolmogorov'\nratio = 5\n"
    )
    with pytest.raises(InputError, match=r"ratio is given as a setting .* give it once"):
        Plan.from_toml(tmp_path / "study.toml")


def test_databases_of_other_settings_are_merged(tmp_path):
    parts = [
        made(tmp_path / str(ratio), plan_of(SWEEP, FisherKolmogorov(ratio=ratio))).path
        for ratio in (5.0, 20.0)
    ]
    told = []
    merged = merge(tmp_path / "merged", parts, tell=told.append)
    assert merged.parameters.ratio.values.tolist() == [5, 20]
    assert [part.plan.model.ratio for part in merged.parts] == [5, 20]
    assert verify(tmp_path / "merged") == [] and "ratio = 5.0, 20.0" in told[0]
    other = made(tmp_path / "mean", plan_of(SWEEP, FisherKolmogorov(face_mean="arithmetic")))
    with pytest.raises(DatabaseError, match="cannot be merged: model is"):
        merge(tmp_path / "none", [parts[0], other.path])


def test_a_database_of_schema_2_is_merged_into_one_of_schema_3(tmp_path):
    new = made(tmp_path / "new", plan_of({"ratio": 20, "where": "rho_t > 0"}), 4)
    old = embedded_database()
    before = hashlib.sha256((old.path / "database.json").read_bytes()).hexdigest()
    merged = merge(tmp_path / "merged", [old.path, new.path])
    assert merged.header["schema_version"] == 3
    assert set(merged.parameters.ratio.values[: len(old)]) == {10.0}
    assert (merged.parameters.ratio.values[len(old) :] == 20).all()
    assert hashlib.sha256((old.path / "database.json").read_bytes()).hexdigest() == before


def as_schema_2(database, settings):
    """Rewrite a database as one of before models declared parameters."""
    header = json.loads((database.path / "database.json").read_text())
    names = [one["name"] for one in header.pop("parameters")["own"]]
    header["schema_version"] = 2
    header["plan"]["model"]["settings"] = settings
    write_json(database.path / "database.json", header)
    for shard in database.shards:
        with netCDF4.Dataset(shard.path, "a") as file:
            for name in names:
                file.renameVariable(name, f"no_{name}")
        record = vars(shard.record) | {
            "sha256": sha256_of(shard.path),
            "bytes": shard.path.stat().st_size,
            "table_sha256": "",
        }
        write_json(shard.path.with_suffix(".json"), record)
    return database.path


def test_databases_of_schema_2_get_the_parameters_that_their_model_has_gained_since(tmp_path):
    settings = {"face_mean": FisherKolmogorov().face_mean}
    five = made(tmp_path / "five", plan_of(SWEEP, FisherKolmogorov(ratio=5.0)))
    ten = made(tmp_path / "ten", plan_of(SWEEP))
    # The second is older than the parameter: today's model has its default there.
    parts = [as_schema_2(five, settings | {"ratio": 5.0}), as_schema_2(ten, settings)]
    merged = merge(tmp_path / "merged", parts)
    assert merged.parameters.ratio.values.tolist() == [5, 10]
    assert [part["model"]["settings"]["ratio"] for part in merged.header["parts"]] == [5, 10]
    assert verify(merged.path) == []
    assert "ratio = 5.0; 10.0" in (merged.path / "DATACARD.md").read_text()
    facts = describe_database(merged)
    assert facts.model["settings"] == settings
    assert [part.settings["ratio"] for part in facts.parts] == [5, 10]


def test_one_sweep_is_not_merged_twice_whatever_its_seed(tmp_path):
    one = made(tmp_path / "one", plan_of(SWEEP))
    shutil.copytree(one.path, tmp_path / "two")
    header = json.loads((one.path / "database.json").read_text())
    header["plan"]["seed"] = 8
    write_json(tmp_path / "two" / "database.json", header)
    with pytest.raises(DatabaseError, match="1 of the 1 tumours of the second"):
        merge(tmp_path / "merged", [one.path, tmp_path / "two"])


@pytest.mark.parametrize("given", [{"origin_mm": ORIGIN}, {"origin_x_mm": 3.0}, {"days": 100}])
def test_a_table_of_runs_says_all_of_each_run(tmp_path, given):
    (tmp_path / "runs.csv").write_text(f"{CSV}\n-150,100,60,0.2,0.06,100\n")
    (name,) = given
    with pytest.raises(InputError, match=f"{name} is given beside the table of runs"):
        plan_of({"table": tmp_path / "runs.csv"} | given)


def test_further_tumours_than_a_design_has_points_are_drawn_from_its_space(tissue):
    space = ParameterSpace(
        sampler="latin-hypercube", points=2, dw=Range(0.1, 0.2), snapshots_per_run=1
    )
    plan = Plan(space, seed=3).drawn_anew(4)
    assert plan.seed == 4 and plan.space.n_points is None
    drawn = draw_run(tissue, plan.space, plan.seed, 2, 0).parameters
    assert 0.1 <= drawn.dw <= 0.2
    with pytest.raises(InputError, match="n_samples is at most 2, the points of the design, got 3"):
        number_of_samples(3, space)
    trajectory = Plan(seed=3)
    assert trajectory.drawn_anew(3) == trajectory


def test_units_are_written_as_netcdf_has_them():
    units = ("mm^2/day", "1/day", "days", "", "mm", "1/mm^2", "mm/day^2", "birthdays", "1/mm^3/day")
    written = ["mm2 day-1", "day-1", "day", "1", "mm"]
    written += ["mm-2", "mm day-2", "birthdays", "mm-3 day-1"]
    assert [udunits(unit) for unit in units] == written


@dataclasses.dataclass(frozen=True)
class Dying(FisherKolmogorov):
    """A parameter that scales with the others, and is not drawn unless a study names it."""

    death: float = parameter(1e-3, "rate of death", unit="1/day", bounds=(0, 2e-3))
    name: ClassVar[str] = "dying"
    symmetry: ClassVar = {**TIME_SCALING, "death": 1}


@pytest.mark.parametrize("value", [1e-3, 5e-4])
def test_a_parameter_that_is_not_drawn_keeps_the_models_value(value):
    space = ParameterSpace(days=Range(50, 150))
    growth = GrowthParameters((0, 0, 0), 0.1, 0.02, 200, own={"death": value})
    assert (
        _into_ranges(growth, Plan(space, model=Dying(death=value))) is None
    )  # 100 days double death
    plain = _into_ranges(replace_own(growth), Plan(space, model=FisherKolmogorov()))
    assert plain.days == 100
    drawn = ParameterSpace(days=Range(50, 150), own={"death": Range(0, 2e-3)})
    assert _into_ranges(growth, Plan(drawn, model=Dying())).own["death"] == 2 * value


def replace_own(growth):
    return dataclasses.replace(growth, own={})


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"combinations": (Combination("x_t", "", "", "", "dw / ratoi"),)}, "'ratoi'"),
        ({"symmetry": {**TIME_SCALING, "deth": 1}}, "'deth'"),
    ],
)
def test_what_a_model_declares_of_unknown_parameters_is_refused_at_once(declared, told):
    kind = dataclasses.dataclass(frozen=True)(type("Kind", (FisherKolmogorov,), declared))
    with pytest.raises(InputError, match=f"Kind is not a growth model: .*unknown parameter {told}"):
        register_model(kind)


@pytest.mark.parametrize("name", ["split", "voxel", "voxel_index", "voxel_byte", "axis"])
def test_names_of_a_databases_tables_are_taken(name):
    own = {name: parameter(1.0, "mine"), "__annotations__": {name: float}}
    kind = dataclasses.dataclass(frozen=True)(type("Kind", (FisherKolmogorov,), own))
    with pytest.raises(InputError, match=f"declares {name!r}, a name that is taken"):
        Plan(model=kind())


def test_generate_takes_a_table_and_names_what_is_wrong(capsys, tmp_path):
    (tmp_path / "runs.csv").write_text(f"{CSV},speed\n-150,100,60,0.2,0.06,100,5\n")
    code, _, said = run(capsys, "generate", tmp_path / "db", "--table", tmp_path / "runs.csv")
    assert code == 2 and "unknown column 'speed'" in said
    assert not (tmp_path / "db").exists()
