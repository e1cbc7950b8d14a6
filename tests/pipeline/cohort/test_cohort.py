"""A cohort: checked before any work, resumed, not stopped by one patient, summed up."""

import csv
import io
import json
import os
import re
import sys
from collections import UserDict

import numpy as np
import pytest
from case_tables import GOOD, table, unread_files
from matplotlib.image import imread
from ray import cloudpickle
from three_of_its_own import Shedding
from virtual_patient import make_virtual_patient

from glioquery.pipeline.cohort import cohort
from glioquery.pipeline.cohort.case_table import Case, read_cases
from glioquery.pipeline.cohort.cohort import (
    PICTURE_FILE,
    REQUEST_FILE,
    Outcome,
    cores_a_patient,
    describe_request,
    invert_cohort,
    is_done,
)
from glioquery.pipeline.cohort.cohort_report import (
    PAGE_FILE,
    TABLE_FILE,
    write_cohort,
)
from glioquery.pipeline.cohort.match_quality import DiceScores, draw_dice, match_stored
from glioquery.pipeline.commands import cli
from glioquery.pipeline.images.nifti import write_nifti
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.pipeline.results.outputs import REPORT_FILE
from glioquery.pipeline.results.result_folder import RESULT_FILE, list_files, replaced
from glioquery.pipeline.scans.scan_days import ScanFiles
from glioquery.query import dice_of_masks
from glioquery.query.index.opening import open_index
from glioquery.solver.declarations import Declared

DEFAULT = InversionOptions()
"""Options, and whether islands are kept."""


@pytest.fixture
def files(tmp_path):
    return unread_files(tmp_path)


def pretend(folder, request, **found):
    """What a finished patient leaves, without the minute that it takes."""
    outline = {"patient_ml": 20.0}
    result = {
        "status": "plausible match",
        "mean_dice": 0.7,
        "best": {"dice_core": 0.5, "dice_whole": 0.7},
        "answer": {
            "source": "refined growth", "score": 1.4, "dice_core": 0.6, "dice_whole": 0.8,
            "growths": [{"lambda_mm": 3.0, "rho_t": 20.0, "origin_mm": [-100, 100, 80]}],
        },
        "quality": {"brain_dice": 0.98, "core": outline, "whole": outline},
        "problems": [],
        "recurrence": [],
        "timings_s": {"register": 10.0, "query": 2.5},
        "provenance": {"inputs_sha256": request["inputs_sha256"]},
        **found,
    }  # fmt: skip
    with replaced(folder) as stage:
        (stage / REQUEST_FILE).write_text(json.dumps(request))
        (stage / REPORT_FILE).write_text("<html></html>")
        (stage / PICTURE_FILE).write_bytes(b"\x89PNG")
        (stage / RESULT_FILE).write_text(json.dumps({**result, "files": list_files(stage)}))


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
    (folder / RESULT_FILE).write_text('{"status": "plaus')
    assert not is_done(folder, request)


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


def test_other_columns_of_the_table_stand_in_the_summary(files, database):
    """In table and page, as they are written, also those that the summary has itself."""
    path = table(
        files,
        "age;status;id;t1;seg;labels;notes;nothing\n"
        "57,3;alive;a;t1.nii.gz;seg.nii.gz;brats2021;<b>left</b>;\n"
        '9,5;n/a;b;t1.nii.gz;seg.nii.gz;brats2021;"two\nlines";\n',
    )
    done, failed = read_cases(path).cases
    pretend(files / "sub-a", describe_request(done, database, DEFAULT))
    outcomes = [
        Outcome(done, (files / "sub-a").absolute(), True, None),
        Outcome(failed, files / "sub-b", False, "no image"),
    ]
    write_cohort(files, outcomes)
    with (files / TABLE_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["age"] for row in rows] == ["57,3", "9,5"]
    assert [row["status"] for row in rows] == ["plausible match", "failed"]
    assert [row["cases_status"] for row in rows] == ["alive", "n/a"]
    assert [row["notes"] for row in rows] == ["<b>left</b>", "two\nlines"]
    page = (files / PAGE_FILE).read_text()
    heads = re.findall(r"<button type=.button.>([^<]*)</button>", page)
    assert heads[-3:] == ["age", "cases_status", "notes"]
    assert page.count("57,3") == 2 and "&lt;b&gt;left" in page and "<b>left" not in page


def test_what_a_model_declares_stands_in_the_summary(files, database):
    scans = {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}
    case = Case("a", scans, "brats2021", others={"net_t": "typed"})
    growth = {"lambda_mm": 3.0, "rho_t": 20.0, "origin_mm": [-100, 100, 80], "net_t": 17.25,
              "death": 0.004, "ratio": 8.0, "crowding": 2.0}  # fmt: skip
    answer = {"source": "refined growth", "score": 1.4, "dice_core": 0.6, "dice_whole": 0.8}
    request = describe_request(case, database, DEFAULT)
    pretend(files / "sub-a", request, answer={**answer, "growths": [growth]})
    outcomes = [
        Outcome(case, (files / "sub-a").absolute(), True, None),
        Outcome(Case("b", scans, "brats2021"), files / "sub-b", False, "no image"),
    ]
    write_cohort(files, outcomes, declared=Declared.by(Shedding()))
    with (files / TABLE_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0])
    place = names.index("rho_t") + 1
    assert names[place : place + 4] == ["net_t", "ratio", "death", "crowding"]
    assert [row["net_t"] for row in rows] == ["17.25", ""]
    assert rows[0]["death"] == "0.004" and rows[0]["cases_net_t"] == "typed"
    heads = re.findall(r"<button type=.button.>(.*?)</button>", (files / PAGE_FILE).read_text())
    assert {"νT", "ratio", "μ (1/day)", "crowding"} <= set(heads)
    write_cohort(files, outcomes)  # of a model that declares nothing
    assert "net_t" in (files / TABLE_FILE).read_text().partition("\n")[0].split(",")
    assert "death" not in (files / TABLE_FILE).read_text()


def test_rates_of_several_scans_stand_in_the_summary(files, database):
    scans = {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}
    later = ScanFiles(scans["t1"], scans["seg"], 40.0)
    followed = Case("a", scans, "brats2021", day=0.0, later=(later,))
    request = describe_request(followed, database, DEFAULT)
    assert request["days"] == [0.0, 40.0] and "t1_2" in request["inputs_sha256"]
    rates = {"rho": 0.02, "dw": 0.13, "velocity_mm_per_year": 37.25}
    outlook = {"rates": {name: {"value": value} for name, value in rates.items()}}
    pretend(files / "sub-a", request, outlook=outlook)
    single = Case("b", scans, "brats2021")
    pretend(files / "sub-b", describe_request(single, database, DEFAULT), outlook=None)
    outcomes = [
        Outcome(case, (files / f"sub-{case.identifier}").absolute(), True, None)
        for case in (followed, single)
    ]
    write_cohort(files, outcomes)
    with (files / TABLE_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["velocity_mm_per_year"] for row in rows] == ["37.25", ""]
    assert [row["rho"] for row in rows] == ["0.02", ""]
    page = (files / PAGE_FILE).read_text()
    assert "velocity (mm/year)" in page
    write_cohort(files, outcomes[1:])
    assert "velocity (mm/year)" not in (files / PAGE_FILE).read_text()


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


def test_tissue_maps_without_a_refinement_are_refused_before_any_work(capsys, database, files):
    maps = ",tissue_gm,tissue_wm,tissue_csf"
    path = table(
        files,
        f"id,t1,seg,labels{maps}\na,t1.nii.gz,seg.nii.gz,brats2021{',t1.nii.gz' * 3}\n",
    )
    with pytest.raises(SystemExit) as end:
        cli.main(["cohort", str(database.path), str(path), "-o", str(files / "out"), "--no-refine"])
    assert end.value.code == 2
    said = "tissue maps are given for a: the own anatomy needs a refinement"
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


CLICK = """<script>
const rows = document.querySelector("#cohort tbody").rows;
const shown = () => [...rows].map(row => row.cells[1].innerText);
const head = [...document.querySelectorAll("#cohort th")].find(
  h => h.innerText.trim() === "recurrence in model's volume");
document.body.dataset.first = shown().join(" ");
head.firstElementChild.click();
document.body.dataset.up = shown().join(" ");
head.firstElementChild.click();
document.body.dataset.down = shown().join(" ");
document.body.dataset.state = head.getAttribute("aria-sort");
const table = document.querySelector("#cohort");
document.body.dataset.fits = table.getBoundingClientRect().right <= innerWidth;
</script></body>"""


def test_a_browser_sorts_the_page_by_any_column(database, files, chromium):
    scans = {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}
    outcomes = []
    for name, covered in (("a", 0.1), ("b", 0.85), ("c", None), ("d", 0.09)):
        case = Case(name, scans, "brats2021")
        score = None if covered == 0.1 else {"auc": 0.75, "average_precision": 0.5}
        rows = [
            {"outline": "core", "recurrence_ml": 3.0, "standard": 0.5, "model": covered,
             "geodesic": 0.6, "model_ranking": score, "geodesic_ranking": score}
        ]  # fmt: skip
        request = describe_request(case, database, DEFAULT)
        pretend(files / f"sub-{name}", request, recurrence=[] if covered is None else rows)
        outcomes.append(Outcome(case, (files / f"sub-{name}").absolute(), True, None))
    outcomes.append(Outcome(Case("e", scans, "brats2021"), files / "sub-e", False, "no image"))
    write_cohort(files, outcomes)
    with (files / TABLE_FILE).open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["covered_model"] for row in table] == ["0.1", "0.85", "", "0.09", ""]
    assert [row["covered_geodesic"] for row in table] == ["0.6", "0.6", "", "0.6", ""]
    for plan in ("model", "geodesic"):
        assert [row[f"auc_{plan}"] for row in table] == ["", "0.75", "", "0.75", ""]
        assert [row[f"precision_{plan}"] for row in table] == ["", "0.5", "", "0.5", ""]
    page = files / "clicked.html"
    page.write_text((files / PAGE_FILE).read_text().replace("</body>", CLICK, 1))
    body = re.search(r"<body[^>]*>", chromium(page, "--dump-dom", "--window-size=1366,768").stdout)[
        0
    ]
    assert 'data-fits="true"' in body, "wider than the screen of a laptop"
    assert 'data-first="a b c d e"' in body
    assert 'data-up="d a b c e"' in body
    assert 'data-down="b a d c e"' in body and 'data-state="descending"' in body


def test_stored_tumors_are_matched_outside_their_own_run(database):
    scores = match_stored(database, open_index(database))
    assert len(scores.whole) == 8
    for sample in (0, 5):
        found = [
            dice_of_masks(database.outlines(sample), database.outlines(i))
            for i in database
            if i // 2 != sample // 2
        ]
        assert (scores.core[sample], scores.whole[sample]) == max(found, key=sum)


def test_a_tumor_that_is_matched_better_has_a_longer_bar():
    def painted(*whole):
        scores = DiceScores(np.array([np.nan, np.nan]), np.array(whole))
        image = imread(io.BytesIO(draw_dice(scores)), format="png")
        return (image[..., 2] - image[..., 0] > 0.4).sum()

    assert painted(0.5, 1.0) / painted(0.25, 1.0) == pytest.approx(1.5 / 1.25, rel=0.05)


@pytest.mark.parametrize(
    ("n", "said"),
    [(1, "0 of 1 patient has a plausible match; 1 failed."),
     (2, "0 of 2 patients have a plausible match; 2 failed.")],
)  # fmt: skip
def test_a_page_counts_its_patients(tmp_path, n, said):
    scans = {"t1": tmp_path / "t1.nii.gz", "seg": tmp_path / "seg.nii.gz"}
    cases = [Case(name, scans, "brats2021") for name in "ab"[:n]]
    write_cohort(tmp_path, [Outcome(case, tmp_path / "none", False, "no image") for case in cases])
    page = (tmp_path / "cohort.html").read_text(encoding="utf-8")
    assert said in page and f"<h1>Cohort of {n} patient{'s' * (n > 1)}</h1>" in page


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
