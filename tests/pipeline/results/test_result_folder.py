"""A result folder holds the files of one run, or says that it does not."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pytest
from command_line import run

from glioquery.dbgen.machine.files import completed
from glioquery.errors import InputError
from glioquery.pipeline.cohort.cohort import Case, describe_request, invert_case, is_done
from glioquery.pipeline.inversion.inversion import invert
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.pipeline.names import map_name
from glioquery.pipeline.patient.patient import load_patient
from glioquery.pipeline.results.outputs import REPORT_FILE, write_inversion
from glioquery.pipeline.results.result_folder import (
    FILES,
    FOLDERS,
    LEFT_FILE,
    LOCK_FILE,
    RESULT_FILE,
    STAGE,
    find_faults,
    find_results,
    list_files,
    only_run,
    prepare_output,
    replaced,
    require_inputs_kept,
    require_names,
)
from glioquery.pipeline.results.ro_crate import CRATE_FILE

MAP = "sub-{}_space-T1w_density.nii.gz"


def write(folder, subject="a", **more):
    """A small result."""
    with replaced(folder) as stage:
        (stage / MAP.format(subject)).write_text(f"the map of {subject}")
        (stage / "transform").mkdir()
        (stage / "transform" / "affine.mat").write_text(subject)
        for name, text in more.items():
            (stage / name).write_text(text)
        (stage / RESULT_FILE).write_text(json.dumps({"of": subject, "files": list_files(stage)}))


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_new_result_takes_the_place_of_the_whole_old_one(tmp_path):
    write(tmp_path, "a", extra="old")
    (tmp_path / "notes.txt").write_text("mine")
    write(tmp_path, "b")
    assert set(contents(tmp_path)) == {
        MAP.format("b"), "transform/affine.mat", RESULT_FILE, "notes.txt",
    }  # fmt: skip
    assert (tmp_path / "transform" / "affine.mat").read_text() == "b"
    assert find_faults(tmp_path) == []


def test_a_run_that_fails_leaves_the_old_result_as_it_was(tmp_path):
    write(tmp_path, "a")
    before = contents(tmp_path)
    with pytest.raises(OSError, match="full"), replaced(tmp_path) as stage:
        (stage / MAP.format("b")).write_text("half")
        raise OSError("the disk is full")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("n_moved", [0, 1, 2])
def test_a_run_that_ends_while_its_files_are_moved_leaves_no_result_of_two(
    tmp_path, monkeypatch, n_moved
):
    """Files that name one of two results, in the order of their names; `result.json` is last."""
    write(tmp_path, "a")
    move, moved = type(tmp_path).replace, []

    def last(self, target):
        if STAGE in self.parts:
            if len(moved) == n_moved:
                raise KeyboardInterrupt
            moved.append(target)
        return move(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(type(tmp_path), "replace", last)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, "b")
    own, affine = {MAP.format("b"): b"the map of b"}, "transform/affine.mat"
    left = [{affine: b"a"}, own | {affine: b"a"}, own | {affine: b"b"}]
    assert contents(tmp_path) == left[n_moved] | {LEFT_FILE: (tmp_path / LEFT_FILE).read_bytes()}
    (fault,) = find_faults(tmp_path)
    assert "did not finish" in fault
    # The next run lacks files of both, and removes them.
    write(tmp_path, "c")
    assert set(contents(tmp_path)) == {MAP.format("c"), "transform/affine.mat", RESULT_FILE}
    assert find_faults(tmp_path) == []


def test_results_are_not_looked_for_in_hidden_folders(tmp_path):
    for name in ("cohort/b", "cohort/a", "cohort/.trash/old", "cohort/a/.snapshot/old"):
        write(tmp_path / name)
    found = find_results(tmp_path / "cohort")
    assert found == [tmp_path / "cohort" / name for name in "ab"]


def test_what_stands_in_the_way_is_told_before_the_old_result_goes(tmp_path):
    write(tmp_path, "a")
    (tmp_path / MAP.format("b")).mkdir()
    before = contents(tmp_path)
    with pytest.raises(InputError, match="something else is there"):
        write(tmp_path, "b")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["report.html", "transform", MAP.format("b")])
def test_a_name_of_a_result_that_is_taken_is_refused_before_any_work(tmp_path, name):
    require_names(tmp_path / "new")
    if name in FOLDERS:
        (tmp_path / name).write_text("no folder")
    else:
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=f"{name} is to be a .* something else is there"):
        require_names(tmp_path)
    assert set(FILES) == {"matches.csv", CRATE_FILE, REPORT_FILE, RESULT_FILE}


def test_an_input_that_the_result_would_replace_is_refused(tmp_path, monkeypatch):
    out = tmp_path / "out"
    write(out)
    own, seg = out / "my-outline.nii.gz", out / MAP.format("a")
    own.write_text("kept by every run")
    (tmp_path / "link.nii.gz").symlink_to(seg)
    require_inputs_kept(out, [own, tmp_path / seg.name, tmp_path / "series#3"])
    require_inputs_kept(tmp_path / "new", [seg])
    monkeypatch.chdir(out)
    for path in (seg, seg.name, f"../out/{seg.name}", tmp_path / "link.nii.gz"):
        with pytest.raises(InputError, match="copy the map elsewhere"):
            require_inputs_kept(out, [own, path])


@pytest.mark.parametrize("kind", ["seg", "tissue", "scan", "treatment"])
def test_no_command_replaces_its_inputs(capsys, tmp_path, kind):
    out = tmp_path / "out"
    write(out)
    mine, other = out / MAP.format("a"), tmp_path / "t1.nii.gz"
    for path in (mine, other):
        nib.save(nib.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4)), path)
    given = {
        "seg": ["--t1", other, "--seg", mine],
        "tissue": ["--t1", other, "--seg", other, "--tissue", other, mine, other],
        "scan": ["--scan", f"{other},{other},0", "--scan", f"{other},{mine},90"],
        "treatment": [
            "--scan", f"{other},{other},0", "--scan", f"{other},{other},90",
            "--treatments", tmp_path / "treatments.toml",
        ],
    }[kind]  # fmt: skip
    (tmp_path / "treatments.toml").write_text(
        f'[[treatment]]\nkind = "resection"\nday = 9\nmask = "{mine.relative_to(tmp_path)}"\n'
    )
    before = contents(out)
    code, _, err = run(capsys, "invert", *given, "--labels", "brats2021", "-o", out)
    assert code == 2 and "copy the map elsewhere" in " ".join(err.split())
    assert contents(out) == before


def test_parents_that_were_made_for_nothing_are_removed(tmp_path):
    with only_run(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not (tmp_path / "a").exists()


def test_a_list_that_leaves_the_folder_removes_nothing(tmp_path):
    out, precious = tmp_path / "out", tmp_path / "precious"
    precious.write_text("data")
    for name in ("../precious", str(precious)):
        out.mkdir(exist_ok=True)
        files = {name: {"bytes": 4, "sha256": "0"}}
        (out / RESULT_FILE).write_text(json.dumps({"files": files}))
        assert "no entry of a file in the folder" in find_faults(out)[0]
        write(out, "a")
        assert precious.read_text() == "data" and find_faults(out) == []


def test_a_second_run_is_refused_in_one_line(tmp_path):
    with only_run(tmp_path) as folder:
        with only_run(folder):  # a step of the same run
            pass
        script = (
            "import sys; from pathlib import Path\n"
            "from glioquery.pipeline.results.result_folder import only_run\n"
            "from glioquery.pipeline.images.nifti import InputError\n"
            "try:\n    only_run(Path(sys.argv[1])).__enter__()\n"
            "except InputError as error:\n    print(error)"
        )
        said = subprocess.run(
            [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True
        ).stdout
        assert f"another run writes to the output folder {tmp_path}, process {os.getpid()}" in said
        assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


HANG = """
import sys, time
from pathlib import Path
from glioquery.dbgen.machine.files import begun
from glioquery.pipeline.results.result_folder import replaced
with replaced(Path(sys.argv[1])) as stage:
    (stage / "sub-b_space-T1w_density.nii.gz").write_text("half")
    begun(Path(sys.argv[1]) / "cohort.csv").write_text("half")
    begun(Path(sys.argv[1]) / "movie").mkdir()
    print("begun", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_run_left_is_swept_by_the_next(tmp_path):
    write(tmp_path, "a")
    before = contents(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HANG, tmp_path], stdout=subprocess.PIPE) as killed:
        assert killed.stdout.readline() == b"begun\n"
        with pytest.raises(InputError, match=f"process {killed.pid} on"):
            write(tmp_path, "c")
        assert find_faults(tmp_path) == []
        killed.send_signal(signal.SIGKILL)
    assert (tmp_path / STAGE).is_dir() and (tmp_path / LOCK_FILE).exists()
    with only_run(tmp_path):
        pass
    assert contents(tmp_path) == before and not (tmp_path / STAGE).exists()
    assert not list(tmp_path.glob(".*"))


def test_a_run_leaves_what_another_process_writes_into_the_folder(tmp_path):
    with completed(tmp_path / "picture.png") as temporary:
        temporary.write_text("whole")
        with only_run(tmp_path):
            pass
    assert (tmp_path / "picture.png").read_text() == "whole"


def alter(folder):
    path = folder / MAP.format("a")
    path.write_text(path.read_text().swapcase())


def shorten(folder):
    (folder / MAP.format("a")).write_text("")


def remove(folder):
    (folder / "transform" / "affine.mat").unlink()


def add_map(folder):
    (folder / MAP.format("b")).write_text("another's")


def remove_result(folder):
    (folder / RESULT_FILE).unlink()


def tear_result(folder):
    (folder / RESULT_FILE).write_text('{"files": {')


def list_none(folder):
    (folder / RESULT_FILE).write_text("{}")


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (alter, MAP.format("a") + ": not the file that was written, its SHA-256 differs"),
        (shorten, MAP.format("a") + ": 0 bytes where 12 were written"),
        (remove, "transform/affine.mat: missing"),
        (add_map, MAP.format("b") + ": a map of another result"),
        (remove_result, "result.json: missing"),
        (tear_result, "result.json: not readable as a list"),
        (list_none, "result.json: not readable as a list"),
    ],
)
def test_check_tells_each_file_that_does_not_belong(capsys, tmp_path, damage, fault):
    write(tmp_path / "sub-a", "a")
    write(tmp_path / "sub-b", "b")
    code, out, _ = run(capsys, "check", tmp_path, "--json")
    assert code == 0
    folder = str(tmp_path)
    assert json.loads(out) == {"folder": folder, "results": 2, "faults": []}
    code, _, err = run(capsys, "check", tmp_path / "sub-a")
    assert code == 0 and err == "one result: all files are those that were written together\n"
    damage(tmp_path / "sub-a")
    code, _, err = run(capsys, "check", tmp_path / "sub-a")
    assert code == 1 and err.startswith(f"fault: {fault}") and len(err.splitlines()) == 1
    code, out, _ = run(capsys, "check", tmp_path, "--json")
    (said,) = json.loads(out)["faults"]
    assert code == 1 and said.startswith(f"sub-a/{fault}")


def test_check_refuses_what_is_no_result(capsys, tmp_path):
    (tmp_path / "notes.txt").touch()
    for folder, message in (
        (tmp_path, "holds no result"),
        (tmp_path / "none", "is no folder"),
        (tmp_path / "notes.txt", "is no folder"),
    ):
        code, _, err = run(capsys, "check", folder)
        assert code == 2 and message in err and len(err.splitlines()) == 1


@pytest.fixture
def patient(coarse):
    return load_patient(t1=coarse / "t1.nii", seg=coarse / "seg.nii", labels="brats2021")


@pytest.mark.usefixtures("quick")
def test_an_inversion_replaces_another_whole_or_not_at_all(near, patient, tmp_path, monkeypatch):
    inversion = invert(patient, near, InversionOptions(refine=False, densities=(0.05, 0.3)))
    write_inversion(inversion, tmp_path, subject="a")
    assert find_faults(tmp_path) == []
    before = contents(tmp_path)
    assert "sub-a_space-T1w_desc-exceeds50permille_probseg.nii.gz" in before

    def fail(*_, **__):
        assert contents(tmp_path).items() >= before.items()
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("glioquery.pipeline.results.outputs.write_result", fail)
        with pytest.raises(OSError, match="full"):
            write_inversion(inversion, tmp_path, subject="b")
    assert contents(tmp_path) == before
    write_inversion(inversion, tmp_path, subject="b")
    assert find_faults(tmp_path) == []
    maps = [path.name for path in tmp_path.glob("sub-*")]
    assert maps and all(name.startswith("sub-b_") for name in maps)


def test_an_inversion_into_a_folder_in_use_is_refused_before_any_work(
    near, coarse, tmp_path, monkeypatch, capsys
):
    def never(*_, **__):
        raise AssertionError("work was begun")

    monkeypatch.setattr("glioquery.pipeline.patient.patient.load_patient", never)
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", HANG, out], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"begun\n"
        try:
            code, _, err = run(
                capsys, "invert", near.path, "--t1", coarse / "t1.nii", "--seg",
                coarse / "seg.nii", "--labels", "brats2021", "-o", out,
            )  # fmt: skip
        finally:
            other.kill()
    assert code == 2 and f"another run writes to the output folder {out}" in err
    assert len(err.splitlines()) == 1


@pytest.mark.usefixtures("quick")
def test_request_and_thumbnail_of_a_cohort_belong_to_the_result(near, coarse, tmp_path):
    case = Case("a", {"t1": coarse / "t1.nii", "seg": coarse / "seg.nii"}, "brats2021")
    asked = (InversionOptions(refine=False),)
    request = describe_request(case, near, *asked)
    assert invert_case(near.path, type(near.model), case, tmp_path, request, *asked) is None
    listed = json.loads((tmp_path / RESULT_FILE).read_text())["files"]
    assert {"request.json", "thumbnail.png"} <= set(listed)
    assert is_done(tmp_path, request) and find_faults(tmp_path) == []
    failing = dataclasses.replace(case, labels="brats2023")  # label 4 does not fit
    assert "do not fit" in invert_case(
        near.path, type(near.model), failing, tmp_path, request, *asked
    )
    seg = tmp_path / map_name("a", "SRI24", "dseg")
    corrected = dataclasses.replace(case, scans=case.scans | {"seg": seg})
    assert "copy the map elsewhere" in invert_case(
        near.path, type(near.model), corrected, tmp_path, request, *asked
    )
    assert is_done(tmp_path, request) and find_faults(tmp_path) == []
    patient = load_patient(**case.scans, labels="brats2021")
    write_inversion(
        invert(patient, near, InversionOptions(refine=False)), tmp_path, subject="a"
    )  # by hand, over it
    assert not is_done(tmp_path, request)
    assert not (tmp_path / "request.json").exists() and find_faults(tmp_path) == []


def test_two_threads_may_prepare_one_folder(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(prepare_output, [tmp_path / "out"] * 1000))
    assert set(made) == {tmp_path / "out"} and not list((tmp_path / "out").iterdir())
