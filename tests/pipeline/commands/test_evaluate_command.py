"""Train, evaluate and query with strategies, as a user meets them."""

import csv
import gzip
import json
import shutil

import command_line
import nibabel as nib
import numpy as np
import pytest
from generating import make_indexed

from glioquery.dbgen import ParameterSpace, Plan, Range
from glioquery.errors import InputError
from glioquery.pipeline.cohort.evaluation_cases import find_cases
from glioquery.pipeline.commands.evaluation import _is_kept
from glioquery.pipeline.images.labels import label_convention
from glioquery.pipeline.images.nifti import write_nifti
from glioquery.pipeline.pictures import evaluation_pictures
from glioquery.pipeline.pictures.evaluation_pictures import draw_dice
from glioquery.query import outlines_of
from glioquery.query.evaluation.comparison import Row
from glioquery.query.strategies.store import discard, finish, made


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Twenty small tumours, indexed."""
    plan = Plan(ParameterSpace(whole_ml=Range(5, 15)), seed=7)
    return make_indexed(tmp_path_factory.mktemp("evaluate") / "db", 20, plan, store="outlines")


@pytest.fixture(scope="module")
def patients(database, tmp_path_factory):
    """Outlines as `invert` writes them: those of two stored tumours, the second one moved."""
    folder = tmp_path_factory.mktemp("patients")
    for subject, sample, shift in (("01", 3, 0), ("02", 11, 2)):
        masks = database.outlines(sample)
        labels = np.where(masks.core, 2, masks.whole).astype(np.uint8)
        (folder / subject).mkdir()
        path = folder / subject / f"sub-{subject}_space-SRI24_dseg.nii.gz"
        write_nifti(path, np.roll(labels, shift, 0), masks.grid)
    return folder


def run(capsys, *arguments):
    """As `command_line.run`, what is said on one line."""
    code, out, err = command_line.run(capsys, *arguments)
    return code, out, " ".join(err.split())


def test_evaluate_writes_tables_and_figures_and_resumes(
    capsys, database, patients, tmp_path, monkeypatch
):
    arguments = (
        "evaluate", database.path, "-o", tmp_path / "out", "--synthetic", 2, "--cases", patients,
        "--strategies", "ds32", "--rerank", 20, "--json",
    )  # fmt: skip
    code, out, err = run(capsys, *arguments)
    assert code == 0, err
    facts = json.loads(out)
    summary = {(s["queries"], s["strategy"]): s for s in facts["summary"]}
    strategies = ("direct", "ds32", "ds32 + rerank 20")
    assert set(summary) == {(q, s) for q in ("real", "synthetic") for s in strategies}
    for (_, strategy), one in summary.items():
        assert one["top15"] == 100 or strategy == "ds32"
        assert (one["regret_worst"] == 0) or strategy == "ds32"
        assert not one["is_scaled"]
    with (tmp_path / "out" / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 3
    own = next(row for row in rows if row["query"].startswith("01/"))
    assert (own["sample"], float(own["score"]), own["rank"]) == ("3", 2.0, "1")
    page = (tmp_path / "out" / "evaluation.md").read_text()
    assert "## Real queries (2)" in page and "66.1, 96.7, 100; 116 s" in page
    for name in ("figure2_real", "figure3_synthetic", "strategies_real", "strategies_synthetic"):
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for name in ("draw_dice", "draw_strategies"):  # which are drawn again of the same rows
        monkeypatch.setattr(evaluation_pictures, name, lambda *_: b"\x89PNG")
    assert run(capsys, *arguments)[0] == 0
    with (tmp_path / "out" / "rows.csv").open() as file:
        assert list(csv.DictReader(file)) == rows  # times and all: nothing was asked again


@pytest.mark.slow
def test_the_plain_loop_is_timed_on_a_part_and_scaled(capsys, ray, database, patients, tmp_path):
    out = tmp_path / "out"
    asked = ("evaluate", database.path, "-o", out, "--cases", patients, "--strategies", "naive")
    code, out, err = run(capsys, *asked, "--json")
    assert code == 0, err
    summary = {s["strategy"]: s for s in json.loads(out)["summary"]}
    assert summary["naive"]["is_scaled"] and summary["naive"]["top15"] == 100
    assert not summary["direct"]["is_scaled"]


def test_query_with_a_strategy(capsys, database, patients):
    outlines = ("--seg", next(patients.rglob("sub-01*")), "--core-labels", 2)
    query = ("query", database.path, *outlines, "--whole-labels", "1,2", "-k", 3, "--json")
    code, out, err = run(capsys, "train", database.path, "--strategy", "ds64,naive", "--json")
    assert code == 0 and json.loads(out) == {"ds64": {"samples": 20}}, err
    code, out, err = run(capsys, *query, "--strategy", "ds64", "--rerank", 20)
    assert code == 0, err
    reranked = json.loads(out)["matches"]
    code, out, _ = run(capsys, *query)
    assert [m["sample"] for m in reranked] == [m["sample"] for m in json.loads(out)["matches"]]
    assert (reranked[0]["sample"], reranked[0]["score"]) == (3, 2.0)
    code, _, err = run(capsys, *query, "--strategy", "ds64", "--empty-score", 1)
    assert code == 2 and "leave --measure" in err
    code, _, err = run(capsys, *query, "--strategy", "ds16")
    assert code == 2 and "unknown strategy 'ds16': choose one of direct, naive" in err


def test_untrained_strategies_name_their_command(capsys, database, patients, tmp_path):
    code, _, err = run(
        capsys, "evaluate", database.path, "-o", tmp_path, "--strategies", "ae,direct,vae"
    )
    assert code == 2
    assert f"glioquery train {database.path} --strategy ae,vae" in err
    outlines = ("--seg", next(patients.rglob("sub-01*")), "--labels", "brats2021")
    code, _, err = run(capsys, "query", database.path, *outlines, "--strategy", "bf-hash")
    assert code == 2 and f"glioquery train {database.path} --strategy bf-hash" in err
    code, _, err = run(capsys, "train", database.path, "--strategy", "ae")
    assert code == 2 and "needs 64 tumours at least, the database holds 20" in err
    code, _, err = run(capsys, "evaluate", database.path, "-o", tmp_path, "--synthetic", 0)
    assert code == 2


def test_a_finished_training_is_replaced_by_no_other(database):
    """Hours of another preset or seed are kept, unless a person removes them."""
    index = outlines_of(database).open_index()
    kept = {"settings": {}, "losses": {}, "seconds": {}}
    with made(index, "bf-hash"):
        finish(index, "bf-hash", [], preset="paper", seed=1, **kept)
    assert _is_kept(index, "bf-hash", {})
    assert _is_kept(index, "bf-hash", {"preset": "paper", "seed": 1})
    with pytest.raises(InputError, match=r"trained already, with preset paper, seed 1: remove .*"):
        _is_kept(index, "bf-hash", {"preset": "small", "seed": 1})
    discard(index, "bf-hash")
    assert not _is_kept(index, "bf-hash", {})


def test_cases_that_differ_in_the_ending_alone_keep_it(patients, tmp_path):
    (file,) = patients.rglob("sub-01*")
    shutil.copy(file, tmp_path / "a.nii.gz")
    (tmp_path / "a.nii").write_bytes(gzip.decompress(file.read_bytes()))
    shutil.copy(file, tmp_path / "b.nii.gz")
    assert find_cases(tmp_path, pattern="*.nii*").names == ("a.nii", "a.nii.gz", "b")


def test_cases_are_found_in_order_and_checked(patients, tmp_path, database):
    found = find_cases(patients)
    assert found.names == ("01/sub-01_space-SRI24_dseg", "02/sub-02_space-SRI24_dseg")
    masks, stored = found.load(0), database.outlines(3)
    assert (masks.core == stored.core).all() and (masks.whole == stored.whole).all()
    with pytest.raises(InputError, match=r"holds no file .*space-SRI24_dseg.*--case-files"):
        find_cases(tmp_path)
    brats = label_convention("brats2021")
    with pytest.raises(InputError, match="label"):
        find_cases(patients, convention=label_convention(core_labels=[1], whole_labels=[1]))
    assert found.notices == ()
    swapped = find_cases(patients, pattern="*/*dseg*", convention=brats)
    assert (swapped.load(0).core == stored.whole & ~stored.core).all()
    assert "sub-01_space-SRI24_dseg.nii.gz, core surrounds" in swapped.notices[0]
    for pattern in ("", "/tmp/*.nii.gz"):
        with pytest.raises(InputError, match="expected a pattern of paths inside"):
            find_cases(patients, pattern=pattern)
    image = nib.load(patients / "01" / "sub-01_space-SRI24_dseg.nii.gz")
    affine = image.affine.copy()
    affine[:3, 3] += 900
    far = nib.Nifti1Image(np.asarray(image.dataobj), affine)
    nib.save(far, tmp_path / "far.nii.gz")
    with pytest.raises(InputError, match="no voxel of the outlines lies in the atlas's brain"):
        find_cases(tmp_path, pattern="*.nii.gz", convention=brats)


def test_evaluate_takes_the_database_that_comes_along(capsys, tmp_path):
    code, _, err = run(capsys, "evaluate", "-o", tmp_path, "--synthetic", 0)
    assert code == 2 and "expected queries, got none" in err
    code, _, err = run(capsys, "evaluate", "-o", tmp_path, "--synthetic", 0, "--cases", tmp_path)
    assert code == 2 and f"{tmp_path} holds no file" in err
    assert "index" not in err  # which takes seconds, and comes after what is refused


def test_names_of_queries_are_no_formulas():
    row = Row("real", r"$\frac{$", "direct", 1, 1, 0.5, 0.5, 1, 1, 1, 0.5, 0.5, 0, 0.1, 0.1)
    assert draw_dice([row], "one").startswith(b"\x89PNG")
