"""`index` and `query` on a database on disk: other thresholds, other measures, bad input."""

import dataclasses
import functools
import json
import shutil
import subprocess
import sys

import command_line
import nibabel as nib
import numpy as np
import pytest
from generating import SMALL, make_indexed
from raw_nifti import write_raw

from glioquery.atlas import SIMULATION_GRID
from glioquery.dbgen import Database, DatabaseError, generate
from glioquery.pipeline.commands import search as search_command
from glioquery.pipeline.images.nifti import write_nifti
from glioquery.query import Index, build_index, outlines_of
from glioquery.query.strategies import search_with
from glioquery.solver import Thresholds


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Six small tumours in two shards, with densities, indexed."""
    plan = dataclasses.replace(SMALL, seed=3)
    return make_indexed(tmp_path_factory.mktemp("search") / "db", 6, plan, shard_size=4)


@pytest.fixture
def copy(database, tmp_path):
    """One that a test may damage."""
    shutil.copytree(database.path, tmp_path / "db")
    return tmp_path / "db"


@pytest.fixture
def outlines_only(copy):
    header = json.loads((copy / "database.json").read_text())
    (copy / "database.json").write_text(json.dumps(header | {"store": "outlines"}))
    return copy


@pytest.fixture
def query(database, tmp_path):
    """Outlines of sample 3 as files, and the options that name them."""
    masks = database.outlines(3)
    options = []
    for name in ("core", "whole"):
        write_nifti(tmp_path / f"{name}.nii.gz", getattr(masks, name), masks.grid)
        options += [f"--{name}", tmp_path / f"{name}.nii.gz"]
    return options


@pytest.fixture
def run(capsys):
    """`command_line.run` with what it captures from."""
    return functools.partial(command_line.run, capsys)


def test_a_cluster_finds_what_one_process_finds(run, ray, database, query):
    address = ("--address", ray.get_runtime_context().gcs_address)
    code, alone, _ = run("query", database.path, *query, "-k", 4, "--json")
    assert code == 0
    assert run("query", database.path, *query, "-k", 4, *address, "--json")[:2] == (0, alone)
    assert json.loads(alone)["matches"][0]["sample"] == 3


def test_a_cluster_indexes_a_small_database_as_one_process_does(run, ray, database, tmp_path):
    shutil.copytree(database.path, tmp_path / "db")
    shutil.rmtree(tmp_path / "db" / "index")
    address = ("--address", ray.get_runtime_context().gcs_address)
    code, _, err = run("index", tmp_path / "db", *address)
    assert code == 0, err
    assert Index.open(tmp_path / "db" / "index").files == outlines_of(database).open_index().files
    shutil.rmtree(tmp_path / "db" / "index")
    code, _, err = run("index", tmp_path / "db", *address, "--workers", 2)
    assert code == 2 and "give one of the two" in err


def test_a_query_works_without_jax_and_what_draws(run, database, query):
    arguments = [str(a) for a in ("query", database.path, *query, "-k", 4, "--json")]
    program = (
        "import sys\n"
        "absent = 'jax', 'matplotlib', 'nilearn', 'ray'\n"
        "sys.modules.update(dict.fromkeys(absent))\n"
        "from glioquery.pipeline.commands.cli import main\n"
        "main()\n"
    )
    alone = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True
    )
    assert (alone.returncode, alone.stdout) == run(*arguments)[:2], alone.stderr
    assert alone.returncode == 0


@pytest.mark.parametrize("normalisation", ["absolute", "own-maximum"])
def test_other_outlines_are_those_of_the_densities(database, normalisation, tmp_path):
    thresholds = Thresholds(core=0.5, whole=0.1)
    source = outlines_of(database, thresholds=thresholds, normalisation=normalisation)
    index = build_index(source, tmp_path / "index")
    for sample in range(6):
        u = database.density(sample).u
        scale = u.max() if normalisation == "own-maximum" else 1
        np.testing.assert_array_equal(index.outlines(sample).core, u >= np.float32(0.5) * scale)
        np.testing.assert_array_equal(index.outlines(sample).whole, u >= np.float32(0.1) * scale)
    assert (index.thresholds, index.normalisation) == (thresholds, normalisation)
    with pytest.raises(ValueError, match=r"expected outlines at u >= 0\.6.*u >= 0\.5"):
        Index.open(index.path, thresholds=database.thresholds)


def test_indexes_of_other_outlines_live_side_by_side(run, copy, query):
    for options, folder in (
        ((), "index"),
        (("--core-threshold", 0.5), "index-0.5-0.2"),
        (("--normalise", "own-maximum"), "index-0.6-0.2-own-maximum"),
    ):
        if options:
            code, _, err = run("query", copy, *query, *options)
            assert code == 2 and f"no index at {copy / folder}" in err
            assert "glioquery index DB" in err
        code, out, _ = run("index", copy, *options, "--json")
        assert code == 0 and json.loads(out)["index"] == str(copy / folder)
        code, out, _ = run("query", copy, *query, *options, "--json")
        assert code == 0
        best = json.loads(out)["matches"][0]
        assert best["sample"] == 3 and (best["score"] == 2) == (not options)


def test_other_outlines_need_densities(run, outlines_only, query):
    assert run("index", outlines_only)[0] == 0
    for options in (("--whole-threshold", 0.1), ("--normalise", "own-maximum")):
        for command in (("index", outlines_only), ("query", outlines_only, *query)):
            code, out, err = run(*command, *options)
            assert (code, out) == (2, "")
            assert "stores outlines at core 0.6 and whole 0.2 (absolute) and no densities" in err
            assert "--store density" in err
    code, _, err = run("index", outlines_only, "--normalise", "maximum")
    assert code == 2 and "one of absolute, own-maximum, got 'maximum'" in err
    code, _, err = run("index", outlines_only, "--core-threshold", 0.1)
    assert code == 2 and "0 < whole <= core < 1" in err


def test_a_damaged_shard_is_named(run, copy):
    shard = copy / "shards" / "shard-00001.nc"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1  # of the same size, so that opening does not see it
    shard.write_bytes(content)
    code, _, err = run("index", copy)  # up to date, and yet the database is looked at
    assert code == 2 and "shard-00001.nc is damaged" in err
    shutil.rmtree(copy / "index")
    code, _, err = run("index", copy)
    assert code == 2 and "shard-00001.nc is damaged" in err and "glioquery generate" in err
    assert not (copy / "index").exists()
    with pytest.raises(DatabaseError, match=r"shard-00001\.nc is damaged"):
        build_index(Database.open(copy), copy / "index", n_workers=2)


def test_an_index_follows_its_database(run, copy, query, tmp_path):
    grown = generate(copy, 9, plan=Database.open(copy).plan)
    code, _, err = run("query", copy, *query)
    assert code == 2 and "of 6 tumours, the database has 9" in err and "`glioquery index DB`" in err
    code, _, err = run("index", copy)
    assert code == 0 and "9 of 9" in err
    fresh = build_index(grown, tmp_path / "fresh")
    assert Index.open(copy / "index").files == fresh.files
    assert run("query", copy, *query)[0] == 0


@pytest.mark.parametrize("name", ["volumes.npy", "mixed_bits.npy", "index.json"])
def test_a_truncated_index_is_refused_and_built_again(run, copy, query, name):
    (file,) = (copy / "index").rglob(name)
    file.write_bytes(file.read_bytes()[:-8])
    code, _, err = run("query", copy, *query)
    assert code == 2 and name in err and "build it again with `glioquery index DB`" in err
    assert run("index", copy)[0] == 0
    assert run("query", copy, *query)[0] == 0


def test_an_altered_index_is_refused_and_built_again(run, copy, query):
    (file,) = (copy / "index").rglob("mixed_bits.npy")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    code, _, err = run("query", copy, *query)
    assert code == 2 and "mixed_bits.npy was altered" in err and "`glioquery index DB`" in err
    assert run("index", copy)[0] == 0
    assert run("query", copy, *query)[0] == 0


def test_an_altered_strategy_is_refused_and_made_again(run, copy, query):
    asked = ("query", copy, *query, "--strategy", "ds32", "--json")
    assert run("train", copy, "--strategy", "ds32")[0] == 0
    code, before, _ = run(*asked)
    assert code == 0
    (file,) = (copy / "strategies" / "ds32").glob("bits.npy")
    content = file.read_bytes()
    file.write_bytes(content[:-64] + content[-64:][::-1])
    for refused in (asked, ("evaluate", copy, "-o", copy / "ev", "--strategies", "ds32")):
        code, _, err = run(*refused)
        assert code == 2 and "bits.npy was altered: run `glioquery train" in err
    assert run("train", copy, "--strategy", "ds32")[0] == 0
    assert run(*asked)[1] == before


def test_an_overlap_is_judged_by_the_best_one_whatever_ranks_the_tumours(
    run, database, query, monkeypatch
):
    """A ranking that is not by overlap may begin with tumours that lie elsewhere."""

    def worst_first(*arguments, **options):
        return [dataclasses.replace(m, score=0.0) for m in search_with(*arguments, **options)]

    monkeypatch.setattr(search_command, "search_with", worst_first)
    assert run("train", database.path, "--strategy", "ds32")[0] == 0
    code, _, err = run("query", database.path, *query, "--strategy", "ds32", "-k", 1)
    assert code == 0, err


def test_k_is_checked(run, database, query):
    code, _, err = run("query", database.path, *query, "-k", 0)
    assert code == 2 and "k, the number of matches, is 1 or more, got 0" in err
    code, out, _ = run("query", database.path, *query, "-k", 7, "--json")
    assert code == 0 and len(json.loads(out)["matches"]) == 6
    code, _, err = run("query", database.path, *query, "--rerank", 5)
    assert code == 2 and "leave --rerank out" in err


def test_measures_and_weights(run, database, query):
    def best(*options):
        code, out, err = run("query", database.path, *query, *options, "--json")
        assert code == 0, err
        return json.loads(out)["matches"]

    assert best("--measure", "jaccard")[0]["sample"] == 3
    l2 = best("--measure", "l2")
    assert l2[0]["score"] == 0 and l2[0]["dice_whole"] == 1
    assert [m["score"] for m in l2] == sorted(m["score"] for m in l2)
    hausdorff = best("--measure", "hausdorff95", "-k", 2)
    assert hausdorff[0]["score"] == 0 < hausdorff[1]["score"]
    for match in best("--core-weight", 0.5):
        expected = 0.5 * match["dice_core"] + 1.5 * match["dice_whole"]
        assert match["score"] == expected
    code, _, err = run("query", database.path, *query, "--core-weight", 3)
    assert code == 2 and "--core-weight is 0 to 2, got 3" in err
    code, _, err = run("query", database.path, *query, "--measure", "cosine")
    assert code == 2 and "unknown measure 'cosine'" in err


def test_dice_inside_the_tissue_stands_beside_the_full_score(run, database, tmp_path):
    masks = database.outlines(3)
    whole = masks.whole.copy()
    whole[:20, :20, :20] = True  # far outside the brain
    for name, mask in (("core", masks.core), ("whole", whole)):
        write_nifti(tmp_path / f"{name}.nii.gz", mask, masks.grid)
    code, out, _ = run(
        "query", database.path, "--core", tmp_path / "core.nii.gz",
        "--whole", tmp_path / "whole.nii.gz", "--json",
    )  # fmt: skip
    best = json.loads(out)["matches"][0]
    assert code == 0 and best["sample"] == 3
    assert best["score"] < 2 and best["score_in_tissue"] == 2


def test_two_empty_cores_score_as_asked(run, database, query, tmp_path):
    masks = database.outlines(3)
    write_nifti(tmp_path / "none.nii.gz", np.zeros_like(masks.core), masks.grid)
    options = ["--core", tmp_path / "none.nii.gz", *query[2:]]
    for asked, message in (
        (0.25, None),
        (2, "empty_score, the Dice of two empty masks, is 0 to 1"),
    ):
        code, out, err = run("query", database.path, *options, "--empty-score", asked, "--json")
        if message:
            assert code == 2 and message in err
        else:  # every stored tumour has a core
            assert code == 0 and json.loads(out)["matches"][0]["dice_core"] == 0


def test_masks_on_another_grid(run, database, query, tmp_path):
    fine = SIMULATION_GRID.affine @ np.diag([-0.5, 0.5, 0.5, 1])
    fine[:3, 3] = SIMULATION_GRID.affine[:3, 3] + [254.5, -0.5, -0.5]
    masks = database.outlines(3)
    for name in ("core", "whole"):
        mask = np.kron(getattr(masks, name), np.ones((2, 2, 2), np.uint8))[::-1]
        nib.save(nib.Nifti1Image(mask, fine), tmp_path / f"{name}.nii.gz")
    code, out, err = run("query", database.path, *query, "--json")
    best = json.loads(out)["matches"][0]
    assert code == 0 and best["sample"] == 3 and best["score"] > 1.9
    assert "resampled from 256 x 256 x 256 voxels of 1 x 1 x 1 mm" in err
    shifted = np.diag([1, 1, 1, 1.0])
    shifted[:3, 3] = 500
    for name in ("core", "whole"):
        mask = np.ones((9, 9, 9), np.uint8)
        nib.save(nib.Nifti1Image(mask, shifted), tmp_path / f"{name}.nii.gz")
    code, _, err = run("query", database.path, *query)
    assert code == 2 and "9 x 9 x 9 voxels of 1 x 1 x 1 mm from (500, 500, 500)" in err
    assert "128 x 128 x 128 voxels of 2 x 2 x 2 mm" in err


def test_headers_of_a_query(run, database, query):
    """A header's doubts are told or refused, and scaled outlines are rounded."""
    masks, (core, whole) = database.outlines(3), query[1::2]
    affine = SIMULATION_GRID.affine
    for name, path in (("core", core), ("whole", whole)):
        values = getattr(masks, name).astype(np.uint8)
        write_raw(path, values, affine, scl_slope=1.00002, sform_code=0, xyzt_units=0)
    code, out, err = run("query", database.path, *query, "--json")
    assert code == 0 and json.loads(out)["matches"][0]["score"] == 2 and "notice" not in err
    moved = affine + 17 * np.eye(4, 4, 3)
    fields = {f"srow_{axis}": moved[i] for i, axis in enumerate("xyz")}
    write_raw(whole, masks.whole.astype(np.uint8), affine, **fields)
    code, _, err = run("query", database.path, *query)
    assert code == 2 and f"whole outline {whole}: its header declares two frames 17 mm" in err
    units = np.diag([0.001, 0.001, 0.001, 1]) @ affine
    write_raw(whole, masks.whole.astype(np.uint8) * 2, units, xyzt_units=1)
    options = ("--seg", whole, "--core-labels", 1, "--whole-labels", "1,2", "--json")
    code, out, err = run("query", database.path, *options)
    assert code == 0 and json.loads(out)["matches"][0]["dice_whole"] == 1
    assert "notice: The segmentation gives its sizes in metres" in " ".join(err.split())


def test_a_core_outside_the_whole_is_said_and_kept(run, database, tmp_path):
    masks = database.outlines(3)
    core = masks.core.copy()
    core[60, 60, 60:63] = True
    for name, mask in (("core", core), ("whole", masks.whole)):
        write_nifti(tmp_path / f"{name}.nii.gz", mask, masks.grid)
    n_outside = int((core & ~masks.whole).sum())
    code, out, err = run(
        "query", database.path, "--core", tmp_path / "core.nii.gz",
        "--whole", tmp_path / "whole.nii.gz", "--json",
    )  # fmt: skip
    assert n_outside > 0 and f"{n_outside} voxels of the core lie outside the whole" in err
    assert code == 0 and json.loads(out)["matches"][0]["dice_core"] < 1


def test_a_core_that_surrounds_the_rest_is_said(run, database, tmp_path):
    masks = database.outlines(3)
    labels = np.select([masks.core, masks.whole], [1, 2], 0).astype(np.uint8)
    write_nifti(tmp_path / "seg.nii.gz", labels, masks.grid)
    write_nifti(tmp_path / "shell.nii.gz", masks.whole & ~masks.core, masks.grid)
    write_nifti(tmp_path / "whole.nii.gz", masks.whole, masks.grid)
    seg = ["--seg", tmp_path / "seg.nii.gz", "--whole-labels", "1,2", "--core-labels"]
    outlines = ["--core", tmp_path / "shell.nii.gz", "--whole", tmp_path / "whole.nii.gz"]
    for options, is_said in (
        ([*seg, "1"], False),
        ([*seg, "2"], True),
        (outlines, True),
    ):
        code, _, err = run("query", database.path, *options, "--json")
        assert code == 0 and ("core surrounds" in err) == is_said, err
