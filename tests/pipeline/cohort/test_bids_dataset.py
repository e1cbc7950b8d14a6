"""A BIDS dataset as a cohort: what is found there, what is refused, and what is written."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from case_tables import GOOD, table
from command_line import run

from glioquery.errors import InputError
from glioquery.pipeline.cohort import cohort
from glioquery.pipeline.cohort.bids_dataset import read_bids_cases, sources_of
from glioquery.pipeline.cohort.cohort import Outcome, invert_case
from glioquery.pipeline.names import is_map_name
from glioquery.pipeline.results.dataset_description import describe_dataset, is_own

SEGMENTED = "derivatives/tumours/"


def make_dataset(folder, *names, description=None):
    """A dataset with files that no test of a name opens."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no image")
    folder.mkdir(exist_ok=True)
    described = {"Name": "glioma", "BIDSVersion": "1.10.0"} | (description or {})
    (folder / "dataset_description.json").write_text(json.dumps(described))
    return folder


@pytest.fixture
def dataset(tmp_path):
    """One participant without and one with sessions, and one that nobody segmented."""
    return make_dataset(
        tmp_path / "bids",
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_ce-gd_T1w.nii.gz",
        "sub-01/anat/sub-01_FLAIR.nii.gz",
        "sub-01/anat/sub-01_T1w.json",
        "sub-02/ses-pre/anat/sub-02_ses-pre_T1w.nii",
        "sub-02/ses-post/anat/sub-02_ses-post_acq-fast_T1w.nii.gz",
        "sub-02/ses-post/anat/sub-02_ses-post_acq-mprage_T1w.nii.gz",
        "sub-03/anat/sub-03_T1w.nii.gz",
        SEGMENTED + "sub-01/anat/sub-01_desc-tumor_dseg.nii.gz",
        SEGMENTED + "sub-01/anat/sub-01_space-MNI_desc-tumor_dseg.nii.gz",
        SEGMENTED + "sub-02/ses-pre/anat/sub-02_ses-pre_desc-tumor_dseg.nii.gz",
        SEGMENTED + "sub-02/ses-post/anat/sub-02_ses-post_desc-tumor_dseg.nii.gz",
        "derivatives/tissue/sub-01/anat/sub-01_dseg.nii.gz",
        "derivatives/tissue/sub-01/anat/sub-01_desc-brain_mask.nii.gz",
        "derivatives/tissue/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
        "derivatives/tissue/sub-03/anat/sub-03_dseg.nii.gz",
    )


def found(dataset, **options):
    options = {"labels": "brats2021", "out": dataset / "derivatives" / "glioquery"} | options
    return read_bids_cases(dataset, **options)


def test_participants_and_sessions_are_cases(dataset):
    table = found(dataset, images="acq-mprage")
    places = {case.identifier: case.place for case in table.cases}
    assert places == {
        "sub-01": "sub-01/anat",
        "sub-02_ses-post": "sub-02/ses-post/anat",
        "sub-02_ses-pre": "sub-02/ses-pre/anat",
    }
    one, post, _ = table.cases
    assert {role: path.name for role, path in one.scans.items()} == {
        "t1": "sub-01_T1w.nii.gz",  # the dataset's own, not the derivatives'
        "t1c": "sub-01_ce-gd_T1w.nii.gz",
        "flair": "sub-01_FLAIR.nii.gz",
        "seg": "sub-01_desc-tumor_dseg.nii.gz",
        "brain_mask": "sub-01_desc-brain_mask.nii.gz",
    }
    assert post.scans["t1"].name == "sub-02_ses-post_acq-mprage_T1w.nii.gz"
    assert post.subject == "02_ses-post"
    (notice,) = table.notices
    assert notice.startswith("Left out: sub-03: no T1 with a segmentation (*_desc-tumor_dseg")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"participants": ["01"]}, ["sub-01"]),
        ({"participants": ["sub-02"], "sessions": ["pre"]}, ["sub-02_ses-pre"]),
        ({"sessions": ["ses-pre"]}, ["sub-02_ses-pre"]),
        ({"derivatives": ["derivatives/tissue"], "participants": ["01"], "seg": ""}, ["sub-01"]),
    ],
)
def test_labels_and_names_choose(dataset, options, expected, monkeypatch):
    monkeypatch.chdir(dataset)
    assert [case.identifier for case in found(dataset, **options).cases] == expected


REFUSED = [
    ({}, r"sub-02_ses-post: expected one t1, got .*choose one .* --images acq-fast"),
    ({"participants": ["9", "01"]}, r"participants 9, got none; it holds 01, 02, 03"),
    ({"participants": ["01"], "sessions": ["mid"]}, "with these sessions, got none"),
    ({"sessions": ["pre", "ses-mid"]}, r"folders ses-<label> of sessions mid, got none"),
    ({"participants": ["02"], "sessions": ["mid", "pre"]}, "mid of these participants, got none"),
    ({"participants": ["01", "03"]}, "sub-03: no T1 with a segmentation"),
    ({"participants": ["03"]}, "no T1 with a segmentation .* for any participant"),
    ({"labels": None}, "brats2021"),
    ({"derivatives": ["nowhere"]}, "derivatives nowhere: no such folder"),
]


def test_a_dataset_is_found_from_wherever_a_worker_runs(dataset, monkeypatch):
    monkeypatch.chdir(dataset.parent)
    monkeypatch.setattr("glioquery.pipeline.cohort.bids_dataset.fault_of", lambda role, path: None)
    place = Path(dataset.name)
    cases = found(place, images="acq-mprage", sessions=["pre"]).cases
    cases += found(
        place, participants=["02"], sessions=["pre"], derivatives=[place / SEGMENTED]
    ).cases
    assert len(cases) > 1
    assert all(path.is_absolute() and path.is_file() for c in cases for path in c.scans.values())


@pytest.mark.parametrize(("options", "told"), REFUSED)
def test_what_is_not_clear_is_refused(dataset, options, told):
    with pytest.raises(InputError, match=told) as refused:
        found(dataset, **options)
    assert "\n" not in str(refused.value)


def test_a_folder_that_is_no_dataset_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"without dataset_description\.json"):
        found(tmp_path)


def test_results_of_glioquery_are_no_inputs(dataset):
    made = make_dataset(
        dataset / "derivatives" / "another",
        "sub-01/anat/sub-01_space-T1w_desc-tumor_dseg.nii.gz",
        description={"GeneratedBy": [{"Name": "glioquery"}]},
    )
    (case,) = found(dataset, participants=["01"]).cases
    assert made not in case.scans["seg"].parents


def test_sources_are_named_by_no_path_of_the_machine(dataset, tmp_path):
    assert sources_of(dataset, dataset / "derivatives" / "glioquery") == [{"URL": "../.."}]
    assert sources_of(dataset, tmp_path / "out") == []
    make_dataset(dataset, description={"DatasetDOI": "doi:10.5072/x"})
    assert sources_of(dataset, tmp_path / "out") == [{"DOI": "doi:10.5072/x"}]


def test_a_description_of_others_stays(tmp_path):
    make_dataset(tmp_path / "out")
    before = (tmp_path / "out" / "dataset_description.json").read_bytes()
    describe_dataset(tmp_path / "out")
    assert (tmp_path / "out" / "dataset_description.json").read_bytes() == before


def validate(folder):
    """See that the BIDS validator finds no error, where it is installed."""
    validator = shutil.which("bids-validator-deno") or shutil.which("bids-validator")
    if validator is not None:
        command = [validator, str(folder), "--ignoreWarnings"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def real(coarse, tmp_path):
    """A dataset whose one participant can be inverted."""
    folder = make_dataset(tmp_path / "bids")
    anat = folder / "sub-01" / "ses-pre" / "anat"
    anat.mkdir(parents=True)
    shutil.copy(coarse / "t1.nii", anat / "sub-01_ses-pre_T1w.nii")
    shutil.copy(coarse / "seg.nii", anat / "sub-01_ses-pre_desc-tumor_dseg.nii")
    return folder


@pytest.fixture
def here(monkeypatch):
    """Participants are inverted in this process, without Ray."""

    def invert_cohort(database, cases, out, options, **_):
        outcomes = []
        for case in cases:
            request, folder = cohort.describe_request(case, database, options), out / case.place
            model = type(database.model)
            told = invert_case(database.path, model, case, folder, request, options)
            outcomes.append(Outcome(case, folder, kept=False, error=told))
        return outcomes

    monkeypatch.setattr(cohort, "invert_cohort", invert_cohort)


def test_participants_are_inverted_and_a_group_gets_its_page(
    real, near, here, quick, capsys, tmp_path
):
    out = tmp_path / "out"
    asked = ("bids", real, out, "participant", "--participant-label", "01", "--labels", "brats2021")
    code, told, err = run(capsys, *asked, "--database", near.path, "--no-refine", "--json")
    assert (code, json.loads(told)["failed"]) == (0, {}), err
    result = out / "sub-01" / "ses-pre" / "anat"
    assert (result / "sub-01_ses-pre_space-T1w_density.nii.gz").is_file()
    assert all(is_map_name(path.name) for path in result.glob("*.nii.gz"))
    described = json.loads((out / "dataset_description.json").read_text())
    assert described["DatasetType"] == "derivative"
    assert described["GeneratedBy"][0]["Name"] == "glioquery"
    assert not (out / "cohort.csv").exists()
    code, _, err = run(capsys, "bids", real, out, "group", "--labels", "brats2021",
                       "--database", near.path)  # fmt: skip
    assert code == 0, err
    assert "sub-01/ses-pre/anat/report.html" in (out / "cohort.csv").read_text()
    code, told, _ = run(capsys, "check", out, "--json")
    assert (code, json.loads(told)["results"]) == (0, 1)
    validate(out)


def test_the_folder_of_a_cohort_is_a_dataset_too(coarse, near, here, quick, capsys, tmp_path):
    cases = table(tmp_path, f"{GOOD}P-01,{coarse}/t1.nii,{coarse}/seg.nii,brats2021\n")
    out = tmp_path / "out"
    code, _, err = run(capsys, "cohort", near.path, cases, "-o", out, "--no-refine")
    assert code == 0, err
    assert is_own(out) and (out / "sub-P01" / "ro-crate-metadata.json").is_file()
    validate(out)


def test_a_group_without_results_says_whose_are_missing(real, near, capsys, tmp_path):
    code, told, err = run(
        capsys, "bids", real, tmp_path / "out", "group", "--labels", "brats2021",
        "--database", near.path, "--json",
    )  # fmt: skip
    assert code == 1 and told, err
    assert json.loads(told)["failed"] == {"sub-01_ses-pre": "it has no result"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("out", "session"), "the level is participant or group; got 'session'"),
        (("out", "participant", "02"), "labels come after --participant-label"),
        (("bids", "participant"), "is the dataset itself"),
    ],
)
def test_other_calls_are_refused(dataset, capsys, tmp_path, monkeypatch, arguments, told):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "bids", dataset, *arguments, "--labels", "brats2021")
    assert code == 2 and told in err and len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_files_that_name_another_participant_are_not_taken(tmp_path):
    dataset = make_dataset(
        tmp_path / "bids",
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-011_T1w.nii.gz",
        "sub-01/anat/sub-02_T1w.nii.gz",
        SEGMENTED + "sub-01/anat/sub-01_desc-tumor_dseg.nii.gz",
    )
    (case,) = found(dataset).cases
    assert case.scans["t1"].name == "sub-01_T1w.nii.gz"


def test_the_one_file_with_the_named_entities_and_no_others_is_taken(tmp_path):
    names = [f"sub-01/anat/sub-01_desc-tumor{more}_dseg.nii.gz" for more in ("", "_label-core")]
    dataset = make_dataset(
        tmp_path / "bids", "sub-01/anat/sub-01_T1w.nii.gz", *(SEGMENTED + name for name in names)
    )
    (case,) = found(dataset, seg="desc-tumor").cases
    assert case.scans["seg"].name == "sub-01_desc-tumor_dseg.nii.gz"
    with pytest.raises(InputError, match="as in --seg label-core"):
        found(dataset, seg="")
