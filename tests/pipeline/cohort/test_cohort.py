"""A cohort: checked before any work, resumed, not stopped by one patient, summed up."""

import csv
import dataclasses
import json
import os
import re
import shutil
import sys
from collections import UserDict

import numpy as np
import pytest
from case_tables import GOOD, table
from pretended_results import pretend
from ray import cloudpickle
from virtual_patient import make_virtual_patient

from glioquery.dbgen import Database
from glioquery.pipeline.cohort import cohort
from glioquery.pipeline.cohort.case import Case
from glioquery.pipeline.cohort.case_table import read_cases
from glioquery.pipeline.cohort.cohort import (
    REQUEST_FILE,
    cores_a_patient,
    describe_request,
    invert_cohort,
    is_done,
)
from glioquery.pipeline.commands import cli
from glioquery.pipeline.images.nifti import write_nifti
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.pipeline.results.outputs import REPORT_FILE
from glioquery.pipeline.results.result_folder import RESULT_FILE
from glioquery.pipeline.scans.later_scans import FollowUp
from glioquery.pipeline.scans.placed_treatments import PlacedTreatment
from glioquery.solver.listed_treatments import ListedTreatment
from glioquery.solver.models import FisherKolmogorovMassEffect

DEFAULT = InversionOptions()
"""What a cohort is inverted with if nothing else is asked for."""


def test_done_means_made_from_the_same_request(database, files):
    case = Case("a", {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}, "brats2021")
    request = describe_request(case, database, DEFAULT)
    folder = files / "sub-a"
    assert not is_done(folder, request)
    pretend(folder, request)
    assert is_done(folder, request)
    assert not is_done(folder, describe_request(case, database, InversionOptions(seed=2)))
    other = Case("a", case.scans, "brats2023")
    assert not is_done(folder, describe_request(other, database, DEFAULT))
    result = (folder / RESULT_FILE).read_text()
    by_hand = json.loads(result)
    del by_hand["files"][REQUEST_FILE]  # as where another inversion, of the same files, wrote it
    (folder / RESULT_FILE).write_text(json.dumps(by_hand))
    assert not is_done(folder, request)
    (folder / RESULT_FILE).write_text(result)
    assert is_done(folder, request)
    page = (folder / REPORT_FILE).read_bytes()
    (folder / REPORT_FILE).unlink()
    assert not is_done(folder, request)
    (folder / REPORT_FILE).write_bytes(page)
    assert is_done(folder, request)
    (files / "t1.nii.gz").write_bytes(b"another image")
    assert not is_done(folder, describe_request(case, database, DEFAULT))


def test_a_treated_patient_is_done_as_well(database, files):
    """Its result names the maps of the treatments, not the file that lists them."""
    scans = {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}
    for name in ("cavity.nii.gz", "done.toml"):
        (files / name).write_bytes(b"read before")
    resection = ListedTreatment("resection", 20.0, {}, map=files / "cavity.nii.gz")
    case = Case(
        "a", scans, "brats2021", treatment_file=files / "done.toml", treatments=(resection,)
    )
    request = describe_request(case, database, DEFAULT)
    placed = PlacedTreatment(resection, checksum=request["inputs_sha256"]["treatment_1"])
    told = FollowUp(0.0, (), (), (placed,)).checksums
    inputs = {role: request["inputs_sha256"][role] for role in scans} | told
    assert set(request["inputs_sha256"]) - set(inputs) == {"treatments"}
    folder = files / "sub-a"
    pretend(folder, request, provenance={"inputs_sha256": inputs})
    assert is_done(folder, request)
    (files / "done.toml").write_bytes(b"another list")
    assert not is_done(folder, describe_request(case, database, DEFAULT))
    inputs["treatment_1"] = "another map"
    pretend(folder, request, provenance={"inputs_sha256": inputs})
    assert not is_done(folder, request)
    (folder / RESULT_FILE).write_text('{"status": "plaus')
    assert not is_done(folder, request)


def test_a_request_changes_with_the_calibration_and_with_the_folder_of_dicom_files(
    database, files, tmp_path
):
    case = Case("a", {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}, "brats2021")
    copy = Database.open(shutil.copytree(database.path, tmp_path / "copy"))
    before = describe_request(case, copy, DEFAULT)
    (copy.path / "calibration.json").write_text('{"of": "today"}')
    assert describe_request(case, copy, DEFAULT) != before
    here, there = (
        describe_request(dataclasses.replace(case, dicom=tmp_path / name), copy, DEFAULT)
        for name in ("here", "there")
    )
    assert here != there and str(tmp_path) not in json.dumps(here)


def test_a_request_names_the_way_to_the_brain_and_the_network_that_may_be_asked(
    database, files, monkeypatch
):
    case = Case("a", {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}, "brats2021")

    def requests_with(network):
        monkeypatch.setattr("glioquery.pipeline.cohort.cohort.network_version", lambda: network)
        return [describe_request(case, database, DEFAULT, brain=way) for way in ("auto", "atlas")]

    (auto, atlas), (newer, same), (without, _) = map(requests_with, ("1.0", "1.1", None))
    assert auto["options"]["brain"] == "auto" and auto["brain_network"] == "1.0"
    folder = files / "sub-a"
    pretend(folder, auto)
    assert is_done(folder, auto)
    assert not any(is_done(folder, other) for other in (atlas, newer, without))
    assert atlas == same


def test_one_failing_patient_stops_no_other(capsys, ray, database, files, brain_2mm):
    """Of three patients one is done, one is no image and one has labels of another convention."""
    values, grid = brain_2mm.values, brain_2mm.grid
    write_nifti(files / "whole.nii.gz", values, grid)
    write_nifti(files / "odd.nii.gz", np.full(values.shape, 9, np.uint8), grid)
    path = table(
        files,
        "id,t1,seg,labels,age\n"
        "broken,t1.nii.gz,seg.nii.gz,brats2021,57\n"
        "done,t1.nii.gz,seg.nii.gz,brats2021,58\n"
        "odd,whole.nii.gz,odd.nii.gz,brats2021,59\n",
    )
    out = files / "out"
    done = read_cases(path).cases[1]
    pretend(out / "sub-done", describe_request(done, database, InversionOptions(k=3)))
    before = (out / "sub-done" / RESULT_FILE).stat().st_mtime_ns
    with pytest.raises(SystemExit) as end:
        cli.main(["cohort", str(database.path), str(path), "-o", str(out), "-k", "3", "--json"])
    assert end.value.code == 1
    captured = capsys.readouterr()
    facts = json.loads(captured.out)
    assert facts["patients"] == 3 and facts["kept"] == 1
    assert "not read otherwise: 'age'." in " ".join(captured.err.split())
    assert "cannot be read as one" in facts["failed"]["broken"]
    assert "do not fit brats2021" in facts["failed"]["odd"]
    assert (out / "sub-done" / RESULT_FILE).stat().st_mtime_ns == before
    assert not (out / "sub-broken" / RESULT_FILE).exists()
    with (out / "cohort.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["broken", "done", "odd"]
    assert rows["broken"]["status"] == "failed" and rows["broken"]["score"] == ""
    assert "cannot be read as one" in rows["broken"]["error"]
    assert float(rows["done"]["score"]) == 1.4 and float(rows["done"]["seconds"]) == 12.5
    assert rows["done"]["report"] == "sub-done/report.html"
    page = (out / "cohort.html").read_text()
    assert not re.search(r"https?://|<link rel=.stylesheet|@import", page)
    assert page.count('<tr class="failed">') == 2 and "2 failed" in page
    assert 'href="sub-done/report.html"' in page
    assert page.index("<h2>Failed") < page.index("cannot be read as one")


def test_other_columns_are_no_part_of_what_is_kept(files, database):
    requests = []
    for age in ("57", "58"):
        path = table(files, f"id,t1,seg,labels,age\na,t1.nii.gz,seg.nii.gz,brats2021,{age}\n")
        (case,) = read_cases(path).cases
        requests.append(describe_request(case, database, DEFAULT))
    assert requests[0] == requests[1]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("-k", "9"), "k is 1 to 8"),
        (("--resolution", "9"), "1 to 4 mm"),
        (("--registration", "bent"), "bent"),
        (("--no-refine", "--own-anatomy"), "needs a refinement"),
    ],
)
def test_options_are_checked_before_any_work(capsys, database, files, option, message):
    path = table(files, GOOD + "a,t1.nii.gz,seg.nii.gz,brats2021\n")
    out = files / "out"
    with pytest.raises(SystemExit) as end:
        cli.main(["cohort", str(database.path), str(path), "-o", str(out), *option])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(out.glob("sub-*"))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--no-refine"], "tissue maps are given for a: the own anatomy needs a refinement"),
        (["--tissue-from", "atlas"], "tissue maps are given for a: leave --tissue-from out"),
    ],
)
def test_tissue_maps_that_would_not_be_used_are_refused_before_any_work(
    capsys, database, files, option, said
):
    maps = ",tissue_gm,tissue_wm,tissue_csf"
    path = table(
        files,
        f"id,t1,seg,labels{maps}\na,t1.nii.gz,seg.nii.gz,brats2021{',t1.nii.gz' * 3}\n",
    )
    with pytest.raises(SystemExit) as end:
        cli.main(["cohort", str(database.path), str(path), "-o", str(files / "out"), *option])
    assert end.value.code == 2
    assert said in capsys.readouterr().err


def test_the_table_is_checked_before_the_database_is_opened(capsys, files):
    """Which may take minutes to index."""
    path = table(files, GOOD + "a,t1.nii.gz,none.nii.gz,brats2021\n")
    with pytest.raises(SystemExit) as end:
        cli.main(["cohort", str(files / "no database"), str(path), "-o", str(files / "out")])
    assert end.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"error: cases {path}: line 2: seg: no file {files}/none.nii.gz" in said
    assert not (files / "out").exists()


def test_a_file_that_cannot_be_read_any_more_is_one_failed_patient(ray, database, files):
    scans = {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}
    gone = {**scans, "t1": files / "gone.nii.gz"}
    cases = [Case("gone", gone, "brats2021"), Case("next", scans, "brats2021")]
    missing, following = invert_cohort(database, cases, files / "out")
    assert re.match(r"cannot read \S*gone\.nii\.gz: No such file", missing.error)
    assert "cannot be read as one" in following.error


class Telling(UserDict):
    """Scans that write down what the process that asks for them has to work with."""

    def get(self, role, default=None):
        import glioquery.dbgen.machine.cores as machine

        with (self["t1"].parent / "cores.txt").open("a") as file:
            file.write(f"{machine.available_threads()}\n")
        return super().get(role, default)


class Deadly(Telling):
    """Scans that end that process."""

    def get(self, role, default=None):
        super().get(role, default)
        os._exit(1)


def test_a_worker_that_dies_is_one_failed_patient_tried_twice(ray, database, files):
    scans = {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}
    cases = [Case("deadly", Deadly(scans), "brats2021"), Case("next", scans, "brats2021")]
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        deadly, following = invert_cohort(database, cases, files / "out")
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert deadly.error.startswith("the worker died")
    assert "cannot be read as one" in following.error
    # The cluster of the tests has two cores, one for each of the patients.
    assert (files / "cores.txt").read_text().split() == ["1", "1"]


@pytest.mark.parametrize(
    ("n_patients", "n_cores", "each"), [(1, 2, 2), (2, 2, 1), (9, 2, 1), (3, 16, 2), (1, 1, 1)]
)
def test_patients_get_a_second_core_only_if_none_waits_for_it(n_patients, n_cores, each):
    assert cores_a_patient(n_patients, n_cores) == each


def test_a_worker_opens_a_database_once_until_it_or_its_model_changes(database):
    model = type(database.model)
    first = cohort._opened(database.path, "a checksum", model)
    assert cohort._opened(database.path, "a checksum", model) is first
    changed = cohort._opened(database.path, "another", model)
    assert changed is not first
    assert cohort._opened(database.path, "another", type("Own", (model,), {})) is not changed


@pytest.mark.slow
def test_a_cohort_of_virtual_patients_is_inverted_and_resumed(ray, database, tmp_path):
    truth = make_virtual_patient(tmp_path / "virtual", seed=3)
    path = table(
        tmp_path,
        GOOD + f"virtual,{truth.t1},{truth.seg},brats2021\nbad,{truth.seg},{truth.seg},brats2021\n",
    )
    cases = read_cases(path).cases
    virtual, bad = invert_cohort(database, cases, tmp_path / "out")
    assert virtual.error is None and bad.error is not None
    result = json.loads((virtual.folder / RESULT_FILE).read_text())
    assert result["quality"]["brain_dice"] > 0.95
    virtual, bad = invert_cohort(database, cases, tmp_path / "out")
    assert virtual.kept and not bad.kept


def test_options_of_numpy_decide_a_result_as_others_do(database, files):
    case = Case("a", {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}, "brats2021")
    numbers = InversionOptions(seed=np.int64(2), resolution_mm=np.float32(2.5), k=np.int64(7))
    request = describe_request(case, database, numbers)
    assert json.loads(json.dumps(request)) == request
    plain = describe_request(case, database, InversionOptions(seed=2, resolution_mm=2.5, k=7))
    assert request == plain


def test_treatments_that_the_model_cannot_take_are_told_before_any_work(
    database, files, monkeypatch
):
    scans = {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}
    (files / "cavity.nii.gz").write_bytes(b"a mask")
    resection = ListedTreatment("resection", 20.0, {}, map=files / "cavity.nii.gz")
    case = Case("a", scans, "brats2021", treatments=(resection,))
    monkeypatch.setattr(Database, "model", FisherKolmogorovMassEffect())
    (outcome,) = invert_cohort(database, [case], files / "out")
    assert "has pushed elsewhere: leave it out" in outcome.error


@pytest.mark.parametrize("name", ["cohort.csv", "cohort.html"])
def test_a_table_that_the_summary_would_replace_is_refused(files, database, name, capsys):
    path = table(files, GOOD + "a,t1.nii.gz,seg.nii.gz,brats2021\n").rename(files / name)
    before = path.read_bytes()
    with pytest.raises(SystemExit) as end:
        cli.main(["cohort", str(database.path), str(path), "-o", str(files)])
    assert end.value.code == 2 and path.read_bytes() == before
    assert "is an input and would be replaced" in " ".join(capsys.readouterr().err.split())
