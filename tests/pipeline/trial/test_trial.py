"""A trial: rows that are made once, failures that are told, figures with intervals, the page."""

import contextlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import run

from glioquery.dbgen.machine.tasks import UnfitNodeError
from glioquery.errors import InputError
from glioquery.pipeline.trial import trial
from glioquery.pipeline.trial.plan import TrialPlan
from glioquery.pipeline.trial.rivals import RANKINGS
from glioquery.pipeline.trial.scores import FACTORS
from glioquery.pipeline.trial.summary import ALL, summarise
from glioquery.pipeline.trial.trial import read_row, row_path, run_trial
from glioquery.pipeline.trial.trial_picture import draw_trial
from glioquery.pipeline.trial.trial_report import page_of, short_table, write_trial

LEVELS = ("0.01", "0.2")


def scored(number, arm, **at_standard):
    """What is found for a case: rankings of a stated coverage at the standard plan's size."""
    rng = np.random.default_rng([number, ord(arm)])

    def ranking(name):
        coverage = at_standard.get(name, 0.9 if name == "oracle" else 0.5)
        curve = [float(np.clip(coverage * f**0.3, 0, 1)) for f in FACTORS]
        return {"coverage": curve, "average_precision": 0.8, "roc_auc": 0.95}

    density = {
        "correlation": 0.9, "mean_absolute_error": 0.05, "dice_core": 0.8, "dice_whole": 0.9,
        "residual": 0.1,
    }  # fmt: skip
    n = rng.integers(50, 99, 10)
    shares = {"n": n.tolist(), "claimed": (n * 0.3).tolist(), "true": (n * 0.2).tolist()}
    return {
        "facts": {}, "growth": {}, "seconds": 1.0,
        "rankings": {name: ranking(name) for name in RANKINGS},
        "densities": {"map": density, "growth": density},
        "plans": {"standard": 0.7, "model": 0.8},
        "reliability": dict.fromkeys(LEVELS, shares),
    }  # fmt: skip


def row(number, arm, **at_standard):
    return {"patient": number, "arm": arm, "request": {}} | scored(number, arm, **at_standard)


class Here:
    """Stands in for Ray: tasks run when they are begun, in this process."""

    exceptions = SimpleNamespace(RayError=RuntimeError)

    def __init__(self):
        self.cancelled = []

    def wait(self, references, timeout):
        return references[:1], references[1:]

    def get(self, reference):
        if isinstance(reference.result, Exception):
            raise reference.result
        return reference.result

    def cancel(self, reference, force):
        self.cancelled.append(reference)


class Task:
    def __init__(self, work):
        self._work, self.result = work, None

    def remote(self, *arguments, **options):
        begun = Task(self._work)
        try:
            begun.result = self._work(*arguments, **options)
        except RuntimeError as error:
            begun.result = error
        return begun


@pytest.fixture
def made(monkeypatch):
    """Cases that cost nothing, and those that were made, in their order."""
    cases = []

    def make_bearer(seed, number):
        if number == 13:
            cases.append("no head")
            raise InputError("no head: expected one, got none, draw again")
        return number

    def score(patient, keep):
        cases.append(patient)
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / "truth.nii").write_text("the truth")
        return scored(*patient)

    @contextlib.contextmanager
    def connected(address, n_workers):
        yield Here()

    monkeypatch.setattr(trial, "connected", connected)
    monkeypatch.setattr(trial, "remote", lambda ray, work, **_: Task(work))
    monkeypatch.setattr(trial, "resources", lambda *_: {})
    monkeypatch.setattr(trial, "make_bearer", make_bearer)
    monkeypatch.setattr(trial, "image", lambda bearer, arm, rng: (bearer, arm))
    monkeypatch.setattr(trial, "score_case", score)
    return cases


def test_rows_are_made_once_and_a_broken_one_anew(tmp_path, made):
    plan = TrialPlan(2, first=3, arms="ca")
    told = []
    rows = run_trial(plan, tmp_path, progress=lambda *done: told.append(done))
    assert made == [(3, "a"), (3, "c"), (4, "a"), (4, "c")]
    assert [(r["patient"], r["arm"]) for r in rows] == made
    assert told == [(0, 4), (2, 4), (4, 4)]
    assert {p.name for p in (tmp_path / "rows").iterdir()} == {
        "003a.json", "003c.json", "004a.json", "004c.json",
    }  # fmt: skip
    made.clear()
    assert run_trial(plan, tmp_path) == rows and made == []
    whole = row_path(tmp_path, 3, "c").read_text()
    row_path(tmp_path, 3, "c").write_text(whole[: len(whole) // 2])  # killed while it wrote
    assert run_trial(plan, tmp_path) == rows and made == [(3, "c")]
    made.clear()
    run_trial(TrialPlan(1, first=3, arms="b"), tmp_path)
    run_trial(TrialPlan(1, first=3, arms="a", seed=5), tmp_path)  # other patients
    assert made == [(3, "b"), (3, "a")]


def test_files_that_are_to_be_kept_are_made_for_finished_rows_too(tmp_path, made):
    plan, other = TrialPlan(2, arms="a"), TrialPlan(2, arms="a", seed=1)
    rows = run_trial(plan, tmp_path)
    made.clear()
    (tmp_path / "patients" / "001a").mkdir(parents=True)  # of a run that was killed
    assert run_trial(plan, tmp_path, keep=True) == rows and made == [(0, "a"), (1, "a")]
    assert run_trial(plan, tmp_path, keep=True) == rows and len(made) == 2
    (tmp_path / "patients" / "000a" / "truth.nii").unlink()
    assert run_trial(plan, tmp_path, keep=True) == rows and made[2:] == [(0, "a")]
    # Files of another seed are not taken for this one's.
    run_trial(other, tmp_path)
    made.clear()
    run_trial(other, tmp_path, keep=True)
    assert made == [(0, "a"), (1, "a")]


def test_a_run_that_cannot_begin_loses_no_row(tmp_path, made, monkeypatch):
    plan = TrialPlan(2, arms="a")
    rows = run_trial(plan, tmp_path)

    def refuse(address, n_workers):
        raise InputError("no cluster")

    monkeypatch.setattr(trial, "connected", refuse)
    with pytest.raises(InputError, match="no cluster"):
        run_trial(plan, tmp_path, keep=True)
    assert run_trial(plan, tmp_path) == rows


def test_a_node_without_the_folder_says_so_before_any_work(tmp_path, made):
    request = trial.request_of(TrialPlan(1, arms="a"))
    with pytest.raises(UnfitNodeError, match="does not see"):
        trial.run_patient(tmp_path / "elsewhere", request, 0, "a")
    assert made == []


def test_a_case_that_fails_is_told_counted_and_tried_again(tmp_path, made):
    rows = run_trial(TrialPlan(2, first=12, arms="ab"), tmp_path)
    assert [("error" in r) for r in rows] == [False, False, True, True]
    summary = summarise(rows)
    assert set(summary.failures) == {"013a", "013b"}
    assert all("no head" in line for line in summary.failures.values())
    assert summary.figure("a", "coverage_1", "map").n == 1
    made.clear()
    run_trial(TrialPlan(2, first=12, arms="ab"), tmp_path)
    assert made == ["no head"] * 2  # tried again for each arm, in vain
    assert "013a: no head" in page_of(TrialPlan(2, 12, "ab"), summary)


def test_a_worker_that_dies_twice_loses_no_row(tmp_path, made, monkeypatch):
    deaths = []

    def dies(*arguments, **options):
        deaths.append(arguments[2])
        raise RuntimeError("killed for memory")

    monkeypatch.setattr(trial, "run_patient", dies)
    rows = run_trial(TrialPlan(1, arms="ab"), tmp_path)
    assert deaths == [0, 0]
    assert [r["error"] for r in rows] == ["the worker died: killed for memory"] * 2


def test_figures_are_means_over_patients_with_bootstrap_intervals():
    rng = np.random.default_rng(1)
    ours, standard = 0.8 + 0.05 * rng.standard_normal(40), 0.75 + 0.05 * rng.standard_normal(40)
    rows = [
        row(i, "a", map=m, margin_core=s, oracle=0.95, margin_whole=0.77)
        for i, (m, s) in enumerate(zip(ours, standard, strict=True))
    ]
    summary = summarise(rows)
    figure = summary.figure("a", "coverage_1", "map")
    assert figure.mean == pytest.approx(ours.mean()) and figure.n == 40
    half = 1.96 * ours.std() / np.sqrt(40)
    assert figure.low == pytest.approx(ours.mean() - half, abs=0.15 * half)
    assert figure.high == pytest.approx(ours.mean() + half, abs=0.15 * half)
    assert summary.best_rival("a") == "margin_whole"
    assert summary.figure("a", "minus_rival", "margin_whole").mean == pytest.approx(
        ours.mean() - 0.77
    )
    assert summary.figure("a", "better", "map").mean == (ours > standard).mean()
    gain = (ours - standard).sum() / (0.95 - standard).sum()
    assert summary.figure("a", "share_of_gain", "map").mean == pytest.approx(gain)
    assert summarise(rows) == summary
    assert summary.arms == ["a"]


def test_all_arms_together_are_each_patients_mean():
    rows = [row(i, arm, map=0.1 * i + 0.01 * "abc".index(arm)) for i in range(4) for arm in "abc"]
    summary = summarise(rows[:-1])  # the last patient lacks an arm
    assert summary.arms == ["a", "b", "c", ALL]
    together = summary.figure(ALL, "coverage_1", "map")
    assert together.n == 3 and together.mean == pytest.approx(np.mean([0.01, 0.11, 0.21]))
    assert summary.figure("c", "coverage_1", "map").n == 3
    assert summary.figure("a", "coverage_1", "map").n == 4


def test_reliability_is_pooled_and_small_bins_say_nothing():
    one, other = row(0, "a"), row(1, "a")
    for found in (one, other):
        n = np.array([900, 0, 0, 50, 0, 0, 0, 0, 0, 3])
        found["reliability"]["0.2"] = {
            "n": n.tolist(),
            "claimed": (n * [0.01, 0, 0, 0.33, 0, 0, 0, 0, 0, 0.95]).tolist(),
            "true": (n * [0.02, 0, 0, 0.25, 0, 0, 0, 0, 0, 0.1]).tolist(),
        }
    summary = summarise([one, other])
    bins = [b for b in summary.bins if (b.arm, b.density) == ("a", "0.2")]
    assert [b.lowest for b in bins] == [0.0, 0.3, 0.9]
    assert bins[1].share == pytest.approx(50 / 953)
    worst = summary.worst_bin("a", "0.2")
    assert (worst.claimed, worst.true) == pytest.approx((0.33, 0.25))


def test_one_patient_has_no_interval(tmp_path):
    summary = summarise([row(0, "a", map=0.8, oracle=0.9)])
    figure = summary.figure("a", "coverage_1", "map")
    assert figure.mean == 0.8 and np.isnan([figure.low, figure.high]).all()
    assert write_trial(tmp_path, TrialPlan(1, arms="a"), summary) == []
    assert "| the map | 0.800 |" in (tmp_path / "trial.md").read_text()
    assert json.loads((tmp_path / "trial.json").read_text())["figures"][0]["low"] is None


def test_a_trial_without_figures_leaves_no_earlier_page(tmp_path):
    write_trial(tmp_path, TrialPlan(1, arms="a"), summarise([row(0, "a", map=0.8)]))
    failed = {"patient": 0, "arm": "a", "error": "no head"}
    assert write_trial(tmp_path, TrialPlan(1, arms="a", seed=7), summarise([failed])) == []
    assert [path.name for path in tmp_path.iterdir()] == ["trial.json"]


def test_what_a_trial_says_is_written(tmp_path):
    rows = [row(i, arm, map=0.8, oracle=0.9) for i in range(3) for arm in "ab"]
    for found in rows[:2]:
        found["rankings"]["map"]["roc_auc"] = None  # what could not be told
        found["rankings"]["growth"]["roc_auc"] = None
    plan, summary = TrialPlan(3, arms="ab"), summarise(rows)
    assert write_trial(tmp_path, plan, summary) == []
    told = json.loads((tmp_path / "trial.json").read_text())
    assert told["plan"]["n_patients"] == 3 and told["failures"] == {}
    first = told["figures"][0]
    assert set(first) == {"arm", "quantity", "of", "mean", "low", "high", "n"}
    page = (tmp_path / "trial.md").read_text()
    assert "| the map | 0.800 (0.800 to 0.800) |" in page
    for words in RANKINGS.values():
        assert f"| {words} |" in page
    assert "u >= 0.2 | 0.30, 0.20" in page and "| model | 0.800 (0.800 to 0.800) |" in page
    assert {path.name for path in tmp_path.iterdir()} == {
        "trial.json", "trial.md", "trial.csv", "reliability.csv", "trial.png",
    }  # fmt: skip
    assert short_table(summary)[0]["a: cells only"] == "0.800 (0.800 to 0.800)"
    assert draw_trial(summary)[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("--patients", 0), "a trial has 1 patient or more"),
        (("--first", -1), "0 or more"),
        (("--arms", "abd"), "arms are some of the letters abc, each once, got 'abd'"),
        (("--arms", "aa"), "each once"),
        (("--arms", ""), "arms are"),
    ],
)
def test_what_is_no_trial_is_refused_before_anything(capsys, tmp_path, asked, told):
    code, out, err = run(capsys, "trial", tmp_path / "out", *asked)
    assert (code, out) == (2, "") and told in err and len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("ray")
def test_a_case_end_to_end_through_the_command(capsys, tmp_path):
    code, out, err = run(
        capsys, "trial", tmp_path, "--patients", 1, "--first", 1, "--arms", "b", "--keep", "--json"
    )
    assert code == 0, err
    assert json.loads(out)["cases"] == 1 and json.loads(out)["failed"] == {}
    found = read_row(row_path(tmp_path, 1, "b"))
    covered = {name: score["coverage"][5] for name, score in found["rankings"].items()}
    assert max(covered, key=covered.get) == "oracle" and covered["map"] > 0.6
    assert found["plans"]["model"] == pytest.approx(covered["map"], abs=1e-3)
    assert found["plans"]["standard"] == pytest.approx(covered["margin_core"], abs=1e-3)
    assert 0.75 < found["densities"]["map"]["correlation"] < 1
    kept = tmp_path / "patients" / "001b"
    assert {path.name for path in kept.iterdir()} == {
        "t1.nii.gz", "seg.nii.gz", "density_true.nii.gz", "wm_true.nii.gz", "gm_true.nii.gz",
        "csf_true.nii.gz", trial.KEPT_FILE,
    }  # fmt: skip
    before = (tmp_path / "rows" / "001b.json").stat().st_mtime_ns
    code, _, err = run(capsys, "trial", tmp_path, "--patients", 1, "--first", 1, "--arms", "b")
    assert code == 0 and "through the true tissue" in err
    assert (tmp_path / "rows" / "001b.json").stat().st_mtime_ns == before
