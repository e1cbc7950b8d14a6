"""A sweep whose tumours are treated: its plan, its samples, and who refuses it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from generating import in_this_process

from glioquery.dbgen import Database, Plan, generate, verify
from glioquery.dbgen.store.comparison import differing_outlines
from glioquery.errors import InputError
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.query import outlines_of
from glioquery.query.index.source import OWN_MAXIMUM
from glioquery.solver import Radiotherapy, simulate

STUDY = """
sampler = "grid"
origin_mm = [-150, 100, 60]
dw = 0.2
rho = [0.06]
days = [90]

[[treatment]]
kind = "radiotherapy"
day = 60
dose_gy = 2.0
fractions = 3
alpha = 0.1
"""


def plan_of(folder, text=STUDY):
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return Plan.from_toml(folder / "study.toml")


def test_a_treated_plan_survives_its_description(atlas, tmp_path):
    plan = plan_of(tmp_path)
    described = json.loads(json.dumps(plan.describe(atlas)))
    assert Plan.from_description(described) == plan
    untreated = replace(plan, treatments=()).describe(atlas)
    assert described.pop("treatments")[0]["fractions"] == 3
    assert described == json.loads(json.dumps(untreated))


def test_the_tumours_of_a_treated_sweep_are_treated(tmp_path):
    plan = plan_of(tmp_path)
    with in_this_process():
        generate(tmp_path / "db", plan=plan, store="outlines")
    database = Database.open(tmp_path / "db")
    course = Radiotherapy(60.0, 2.0, alpha=0.1, fractions=3)
    parameters = database.growth_parameters(0)
    treated, untreated = (
        simulate(database.tissue, parameters, treatments=given).density.outlines()
        for given in ([course], [])
    )
    stored = database.outlines(0)
    np.testing.assert_array_equal(stored.whole, treated.whole)
    assert 0 < stored.whole.sum() < untreated.whole.sum()
    again = database.simulate_again(0)
    assert differing_outlines(database.outlines(0), again.density, database.thresholds) == []
    with pytest.raises(InputError, match=r"were treated, .* search this database with `glioquery"):
        InversionOptions().require_fit(database, 1)


def test_a_sweep_keeps_a_tumour_of_which_nothing_is_left(tmp_path):
    with in_this_process():
        made = generate(tmp_path / "db", plan=plan_of(tmp_path, STUDY.replace("2.0", "60.0")))
    assert not made.outlines(0).whole.any() and verify(tmp_path / "db") == []
    for outlines in outlines_of(made), outlines_of(made, normalisation=OWN_MAXIMUM):
        core, whole = outlines.packed_outlines(0, 1)
        assert not core.any() and not whole.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('sampler = "grid"', 'sampler = "uniform"'), "choose the sampler grid or table, got unif"),
        (("dose_gy = 2.0", 'dose_map = "dose.nii"'), "the tumours of a study anywhere"),
        (("alpha = 0.1", 'alpha = 0.1\n[model]\nname = "proliferative-necrotic"'),
         "treatments act on models with one population"),
    ],
)  # fmt: skip
def test_what_no_study_can_treat_is_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        plan_of(tmp_path, STUDY.replace(*change))
