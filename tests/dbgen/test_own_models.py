"""Databases of models that no package offers: searched anywhere, simulated by who names them."""

import json
import pickle
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from command_line import run

from glioquery.atlas import Grid
from glioquery.dbgen import Database, Plan, generate, verify
from glioquery.dbgen.datacard import describe_database
from glioquery.pipeline.images.nifti import write_nifti
from glioquery.pipeline.uncertainty.interval_factors import QUANTITIES, Calibration
from glioquery.query import build_index, search
from glioquery.query.index.outlines import INDEX_FOLDER
from glioquery.solver import FisherKolmogorov
from glioquery.solver.models import registry

HOSTILE = """
from pathlib import Path
Path(__file__).with_name("it-ran").touch()
from glioquery.solver import FisherKolmogorov as Model
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module that could be imported, and shows whether it was."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "stranger.py").write_text(HOSTILE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(registry, "_registered", {})
    yield folder
    sys.modules.pop("stranger", None)


def rename_model(folder, **changes):
    header = json.loads((folder / "database.json").read_text())
    header["plan"]["model"] |= changes
    (folder / "database.json").write_text(json.dumps(header))


@pytest.mark.parametrize(
    "changes", [{"class": "stranger:Model"}, {"name": "stranger:Model"}], ids=["class", "name"]
)
def test_what_a_database_names_is_not_imported(copy, module, changes):
    rename_model(copy, **changes)
    opened = Database.open(copy)
    # What needs no simulation works without the model.
    assert opened.density(3).u.any() and len(opened.select(rho=slice(0, 1))) == 11
    (best,) = search(build_index(opened, copy / "index"), opened.outlines(2), k=1)
    assert best.sample == 2
    assert describe_database(opened).n_samples == 11
    for use in (
        lambda: opened.model,
        lambda: opened.plan,
        lambda: opened.simulate_again(0),
        lambda: verify(copy),
        lambda: generate(copy, 12),
    ):
        with pytest.raises(
            ValueError, match=r"unknown growth model|--model stranger:Model"
        ) as refused:
            use()
        assert "\n" not in str(refused.value)
    assert "stranger" not in sys.modules and not (module / "it-ran").exists()


OWN = """
from dataclasses import dataclass
from glioquery.solver import FisherKolmogorov

@dataclass(frozen=True)
class Own(FisherKolmogorov):
    name = "own"
"""


def test_a_person_names_it_on_the_command_line(copy, module, capsys):
    (module / "growing.py").write_text(OWN)
    rename_model(copy, name="own", **{"class": "growing:Own"})
    code, _, err = run(capsys, "verify", copy)
    assert code == 2 and "--model growing:Own" in " ".join(err.split())
    assert "growing" not in sys.modules
    code, out, _ = run(capsys, "verify", copy, "--model", "growing:Own", "--json")
    assert code == 0 and json.loads(out)["faults"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["invert", "DB", "--seg", "SEG", "--t1", "T1", "--labels", "brats2021", "-o", "OUT"],
        ["cohort", "DB", "CASES", "-o", "OUT"],
        ["predict-gbm", "--database", "DB", "--input", "EXAMS", "--output", "OUT"],
        ["evaluate", "DB", "-o", "OUT"],
        ["generate", "DB", "--n", "20"],
        ["calibrate", "DB", "--n", "9", "--seed", "77"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_commands_that_simulate_refuse_at_once(copy, module, capsys, tmp_path, arguments):
    """All that needs no model fits: it is told before one is asked for."""
    rename_model(copy, **{"class": "stranger:Model"})
    build_index(Database.open(copy), copy / INDEX_FOLDER)
    scans = {name: tmp_path / f"{name}.nii.gz" for name in ("T1", "SEG")}
    for path in scans.values():
        write_nifti(path, np.ones((8, 8, 8)), Grid((8, 8, 8), np.diag([20, 20, 20, 1.0])))
    cases = tmp_path / "cases.csv"
    cases.write_text("id,t1,seg,labels\na,T1.nii.gz,SEG.nii.gz,brats2021\n")
    (tmp_path / "exams" / "Patient-1").mkdir(parents=True)
    places = scans | {
        "DB": copy, "CASES": cases, "EXAMS": tmp_path / "exams", "OUT": tmp_path / "out"
    }  # fmt: skip
    code, _, err = run(capsys, *(places.get(text, text) for text in arguments))
    assert code == 2 and "--model stranger:Model" in " ".join(err.split())
    assert not (tmp_path / "out").exists() and not (module / "it-ran").exists()


def test_a_database_of_it_goes_on_and_is_calibrated_by_who_names_it(
    copy, module, capsys, monkeypatch
):
    from glioquery.pipeline.virtual import calibration

    (module / "growing.py").write_text(OWN)
    rename_model(copy, name="own", **{"class": "growing:Own"})
    space = Database.open(copy).header["plan"]["space"]
    code, _, err = run(capsys, "generate", copy, "--n", "12", "--model", "growing:Own")
    assert code == 0, err
    made = Database.open(copy)
    assert len(made) == 12 and made.header["plan"]["space"] == space
    # A setting, or another class, asks for another plan, which the folder does not hold.
    for more in (["growing:Own", "--set", "ratio=5"], ["fisher-kolmogorov"]):
        code, _, err = run(capsys, "generate", copy, "--n", "13", "--model", *more)
        assert code == 2 and "another plan" in " ".join(err.split())
    asked = []
    monkeypatch.setattr(
        calibration, "calibrate", lambda source, *_, **__: asked.append(source) or SKIPPED
    )
    build_index(made, copy / INDEX_FOLDER)
    code, _, err = run(capsys, "calibrate", copy, "--n", "9", "--model", "growing:Own")
    assert code == 0 and asked[0].model.name == "own", err


SKIPPED = Calibration({"matches": dict.fromkeys(QUANTITIES, 1.0)}, {"matches": 9}, 1, (), ())


@dataclass(frozen=True)
class Own(FisherKolmogorov):
    """A class of this module."""

    name: ClassVar[str] = "own"


def test_a_registered_class_is_found_by_its_own_name(copy, monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    rename_model(copy, name="own", **{"class": "where.it.was:Own"})
    with pytest.raises(ValueError, match=r"--model where\.it\.was:Own"):
        Database.open(copy).plan.model.ratio  # noqa: B018
    assert registry.register_model(Own) is Own
    model = Database.open(copy).plan.model
    assert model == Own() and type(model) is Own
    rename_model(copy, equation="du/dt = 0")
    with pytest.raises(ValueError, match=r"with the equation 'du/dt = 0', the class registered"):
        Database.open(copy).plan.model.ratio  # noqa: B018
    with pytest.raises(ValueError, match="not a growth model"):
        registry.register_model(dict)
    assert list(registry._registered) == ["Own"]


def test_a_model_of_main_is_said_to_be_read_nowhere_else(monkeypatch, tmp_path):
    monkeypatch.setattr(Own, "__module__", "__main__")
    with (
        pytest.warns(UserWarning, match="'own' is defined in __main__.*class Own into a module"),
        pytest.raises(ValueError, match="n_samples"),
    ):
        generate(tmp_path / "db", 0, plan=Plan(model=Own()))


def test_what_is_known_of_a_database_stays_with_its_process(database, atlas):
    database.parameters.load()
    database.parts[0].plan.describe(atlas)
    travelling = pickle.dumps(database)
    assert b"FisherKolmogorov" not in travelling and b"xarray" not in travelling
    again = pickle.loads(travelling)
    np.testing.assert_array_equal(again.outlines(4).whole, database.outlines(4).whole)
    assert again.plan == database.plan
