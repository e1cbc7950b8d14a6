"""Parameter spaces: what TOML may say, what it means, and that mistakes are named."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glioquery.dbgen import ParameterSpace, Plan, Range, generate
from glioquery.dbgen.pilot import forecast
from glioquery.dbgen.study.samples import Rejection, draw_samples
from glioquery.dbgen.study.values import Choices
from glioquery.errors import InputError
from glioquery.solver import FisherKolmogorov, Thresholds

SPACES = [
    {},
    {"sampler": "uniform", "dw": 0.3, "rho": [0.01, 0.02], "days": {"low": 60, "high": 90}},
    {"sampler": "sobol", "origin_mm": [-150, 100, 60], "rho": {"scale": "log-uniform"}},
    {"sampler": "identifiable", "lambda_mm": {"low": 2, "high": 5}, "snapshots_per_run": 2},
    {
        "sampler": "grid", "dw": [0.1, 0.2], "rho": 0.05, "days": [100, 200],
        "origin_mm": [[-150, 100, 60], [-80, 90, 70]],
    },
]  # fmt: skip


def space_of(tmp_path, text):
    (tmp_path / "space.toml").write_text(text)
    return Plan.from_toml(tmp_path / "space.toml").space


@pytest.mark.parametrize("values", SPACES)
def test_a_plan_survives_its_description(atlas, values):
    plan = Plan(ParameterSpace.from_dict(values), seed=3)
    assert Plan.from_description(json.loads(json.dumps(plan.describe(atlas)))) == plan


def test_a_plan_of_numpys_numbers_is_described_in_plain_ones(atlas):
    plan = Plan(
        seed=np.int64(3),
        model=FisherKolmogorov(ratio=np.float32(5)),
        thresholds=Thresholds(core=np.float32(0.5), whole=np.float64(0.25)),
    )
    plain = Plan(seed=3, model=FisherKolmogorov(5.0), thresholds=Thresholds(0.5, 0.25))
    assert json.dumps(plan.describe(atlas)) == json.dumps(plain.describe(atlas))


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(InputError, match=f"seed is a whole number from 0 .*, got {seed}"):
        Plan(seed=seed)


positive = st.floats(1e-3, 1e3)
values = st.one_of(
    positive,
    st.lists(positive, min_size=1, max_size=5, unique=True),
    st.tuples(positive, positive, st.sampled_from(["uniform", "log-uniform"])).map(
        lambda t: {"low": min(t[:2]), "high": max(t[:2]), "scale": t[2]}
    ),
)


@given(dw=values, rho=values, days=values)
def test_a_space_survives_plain_values(dw, rho, days):
    space = ParameterSpace.from_dict({"sampler": "uniform", "dw": dw, "rho": rho, "days": days})
    again = json.loads(json.dumps(space.to_dict()))
    assert ParameterSpace.from_dict(again) == space
    for asked, parameter in ((dw, space.dw), (rho, space.rho), (days, space.days)):
        assert parameter.holds(parameter.at(0)) and parameter.holds(parameter.at(1 - 2**-53))
        if isinstance(asked, list):
            assert parameter == Choices(tuple(asked))
        elif isinstance(asked, float):
            assert (parameter.low, parameter.high) == (asked, asked)


@given(value=positive, seed=st.integers(0, 2**32 - 1))
def test_a_draw_lies_in_its_range(value, seed):
    for high in (value, 1.5 * value):
        bounds = Range(value, high, "log-uniform")
        assert bounds.holds(bounds.draw(np.random.default_rng(seed)))


def test_a_space_in_toml_changes_what_it_names(tmp_path):
    space = space_of(tmp_path, "[rho]\nlow = 0.01\nscale = 'log-uniform'\n")
    assert space.rho == Range(0.01, 0.2, "log-uniform")
    assert space.dw == ParameterSpace().dw


def test_values_and_lists_in_toml(tmp_path):
    space = space_of(
        tmp_path,
        "sampler = 'grid'\ndw = 0.2\nrho = [0.02, 0.05]\ndays = [100, 200, 300]\n"
        "origin_mm = [-150, 100, 60]\n",
    )
    assert (space.dw, space.rho) == (Range(0.2, 0.2), Choices((0.02, 0.05)))
    assert space.origin_mm == ((-150.0, 100.0, 60.0),)
    assert space.n_points == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed = 3", r"space\.toml: unknown parameter 'speed': choose one of dw, rho, days"),
        ("[dw]\nlow = 2\nhigh = 1", "dw: a range has finite ends with low <= high"),
        ("[dw]\nlow = -1", "dw: growth parameters are positive"),
        ("dw = 0", "dw: growth parameters are positive"),
        ("[dw]\nhigh = inf", "dw: a range has finite ends"),
        ("[days]\nlow = nan", "days: a range has finite ends"),
        ("[days]\nlow = '50'", "days: expected a number, got '50'"),
        ("days = true", "days: expected a number, got True"),
        ("[rho]\nscale = 'cubic'", "rho: scale is"),
        ("[rho]\nlowest = 1", "rho: a range is given as"),
        ("[rho]", "rho: a range is given as .* got {}"),
        ("rho = []", "rho: a list of values has at least one"),
        ("rho = [0.1, -0.1]", "rho: growth parameters are positive"),
        ("rho = [0.1, 0.1]", "rho: a list of values has each of them once"),
        ("rho = [0.1, 'fast']", "rho: expected a number, got 'fast'"),
        ("whole_ml = 30", "whole_ml: a range is given as"),
        ("whole_ml = [5, 30]", "whole_ml: a range is given as"),
        ("[whole_ml]\nlow = 30\nhigh = 30", "whole_ml: .* low < high"),
        ("[whole_ml]\nlow = 0", "whole_ml: .*positive"),
        ("snapshots_per_run = 0", "snapshots_per_run is a number"),
        ("snapshots_per_run = 2.0", "snapshots_per_run is a number"),
        ("snapshots_per_run = true", "snapshots_per_run is a number"),
        ("core_min_ml = -1", "core_min_ml is a volume"),
        ("core_min_ml = 'small'", "core_min_ml is a volume"),
        ("core_min_ml = 300", "core_min_ml is a volume >= 0 and below .* 300"),
        ("origin_mm = []", "origin_mm is a point"),
        ("origin_mm = [1, 2]", "origin_mm holds points"),
        ("origin_mm = [[1, 2, 3], 4]", "origin_mm holds points"),
        ("origin_mm = [1, 2, 'z']", "origin_mm: expected a number"),
        ("origin_mm = [1, 2, inf]", "origin_mm has finite coordinates"),
        ("origin_mm = [[1, 2, 3], [1, 2, 3]]", "origin_mm has each point once"),
        ("days = 100", "days: the sampler 'trajectory' stops at volumes"),
        ("days = [100, 200]", "days: the sampler 'trajectory' stops at volumes"),
        ("sampler = 'grid'", "dw: the sampler 'grid' takes one value or a list"),
        ("sampler = 'grid'\ndw = 1\nrho = 0.1\ndays = 90", "origin_mm: the sampler 'grid' takes"),
        ("[lambda_mm]\nlow = 2", "lambda_mm is drawn by the sampler 'identifiable' alone"),
        ("sampler = 'identifiable'\nrho = [0.1, 0.2]", "rho: the sampler 'identifiable' takes"),
        (
            "sampler = 'identifiable'\n[lambda_mm]\nlow = 2\nhigh = 50",
            "lambda_mm: dw of 0.02 to 1.5 and rho .* from 0.316 to 27.4 mm, got 2 to 50",
        ),
        ("sampler = 'identifiable'\nlambda_mm = 3", "lambda_mm: a range is given as"),
        ("table = 3", "table: the table of runs is a file, or lists of numbers .* got 3"),
        ("table = ['a.csv']", r"table: the table of runs is a file, .* got \['a\.csv'\]"),
        ("[table]\ndw = ['a']", "table: the table of runs, dw: a list of numbers .* got"),
        ("[table]\ndw = '12'", "table: the table of runs, dw: a list of numbers .* got '12'"),
        ("[table]\ndw = 1", "table: the table of runs, dw: a list of numbers .* got 1"),
        ("where = 'min(dw) < 3'", "the formula .* min takes two values or more, got 1"),
        ("[dw", "space.toml"),
    ],
)
def test_a_bad_space_is_named(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        space_of(tmp_path, text)


def test_an_origin_outside_the_tissue_is_named_before_anything_runs(tmp_path):
    space = ParameterSpace(origin_mm=((-150, 100, 60), (0, 0, 0)))
    with pytest.raises(
        ValueError, match=r"origin_mm: position \(0, 0, 0\) mm is outside the tissue"
    ):
        generate(tmp_path / "db", 1, plan=Plan(space))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "values",
    [
        {"dw": {"high": 1e9}},
        {"rho": {"high": 1e9}, "sampler": "sobol"},
        {"sampler": "grid", "dw": 1, "rho": 1, "days": [90, 1e12], "origin_mm": [-150, 100, 60]},
    ],
)
def test_a_space_with_growths_without_end_is_refused_before_anything_runs(tmp_path, values):
    plan = Plan(ParameterSpace.from_dict(values))
    for refuses in (lambda: generate(tmp_path / "db", 1, plan=plan), lambda: forecast(plan, 1)):
        with pytest.raises(InputError, match=r"largest dw, rho and days of the space: .* steps"):
            refuses()
    assert list(tmp_path.iterdir()) == []


# A study in one file.

STUDY = """
rho = 0.05
[model]
name = "fisher-kolmogorov"
ratio = 5.0
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path / "study.toml"


def test_a_study_names_its_model(study):
    plan = Plan.from_toml(study, seed=3)
    assert plan == Plan(ParameterSpace(rho=Range(0.05, 0.05)), 3, FisherKolmogorov(ratio=5.0))


def test_a_study_may_begin_with_the_mark_of_a_windows_editor(study):
    plan = Plan.from_toml(study)
    study.write_text(STUDY, encoding="utf-8-sig")
    assert Plan.from_toml(study) == plan


def test_what_is_asked_for_by_name_replaces_the_study(study):
    assert Plan.from_toml(study, settings={"ratio": 7.0}).model == FisherKolmogorov(ratio=7.0)
    arithmetic = FisherKolmogorov(face_mean="arithmetic")
    assert Plan.from_toml(study, model=arithmetic).model == arithmetic
    assert Plan.from_toml(study, sampler="sobol").space.sampler == "sobol"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = 'fisher-kolmogorov'", "the model is a table of its name"),
        ("[model]\nratio = 5.0", "the model is a table of its name"),
        ("[model]\nname = 'cubic'", r"study\.toml: unknown growth model 'cubic'"),
        (
            "[model]\nname = 'fisher-kolmogorov'\nspeed = 3",
            r"study\.toml: fisher-kolmogorov has no setting speed",
        ),
    ],
)
def test_a_bad_study_is_named(study, text, message):
    study.write_text(text)
    with pytest.raises(ValueError, match=message):
        Plan.from_toml(study)


def test_a_space_without_tumors_says_why(tissue):
    plan = Plan(
        ParameterSpace.from_dict(
            {"sampler": "uniform", "days": 50, "rho": 0.003, "dw": {"low": 0.02, "high": 0.03}}
        )
    )
    with pytest.raises(
        ValueError, match=rf"no acceptable .* in 300 draws: in 300 {Rejection.TOO_SMALL.value}"
    ):
        draw_samples(tissue, plan, 0)
