"""Every command on every kind of database: it works, or refuses in one line before any work."""

import json
import shutil

import numpy as np
import pytest
from command_line import run
from generating import make_indexed
from heads import COARSE_GRID

from glioquery.dbgen import Database, ParameterSpace, Plan, Range, merge
from glioquery.errors import InputError
from glioquery.pipeline.cohort.cohort import Case, describe_request, invert_case
from glioquery.pipeline.images.nifti import read_nifti, write_nifti
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.pipeline.patient.patient import load_patient
from glioquery.query import build_index, outlines_of
from glioquery.query.evaluation.synthetic import plan_queries
from glioquery.solver import Thresholds
from glioquery.solver.models import find_model

SMALL = {
    "whole_ml": Range(5, 15), "snapshots_per_run": 2, "origin_mm": ((-85.0, 125.0, 85.0),)
}  # fmt: skip
"""Where the patient's tumour is, or no stored one would overlap it."""

SWEEP = {
    "sampler": "grid", "origin_mm": [[-85, 125, 85], [-150, 100, 60]], "dw": 0.2, "rho": 0.05,
    "core_min_ml": 0, "whole_ml": {"low": 0.5, "high": 300},
}  # fmt: skip

KINDS = {
    "density": (Plan(ParameterSpace(**SMALL), seed=7), "density"),
    "outlines": (Plan(ParameterSpace(**SMALL), seed=8), "outlines"),
    "thresholds": (
        Plan(ParameterSpace(**SMALL), seed=7, thresholds=Thresholds(core=0.5, whole=0.1)),
        "density",
    ),
    "sweep": (Plan(ParameterSpace.from_dict({**SWEEP, "days": 150})), "density"),
    "empty": (Plan(ParameterSpace.from_dict({**SWEEP, "days": 5})), "outlines"),
    "necrotic": (
        Plan(ParameterSpace(**SMALL), seed=7, model=find_model("proliferative-necrotic")),
        "density",
    ),
    "pushing": (
        Plan(ParameterSpace(**SMALL), seed=7, model=find_model("fisher-kolmogorov-mass-effect")),
        "outlines",
    ),
    "two foci": (
        Plan(ParameterSpace(**SMALL), seed=7, model=find_model("fisher-kolmogorov-two-foci")),
        "density",
    ),
}
"""Another way to store, other thresholds, a sweep, tumours that no scan would show, models."""

MERGED = "merged"

MODELS = ("necrotic", "pushing", "two foci")
SLOW = [pytest.param(kind, marks=pytest.mark.slow) for kind in MODELS]  # they compile for seconds
ALL = [MERGED, *(kind for kind in KINDS if kind not in MODELS), *SLOW]

COMBINED = (MERGED, "density", "outlines", "thresholds")
"""Kinds that test_combinations.py inverts with."""


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    """A database of a kind, indexed; made when it is asked for."""
    folder = tmp_path_factory.mktemp("kinds")

    def make(kind):
        path = folder / kind
        if kind == MERGED and not path.exists():
            space = ParameterSpace(**SMALL | {"core_min_ml": 0.2})
            other = make_indexed(folder / "other", 1, Plan(space, seed=9))
            outlines = outlines_of(merge(path, [make("density"), other.path]))
            build_index(outlines, outlines.path)
        elif not path.exists():
            plan, store = KINDS[kind]
            make_indexed(path, 2, plan, store=store)
        return path

    return make


def asked(command, database, coarse, tmp_path):
    """Arguments of a command."""
    seg = ["--seg", coarse / "seg.nii", "--labels", "brats2021"]
    out = tmp_path / "out"
    picture = ["--picture", tmp_path / "coverage.png"]
    return {
        "describe": [database, *(picture if database.name in (MERGED, "empty") else [])],
        "verify": [database],
        "index": [database],
        "other thresholds": [database, "--core-threshold", 0.4],
        "query": [database, *seg],
        "invert": [database, "--t1", coarse / "t1.nii", *seg, "-o", out, "--no-refine"],
        "train": [database, "--strategy", "ds32"],
        "train encoders": [database, "--strategy", "ds32,ae"],
        "generate": [database, "--n", 2],
        "synthetic": [database, "-o", out, "--synthetic", 1, "--strategies", "direct"],
        "predict-gbm": [
            "--database",
            database,
            "--input",
            tmp_path / "in",
            "--output",
            out,
            "--no-refine",
        ],
    }[command]


NAMES = {
    "other thresholds": "index",
    "train encoders": "train",
    "synthetic": "evaluate",
}
"""The program's name of a command, where the table has another."""

REFUSED = {
    **{
        ("other thresholds", kind): "need a database generated with `--store density`"
        for kind, (_, store) in KINDS.items()
        if store == "outlines"
    },
    ("synthetic", MERGED): "was merged from 2 databases and has no space of its own",
    ("synthetic", "sweep"): "draws the same tumours whatever the seed",
    ("synthetic", "empty"): "draws the same tumours whatever the seed",
    ("query", "empty"): "no stored tumour overlaps",
    ("invert", "empty"): "no stored tumour overlaps",
    ("generate", MERGED): "was merged from 2 databases and is not generated",
    **{("train encoders", kind): "training needs 64 tumours" for kind in (MERGED, *KINDS)},
}


@pytest.fixture
def exam(atlas, tmp_path):
    """A patient of the benchmark: the atlas's tissue, on 4 mm, with a ball for a tumour."""
    folder = tmp_path / "in" / "Patient-1"
    folder.mkdir(parents=True)
    grid = COARSE_GRID
    x, y, z = (grid.axis_mm(a).reshape([-1 if b == a else 1 for b in range(3)]) for a in range(3))
    r = np.sqrt((x + 85) ** 2 + (y - 125) ** 2 + (z - 85) ** 2)
    for name in ("wm", "gm", "csf"):
        coarse = getattr(atlas, name).reshape(64, 2, 64, 2, 64, 2).mean(axis=(1, 3, 5))
        write_nifti(folder / f"1-{name}.nii.gz", coarse, grid)
    write_nifti(
        folder / "1-tumorseg.nii.gz", np.where(r < 9, 3, 2 * (r < 15)).astype(np.uint8), grid
    )


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize(
    "command",
    ["describe", "verify", "index", "other thresholds", "query", "train", "train encoders",
     "generate", "synthetic"],
)  # fmt: skip
def test_a_command_takes_a_kind_of_database_or_refuses_it_at_once(
    capsys, databases, coarse, tmp_path, command, kind
):
    take_or_refuse(capsys, databases, coarse, tmp_path, command, kind)


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind not in COMBINED])
@pytest.mark.usefixtures("quick")
def test_an_inversion_takes_a_kind_of_database_or_refuses_it_at_once(
    capsys, databases, coarse, tmp_path, kind
):
    take_or_refuse(capsys, databases, coarse, tmp_path, "invert", kind)


def take_or_refuse(capsys, databases, coarse, tmp_path, command, kind):
    database = databases(kind)
    refused = REFUSED.get((command, kind))
    code, _, err = run(
        capsys, NAMES.get(command, command), *asked(command, database, coarse, tmp_path)
    )
    if refused is None:
        assert code == 0, err
    else:
        said = [line for line in err.splitlines() if not line.startswith("notice: ")]
        lines = [line for line in said if not line.endswith(" ...")]  # steps begun
        assert code == 2 and len(lines) == 1 and refused in lines[0]
        assert not [*tmp_path.glob("out/*"), *database.glob("strategies/ae")]


@pytest.mark.parametrize("kind", [MERGED, *SLOW])
@pytest.mark.usefixtures("quick", "exam")
def test_the_benchmark_takes_a_kind_of_database(capsys, databases, coarse, tmp_path, kind):
    arguments = asked("predict-gbm", databases(kind), coarse, tmp_path)
    code, _, err = run(capsys, "predict-gbm", *arguments)
    assert code == 0, err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1.nii.gz"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [MERGED, *MODELS])
@pytest.mark.usefixtures("quick")
def test_a_cohorts_patient_takes_a_kind_of_database(databases, coarse, tmp_path, kind):
    database = Database.open(databases(kind))
    scans = {"t1": coarse / "t1.nii", "seg": coarse / "seg.nii"}
    case = Case("P-1", scans, "brats2021")
    options = InversionOptions(refine=False)
    request = describe_request(case, database, options)
    model, folder = type(database.model), tmp_path / "sub-P1"
    assert invert_case(database.path, model, case, folder, request, options) is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", [k for k in (MERGED, *KINDS) if k not in ("empty", "pushing")])
@pytest.mark.parametrize("more", [(), ("--fit-thresholds",), ("--own-anatomy",)])
@pytest.mark.usefixtures("quick")
def test_a_refinement_begins_at_any_kind_of_database(
    capsys, databases, coarse, tmp_path, kind, more
):
    arguments = asked("invert", databases(kind), coarse, tmp_path)
    code, _, err = run(capsys, "invert", *arguments, "--refine", *more)
    assert code == 0, err
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert len(result["tried"]) >= 1


@pytest.mark.slow
@pytest.mark.usefixtures("quick", "one_step")
def test_a_refinement_pushes_the_atlas_s_tissue_and_the_patient_s(
    capsys, databases, coarse, tmp_path
):
    """One step of it: each of its runs displaces tissue several times."""
    arguments = asked("invert", databases("pushing"), coarse, tmp_path)
    code, _, err = run(capsys, "invert", *arguments, "--refine", "--own-anatomy")
    assert code == 0, err
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["refinement"] is not None and result["own_anatomy"] is not None
    (growth, *_) = result["answer"]["growths"]
    assert 0 <= growth["swelling"] <= 1
    assert "swelling" in result["uncertainty"]["fitted"]


def never(*_, **__):
    raise AssertionError("work was begun")


@pytest.mark.parametrize("command", ["invert", "predict-gbm"])
@pytest.mark.usefixtures("exam")
def test_a_model_that_is_not_here_is_refused_before_any_work(
    capsys, databases, coarse, tmp_path, monkeypatch, command
):
    shutil.copytree(databases("density"), tmp_path / "db")
    path = tmp_path / "db" / "database.json"
    header = json.loads(path.read_text())
    header["plan"]["model"] |= {"name": "mine"}
    header["plan"]["model"].pop("class", None)
    path.write_text(json.dumps(header))
    outlines = outlines_of(Database.open(tmp_path / "db"))
    build_index(outlines, outlines.path)  # which needs no model
    monkeypatch.setattr("glioquery.pipeline.alignment.ants_worker._run_apart", never)
    code, _, err = run(capsys, command, *asked(command, tmp_path / "db", coarse, tmp_path))
    assert code == 2 and "unknown growth model 'mine'" in err and len(err.splitlines()) == 1


def test_the_least_core_of_a_merged_database_is_that_of_all_its_parts(databases):
    assert Database.open(databases(MERGED)).core_min_ml == 0.2
    assert Database.open(databases("density")).core_min_ml == 0.5


def test_queries_are_planned_without_work(databases):
    plan = plan_queries(Database.open(databases("density")))
    assert (plan.seed, plan.space.snapshots_per_run) == (8, 1)
    with pytest.raises(ValueError, match="drawn with seed 7"):
        plan_queries(Database.open(databases("density")), 7)


def test_a_tumour_that_vanishes_on_the_registered_voxels_is_refused_before_any_work(
    coarse, tmp_path
):
    t1 = read_nifti(coarse / "t1.nii", "T1")
    fine = np.zeros((8, 8, 8), np.uint8)
    fine[4, 4, 4] = 4
    affine = t1.grid.affine.copy()
    affine[:3, :3] /= 8
    affine[:3, 3] = t1.grid.to_world(np.array([25, 30, 22]))
    write_nifti(tmp_path / "seg.nii", fine, type(t1.grid)(fine.shape, affine))
    with pytest.raises(InputError, match="vanishes on the voxels of the registered image"):
        load_patient(t1=coarse / "t1.nii", seg=tmp_path / "seg.nii", labels="brats2021")
