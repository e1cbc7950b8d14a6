"""The command line as a user meets it: results on stdout, one line and exit code 2 on bad input."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from command_line import run

from glioquery.atlas import SIMULATION_GRID
from glioquery.dbgen import Database, generate
from glioquery.errors import FailedError, InputError
from glioquery.pipeline.images.nifti import write_nifti
from glioquery.query.index.outlines import INDEX_FOLDER


@pytest.fixture(scope="session")
def patient(tmp_path_factory, atlas):
    """The atlas itself with a ball for a tumour: quick, and enough for checks at the border."""
    folder = tmp_path_factory.mktemp("patient")
    grid = atlas.t1_grid
    x, y, z = (grid.axis_mm(a).reshape([-1 if b == a else 1 for b in range(3)]) for a in range(3))
    r = np.sqrt((x + 150) ** 2 + (y - 100) ** 2 + (z - 70) ** 2)
    labels = np.where(r < 8, 4, np.where(r < 15, 2, 0)).astype(np.uint8)
    write_nifti(folder / "t1.nii.gz", atlas.t1, grid)
    write_nifti(folder / "seg.nii.gz", labels, grid)
    return folder


def refused(capsys, *arguments):
    """The one line that a refused command prints."""
    code, out, err = run(capsys, *arguments)
    assert code == 2, (code, err)
    assert out == ""
    lines = [line for line in err.splitlines() if not line.endswith(" ...")]  # steps begun
    assert len(lines) == 1 and lines[0].startswith("error: "), err
    return lines[0]


def test_atlas_says_what_it_holds(capsys, tmp_path):
    code, out, _ = run(capsys, "atlas", "--json", "--picture", tmp_path / "atlas.png")
    facts = json.loads(out)
    assert code == 0 and 1100 < facts["tissue_ml"] < 1200
    assert (tmp_path / "atlas.png").read_bytes().startswith(b"\x89PNG")


def test_simulate_writes_a_density(capsys, tmp_path):
    code, out, _ = run(
        capsys, "simulate", "--origin", -150, 100, 60, "--dw", 0.3, "--rho", 0.05, "--days", 200,
        "-o", tmp_path / "u.nii.gz", "--json",
    )  # fmt: skip
    assert code == 0
    image = nib.load(tmp_path / "u.nii.gz")
    u = np.asarray(image.dataobj)
    np.testing.assert_allclose(image.affine, SIMULATION_GRID.affine)
    assert json.loads(out)["whole_ml"] == pytest.approx((u >= 0.2).sum() * 0.008)
    peak = image.affine @ [*np.unravel_index(u.argmax(), u.shape), 1]
    assert np.linalg.norm(peak[:3] - [-150, 100, 60]) < 20


def test_invert_reads_the_segmentations_of_all_scans_in_one_way(
    capsys, tmp_path, patient, monkeypatch
):
    given = {}

    def load_patient(**options):
        given["first"] = options["keep_islands"], options["seg_grid"]
        return SimpleNamespace(notices=())

    def load_follow_up(patient, day, later, **options):
        given["later"] = options["keep_islands"], later[0].seg_grid
        raise InputError("it goes no further")

    inputs = "glioquery.pipeline.inversion.inputs"
    monkeypatch.setattr(f"{inputs}.load_patient", load_patient)
    monkeypatch.setattr(f"{inputs}.load_follow_up", load_follow_up)
    scans = [f"{patient / 't1.nii.gz'},{patient / 'seg.nii.gz'},{day}" for day in (0, 90)]
    code, _, err = run(
        capsys, "invert", "--scan", scans[0], "--scan", scans[1], "--labels", "brats2021",
        "--keep-islands", "--seg-grid", "t1", "-o", tmp_path / "out",
    )  # fmt: skip
    assert code == 2 and "it goes no further" in err
    assert given == {"first": (True, "t1"), "later": (True, "t1")}


def test_simulate_takes_treatments(capsys, tmp_path):
    cavity = np.zeros(SIMULATION_GRID.shape, np.uint8)
    cavity[:, :54] = 1  # y of the origin is 100 mm, in voxel 53.75
    write_nifti(tmp_path / "cavity.nii.gz", cavity, SIMULATION_GRID)
    (tmp_path / "treatments.toml").write_text(
        '[[treatment]]\nkind = "resection"\nday = 40\nmask = "cavity.nii.gz"\n', encoding="utf-8"
    )
    command = (
        "simulate", "--origin", -150, 100, 60, "--dw", 0.3, "--rho", 0.05,
        "--treatments", tmp_path / "treatments.toml", "-o", tmp_path / "u.nii.gz",
    )  # fmt: skip
    code, _, _ = run(capsys, *command, "--days", 60)
    u = np.asarray(nib.load(tmp_path / "u.nii.gz").dataobj)
    assert code == 0 and not u[:, :54].any() and u[:, 54:].any()
    assert "resection of day 40 is after the end" in refused(capsys, *command, "--days", 30)


def test_query_finds_a_stored_tumor_by_its_own_outlines(capsys, database, tmp_path):
    outlines = database.outlines(5)
    write_nifti(tmp_path / "core.nii.gz", outlines.core, outlines.grid)
    write_nifti(tmp_path / "whole.nii.gz", outlines.whole, outlines.grid)
    code, out, _ = run(
        capsys, "query", database.path, "--core", tmp_path / "core.nii.gz",
        "--whole", tmp_path / "whole.nii.gz", "-k", 3, "--json",
    )  # fmt: skip
    first, second, _ = json.loads(out)["matches"]
    assert code == 0
    assert first["sample"] == 5 and first["score"] == 2 and second["score"] < 2
    assert first["dw"] == database.growth_parameters(5).dw


def test_generate_index_verify(capsys, tmp_path):
    (tmp_path / "space.toml").write_text("snapshots_per_run = 1\n[whole_ml]\nlow = 5\nhigh = 9\n")
    arguments = ("--n", 2, "--space", tmp_path / "space.toml", "--store", "outlines")
    code, _, err = run(capsys, "generate", tmp_path / "db", *arguments)
    assert code == 0 and "2 of 2 tumours" in err
    assert run(capsys, "index", tmp_path / "db")[0] == 0
    assert run(capsys, "verify", tmp_path / "db")[0] == 0
    shard = tmp_path / "db" / "shards" / "shard-00000.nc"
    shard.write_bytes(shard.read_bytes()[:-1])
    code, out, _ = run(capsys, "verify", tmp_path / "db", "--json")
    assert code == 1
    assert json.loads(out)["faults"][0].startswith("shard-00000.nc")


def test_describe_says_and_draws_what_a_database_holds(capsys, database, tmp_path):
    picture = tmp_path / "coverage.png"
    code, out, _ = run(capsys, "describe", database.path, "--json", "--picture", picture)
    facts = json.loads(out)
    assert code == 0 and facts["n_samples"] == 8 and sum(facts["volume_counts"]) == 8
    assert facts["model"]["name"] == "fisher-kolmogorov"
    assert [part["sampler"] for part in facts["parts"]] == ["trajectory"]
    assert facts["picture"] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    code, _, err = run(capsys, "describe", database.path)
    assert code == 0 and "n_samples: 8" in err
    assert "holds no database" in refused(capsys, "describe", tmp_path)


def test_generate_takes_a_sampler(capsys, tmp_path):
    line = refused(capsys, "generate", tmp_path / "db", "--n", 1, "--sampler", "magic")
    assert "unknown sampler 'magic': choose one of trajectory, uniform, sobol" in line
    (tmp_path / "space.toml").write_text(
        "snapshots_per_run = 1\n"
        + "".join(
            f"[{name}]\nlow = {low}\nhigh = {high}\n"
            for name, low, high in (
                ("dw", 0.1, 0.3), ("rho", 0.05, 0.08), ("days", 100, 250), ("whole_ml", 5, 60),
            )
        )
    )  # fmt: skip
    code, _, err = run(
        capsys, "generate", tmp_path / "db", "--n", 2, "--sampler", "sobol", "--store", "outlines",
        "--space", tmp_path / "space.toml",
    )  # fmt: skip
    assert code == 0, err
    made = Database.open(tmp_path / "db")
    assert made.plan.space.sampler == "sobol"
    assert made.parameters.run.values.tolist() == [0, 1]


def test_simulate_names_the_nearest_tissue(capsys, tmp_path):
    line = refused(
        capsys, "simulate", "--origin", 0, 0, 0, "--dw", 0.3, "--rho", 0.05, "--days", 200,
        "-o", tmp_path / "u.nii.gz",
    )  # fmt: skip
    assert "outside the tissue; the nearest tissue point is" in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--dw": "nan"}, "dw is a finite number"),
        ({"--days": "-3"}, "days is a finite number > 0"),
        ({"--model": "cubic"}, "unknown growth model 'cubic'"),
        ({"-o": "density.txt"}, "a density is written as .nii.gz or .nii, got density.txt"),
        ({"--dw": "1e9"}, "and a run has at most 200000: give a smaller dw or rho, or fewer days"),
    ],
)
def test_simulate_checks_its_parameters(capsys, tmp_path, change, message):
    options = {"--dw": 0.3, "--rho": 0.05, "--days": 200, "-o": tmp_path / "u.nii.gz"} | change
    flat = [part for option in options.items() for part in option]
    assert message in refused(capsys, "simulate", "--origin", -150, 100, 60, *flat)


def test_a_growth_that_is_no_number_fails_and_writes_nothing(capsys, tmp_path, monkeypatch):
    (tmp_path / "broken_growth.py").write_text(
        "from glioquery.solver import FisherKolmogorov\n\n\n"
        "class Broken(FisherKolmogorov):\n"
        "    def react(self, fields, rho, days):\n"
        "        return tuple(f / (f - f) for f in fields)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    code, out, err = run(
        capsys, "simulate", "--origin", -150, 100, 60, "--dw", 0.3, "--rho", 0.05, "--days", 20,
        "--model", "broken_growth:Broken", "-o", tmp_path / "u.nii.gz",
    )  # fmt: skip
    assert (code, out) == (1, "") and "the density stopped being a number" in err
    assert not (tmp_path / "u.nii.gz").exists()


def invert(capsys, database, patient, out, **options):
    arguments = {
        "t1": patient / "t1.nii.gz",
        "seg": patient / "seg.nii.gz",
        "labels": "brats2021",
        "output": out,
    } | options
    flat = []
    for name, value in arguments.items():
        if value is not None:
            flat.append(f"-{name}" if len(name) == 1 else f"--{name}")
            flat += [] if value is True else value if isinstance(value, tuple) else [value]
    return refused(capsys, "invert", database, *flat)


MAPS = ("g.nii", "w.nii", "c.nii")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"t1": "nowhere.nii.gz"}, "no such file"),
        ({"labels": "brats1999"}, "unknown convention 'brats1999'"),
        ({"labels": "brats2023"}, "do not fit brats2023"),
        ({"labels": None}, "never guessed"),
        ({"labels": None, "core-labels": "1,x", "whole-labels": "1"}, "whole numbers with commas"),
        ({"k": 0}, "at least 1 match is listed"),
        ({"k": 9}, "k is 1 to 8"),
        ({"resolution": 0.1}, "1 to 4 mm"),
        ({"output": "/proc/nowhere"}, "cannot be written"),
        ({"seed": 0}, "seed"),
        ({"registration": "bend"}, "expected one of syn, affine, rigid, none"),
        ({"densities": "0.1,2"}, "numbers between 0 and 1"),
        ({"subject": "P 01"}, "letters and digits"),
        ({"recurrence": "nowhere.nii.gz"}, "no such file"),
        ({"recurrence-labels": "brats2021"}, "--recurrence-labels names the labels of a recurr"),
        ({"recurrence": "seg.nii.gz", "recurrence-labels": "b"}, "--recurrence-labels: unknown co"),
        ({"brain-mask": "nowhere.nii.gz"}, "no such file"),
        ({"no-refine": True, "fit-thresholds": True}, "fit-thresholds needs a refinement"),
        ({"no-refine": True, "own-anatomy": True}, "own-anatomy needs a refinement"),
        ({"tissue": MAPS, "no-refine": True}, "own-anatomy needs a refinement"),
        ({"tissue": MAPS}, "tissue map gm g.nii: no such"),
    ],
)
def test_invert_refuses_before_it_registers(
    capsys, monkeypatch, database, patient, tmp_path, options, message
):
    def never(*_):
        raise AssertionError("a registration was started")

    monkeypatch.setattr("glioquery.pipeline.alignment.ants_worker._run_apart", never)
    options = {"output": tmp_path / "out"} | options
    assert message in invert(capsys, database.path, patient, options.pop("output"), **options)


@pytest.fixture
def copy(database, tmp_path):
    shutil.copytree(database.path, tmp_path / "db")
    return tmp_path / "db"


def remove_index(db):
    shutil.rmtree(db / INDEX_FOLDER)


def remove_shard(db):
    (db / "shards" / "shard-00001.nc").unlink()


def truncate_shard(db):
    shard = db / "shards" / "shard-00001.nc"
    shard.write_bytes(shard.read_bytes()[:-10])


def change_version(db):
    header = json.loads((db / "database.json").read_text())
    (db / "database.json").write_text(json.dumps(header | {"schema_version": 0}))


def remove_database(db):
    shutil.rmtree(db)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_index, "glioquery index"),
        (remove_shard, "shard-00001.nc is missing"),
        (truncate_shard, "shard-00001.nc has"),
        (change_version, "has schema glioquery-database 0"),
        (remove_database, "holds no database"),
    ],
)
def test_invert_refuses_a_broken_database(capsys, copy, patient, tmp_path, damage, message):
    damage(copy)
    assert message in invert(capsys, copy, patient, tmp_path / "out")
    assert not (tmp_path / "out" / "result.json").exists()


def test_invert_refuses_the_index_of_another_database(capsys, copy, patient, tmp_path):
    plan = Database.open(copy).plan
    generate(copy, 10, plan=plan)
    assert "glioquery index" in invert(capsys, copy, patient, tmp_path / "out")


def test_query_checks_what_it_is_given(capsys, database, patient, tmp_path):
    seg = patient / "seg.nii.gz"
    assert "either --seg" in refused(capsys, "query", database.path)
    assert "either --seg" in refused(capsys, "query", database.path, "--core", seg)
    line = refused(capsys, "query", database.path, "--core", seg, "--whole", seg)
    assert "holds 0 and 1 alone" in line
    far = SIMULATION_GRID.affine.copy()
    far[:3, 3] += 1000
    nib.save(nib.Nifti1Image(np.ones((9, 9, 9), np.uint8), far), tmp_path / "far.nii.gz")
    line = refused(
        capsys, "query", database.path, "--core", tmp_path / "far.nii.gz",
        "--whole", tmp_path / "far.nii.gz",
    )  # fmt: skip
    assert "no voxel of the outlines lies in" in line


def test_the_installed_command_runs():
    done = subprocess.run(
        [sys.executable, "-m", "glioquery.pipeline.commands.cli", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    for command in (
        "atlas",
        "simulate",
        "generate",
        "verify",
        "index",
        "query",
        "invert",
        "demo",
        "describe",
    ):
        assert command in done.stdout
    bad = subprocess.run(
        [sys.executable, "-m", "glioquery.pipeline.commands.cli", "invert"],
        capture_output=True,
        check=False,
    )
    assert bad.returncode == 2


@pytest.fixture
def broken(monkeypatch, tmp_path):
    """A command that meets a bug; where its traceback goes."""

    def find(folder):
        return {}["cell"]

    monkeypatch.setattr("glioquery.pipeline.commands.patient.find_results", find)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_a_bug_is_one_line_and_a_file_with_the_traceback(capsys, broken):
    code, out, err = run(capsys, "check", "OUT")
    (file,) = broken.glob("glioquery-*.txt")
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        f"failed: unexpected KeyError: 'cell' (please report it, with the traceback in {file})"
    ]
    assert 'return {}["cell"]' in file.read_text(encoding="utf-8")


def test_debug_prints_the_traceback_at_once(capsys, broken):
    code, _, err = run(capsys, "--debug", "check", "OUT")
    assert code == 1 and 'return {}["cell"]' in err and err.endswith("failed: 'cell'\n")
    assert not list(broken.iterdir())
    code, _, err = run(capsys, "--debug", "describe", broken)
    assert code == 2 and "Traceback" in err and err.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (InputError("expected a, got b"), 2, "error: expected a, got b"),
        (FailedError("all workers died"), 1, "failed: all workers died"),
        (FileNotFoundError(2, "No such file or directory", "/x"), 2, "error: /x: No such file"),
        (PermissionError(13, "Permission denied", "/x"), 1, "failed: /x: Permission denied"),
        (OSError("strange"), 1, "failed: unexpected OSError: strange (please"),
        (ValueError("shapes differ"), 1, "failed: unexpected ValueError: shapes differ (please"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_ends_a_command_decides_its_exit_code(
    capsys, monkeypatch, tmp_path, error, code, told
):
    def find(folder):
        raise error

    monkeypatch.setattr("glioquery.pipeline.commands.patient.find_results", find)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ended, _, err = run(capsys, "check", "OUT")
    assert ended == code and err.startswith(told) and len(err.splitlines()) == 1
