"""Databases on the command line: what they cost, how far they are, merging them."""

import json

import pytest
from command_line import run

from glioquery.dbgen import Database
from glioquery.dbgen.generation import FinishedShard
from glioquery.dbgen.store.embedded import EMBEDDED
from glioquery.pipeline.commands import database as commands
from glioquery.pipeline.terminal.progress import GenerationProgress, Speed, duration

STUDY = """
sampler = "uniform"
dw = 0.2
rho = 0.07
[days]
low = 120
high = 200
[whole_ml]
low = 5
high = 60
[model]
name = "fisher-kolmogorov"
ratio = 5.0
"""


@pytest.fixture
def study(tmp_path):
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path / "study.toml"


def test_a_dry_run_tells_the_cost_and_writes_nothing(capsys, study, tmp_path, monkeypatch):
    monkeypatch.setattr("glioquery.dbgen.pilot.N_RUNS", 6)
    arguments = ("--n", 500, "--space", study, "--store", "outlines", "--workers", 4)
    code, out, err = run(capsys, "generate", tmp_path / "db", *arguments, "--dry-run", "--json")
    facts = json.loads(out)
    assert code == 0, err
    assert facts["n_runs"] == 500 and facts["n_workers"] == 4
    assert 0 < facts["acceptance"] <= 1 and facts["n_draws"] >= 500
    assert facts["seconds"] == pytest.approx(facts["core_seconds"] / 4)
    assert 100_000 < facts["n_bytes"] < 10_000_000
    assert not (tmp_path / "db").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "'trajectory' draws without end"),
        (("--n", 0), "--n is 1 or more"),
        (("--n", 3, "--store", "pictures"), "store is 'density' or 'outlines'"),
        (("--n", 3, "--model", "cubic"), "unknown growth model 'cubic'"),
        (("--n", 3, "--space", "nowhere.toml"), "nowhere.toml"),
        (("--n", 3, "--sampler", "grid"), "dw: the sampler 'grid' takes one value or a list"),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_bad_requests_end_with_one_line(capsys, tmp_path, arguments, message, dry):
    code, _, err = run(capsys, "generate", tmp_path / "db", *arguments, *dry)
    assert code == 2 and len(err.splitlines()) == 1
    assert message in err


def test_a_study_is_generated_continued_and_merged(capsys, study, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    base = ("--space", study, "--store", "outlines", "--shard-size", 1)
    code, _, err = run(capsys, "generate", one, "--n", 1, *base)
    assert code == 0, err
    lines = err.splitlines()
    assert lines[0] == "generate: 0 of 1 tumours"
    assert lines[1].startswith("generate: shard 00000 written, 1 of 1 tumours, ")
    assert lines[1].endswith(" % accepted, 0 s left")
    # The model of the study, and a setting of it that is named beside it.
    assert Database.open(one).plan.model.ratio == 5.0
    assert run(capsys, "generate", two, "--n", 1, *base, "--seed", 3, "--set", "ratio=7.0")[0] == 0
    assert Database.open(two).plan.model.ratio == 7.0
    # Without anything named, the folder's own plan goes on.
    assert run(capsys, "generate", one, "--n", 2)[0] == 0
    code, _, err = run(capsys, "generate", one, "--n", 2, "--model", "fisher-kolmogorov")
    assert code == 2 and "another plan" in err
    code, _, err = run(capsys, "merge", tmp_path / "both", one, two)
    assert code == 0 and "ratio = 5.0, 7.0" in " ".join(err.split())
    assert set(Database.open(tmp_path / "both").parameters.ratio.values) == {5, 7}
    three = tmp_path / "three"
    assert run(capsys, "generate", three, "--n", 1, *base, "--seed", 3)[0] == 0
    code, out, _ = run(capsys, "merge", tmp_path / "all", one, three, "--json")
    assert code == 0 and json.loads(out)["samples"] == len(Database.open(tmp_path / "all")) == 3


def test_speed_counts_from_the_beginning_of_this_call():
    speed = Speed(n_begun=100)
    first = speed.add(FinishedShard(3, 150, 1000, n_runs=10, n_draws=20), 25.0)
    assert first == "2 tumours/s, 50 % accepted, 7 min left"
    second = speed.add(FinishedShard(4, 200, 1000, n_runs=10, n_draws=10), 40.0)
    assert second == "2.5 tumours/s, 67 % accepted, 5 min left"


def test_where_there_is_no_terminal_each_shard_is_a_line(capsys):
    progress = GenerationProgress(None)
    progress.count(0, 100)
    for index in (1, 0):
        progress.count(50 * (2 - index), 100)
        progress.add(FinishedShard(index, 50 * (2 - index), 100, 5, 10))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("generate: shard 00001 written, 50 of 100 tumours, ")
    assert lines[2].startswith("generate: shard 00000 written, 100 of 100 tumours, ")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (89, "89 s"), (95, "2 min"), (5300, "88 min"), (11100, "3 h 05 min")],
)
def test_durations(seconds, said):
    assert duration(seconds) == said


def test_without_a_folder_the_database_that_comes_along_is_described_and_verified(
    capsys, monkeypatch
):
    code, out, err = run(capsys, "describe", "--json")
    assert code == 0, err
    facts = json.loads(out)
    assert (facts["path"], facts["n_samples"]) == (str(EMBEDDED), 6500)
    verified = []
    monkeypatch.setattr(commands, "verify", lambda folder, **_: verified.append(folder) or [])
    code, out, err = run(capsys, "verify", "--json")
    assert code == 0, err
    assert verified == [EMBEDDED]
    assert json.loads(out) == {"database": str(EMBEDDED), "faults": []}
