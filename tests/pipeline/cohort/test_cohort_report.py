"""The summary of a cohort: its table, and its page, which a browser sorts."""

import csv
import re
from dataclasses import replace

import pytest
from case_tables import table
from pretended_results import pretend
from three_of_its_own import Shedding

from glioquery.pipeline.cohort.case import Case
from glioquery.pipeline.cohort.case_table import read_cases
from glioquery.pipeline.cohort.cohort import Outcome, describe_request
from glioquery.pipeline.cohort.cohort_report import find_outcomes, write_cohort
from glioquery.pipeline.inversion.options import InversionOptions
from glioquery.pipeline.names import SUMMARY_PAGE, SUMMARY_TABLE
from glioquery.pipeline.scans.scan_days import ScanFiles
from glioquery.solver.declarations import Declared

NAMES = {"p": "plausible match", "d": "registration doubtful", "n": "no plausible match"}

DEFAULT = InversionOptions()
"""What a cohort is inverted with if nothing else is asked for."""


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
    with (files / SUMMARY_TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["age"] for row in rows] == ["57,3", "9,5"]
    assert [row["status"] for row in rows] == ["plausible match", "failed"]
    assert [row["cases_status"] for row in rows] == ["alive", "n/a"]
    assert [row["notes"] for row in rows] == ["<b>left</b>", "two\nlines"]
    page = (files / SUMMARY_PAGE).read_text()
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
    with (files / SUMMARY_TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(rows[0])
    place = names.index("rho_t") + 1
    assert names[place : place + 4] == ["net_t", "ratio", "death", "crowding"]
    assert [row["net_t"] for row in rows] == ["17.25", ""]
    assert rows[0]["death"] == "0.004" and rows[0]["cases_net_t"] == "typed"
    heads = re.findall(r"<button type=.button.>(.*?)</button>", (files / SUMMARY_PAGE).read_text())
    assert {"νT", "ratio", "μ (1/day)", "crowding"} <= set(heads)
    write_cohort(files, outcomes)  # of a model that declares nothing
    assert "net_t" in (files / SUMMARY_TABLE).read_text().partition("\n")[0].split(",")
    assert "death" not in (files / SUMMARY_TABLE).read_text()


def test_rates_of_several_scans_stand_in_the_summary(files, database):
    scans = {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}
    later = ScanFiles(scans["t1"], scans["seg"], 40.0)
    followed = Case("a", scans, "brats2021", day=0.0, later=(later,))
    request = describe_request(followed, database, DEFAULT)
    assert request["days"] == [0.0, 40.0] and "t1_2" in request["inputs_sha256"]
    ahead = describe_request(replace(followed, forecast=(90.0,)), database, DEFAULT)
    assert ahead == request | {"forecast": [90.0]}  # another request: inverted again
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
    with (files / SUMMARY_TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["velocity_mm_per_year"] for row in rows] == ["37.25", ""]
    assert [row["rho"] for row in rows] == ["0.02", ""]
    page = (files / SUMMARY_PAGE).read_text()
    assert "velocity (mm/year)" in page
    write_cohort(files, outcomes[1:])
    assert "velocity (mm/year)" not in (files / SUMMARY_PAGE).read_text()


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
    with (files / SUMMARY_TABLE).open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["covered_model"] for row in table] == ["0.1", "0.85", "", "0.09", ""]
    assert [row["covered_geodesic"] for row in table] == ["0.6", "0.6", "", "0.6", ""]
    for plan in ("model", "geodesic"):
        assert [row[f"auc_{plan}"] for row in table] == ["", "0.75", "", "0.75", ""]
        assert [row[f"precision_{plan}"] for row in table] == ["", "0.5", "", "0.5", ""]
    page = files / "clicked.html"
    page.write_text((files / SUMMARY_PAGE).read_text().replace("</body>", CLICK, 1))
    body = re.search(r"<body[^>]*>", chromium(page, "--dump-dom", "--window-size=1366,768").stdout)[
        0
    ]
    assert 'data-fits="true"' in body, "wider than the screen of a laptop"
    assert 'data-first="a b c d e"' in body
    assert 'data-up="d a b c e"' in body
    assert 'data-down="b a d c e"' in body and 'data-state="descending"' in body


@pytest.mark.parametrize(
    ("statuses", "said", "is_good"),
    [
        ("pp", "2 of 2 patients have a plausible match.", True),
        ("pn", "1 of 2 patients has a plausible match.", False),
        ("pdn", "2 of 3 patients have a plausible match, but the registration of 1 is doubtful.",
         False),
        ("d", "1 of 1 patient has a plausible match, but the registration of 1 is doubtful.",
         False),
    ],
)  # fmt: skip
def test_a_doubtful_registration_is_named_beside_its_match(
    files, database, statuses, said, is_good
):
    scans = {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}
    outcomes = []
    for name, status in zip("abc", statuses, strict=False):
        case = Case(name, scans, "brats2021")
        request = describe_request(case, database, DEFAULT)
        pretend(files / f"sub-{name}", request, status=NAMES[status])
        outcomes.append(Outcome(case, (files / f"sub-{name}").absolute(), True, None))
    write_cohort(files, outcomes)
    page = (files / SUMMARY_PAGE).read_text(encoding="utf-8")
    assert f'<p class="status {"good" if is_good else "bad"}">{said}</p>' in page


def test_a_core_that_is_empty_on_the_atlas_has_no_dice(files, database):
    case = Case("a", {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}, "brats2021")
    growth = {"lambda_mm": 3.0, "rho_t": 20.0, "origin_mm": [-100, 100, 80]}
    answer = {"source": "refined growth", "score": 0.8, "dice_core": None, "dice_whole": 0.8}
    outline = {"patient_ml": 0.001}
    pretend(
        files / "sub-a",
        describe_request(case, database, DEFAULT),
        answer={**answer, "growths": [growth]},
        best={"dice_core": None, "dice_whole": 0.7},
        quality={"brain_dice": 0.98, "core": outline, "whole": {"patient_ml": 20.0}},
    )
    assert write_cohort(files, [Outcome(case, (files / "sub-a").absolute(), True, None)]) == []
    with (files / SUMMARY_TABLE).open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["dice_core"], row["dice_whole"], row["core_ml"]) == ("", "0.8", "0.001")


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


def test_a_result_that_cannot_be_read_fails_its_row_alone(files, database):
    """One odd file left nobody a summary."""
    scans = {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}
    texts = {
        "b": None, "c": "{", "d": "[]", "e": '{"files": []}', "f": '{"files": {}}',
        "g": '{"files": null}', "h": '{"files": {}, "answer": {"growths": []}, "quality": {}}',
    }  # fmt: skip
    cases = [Case(name, scans, "brats2021") for name in ("a", *texts)]
    pretend(files / "sub-a", describe_request(cases[0], database, DEFAULT))
    for name, text in texts.items():
        if text is not None:
            (files / f"sub-{name}").mkdir()
            (files / f"sub-{name}" / "result.json").write_text(text)
    good, missing, *odd = outcomes = find_outcomes(cases, files)
    assert good.error is None and missing.error == "it has no result"
    assert all("is not one that this version writes" in outcome.error for outcome in odd)
    assert write_cohort(files, outcomes) == []
    with (files / SUMMARY_TABLE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["plausible match"] + ["failed"] * len(texts)
