"""A cohort's table: all its rows are checked before any work, and nothing of it gets lost."""

import numpy as np
import pytest
from case_tables import GOOD, table

from glioquery.atlas import SIMULATION_GRID
from glioquery.errors import InputError
from glioquery.pipeline.cohort.case_table import read_cases
from glioquery.pipeline.dicom.named_structures import StructureNames
from glioquery.pipeline.images.nifti import write_nifti


def test_rows_are_read_with_paths_relative_to_the_file(files, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    path = table(
        files,
        "\ufefflabels,seg,id, t1c ,t1\n"
        "brats2021,seg.nii.gz,P_1,,t1.nii.gz\n,seg.nii.gz,b,t1.nii.gz,\n",
    )
    first, second = read_cases(path, labels="brats2023").cases
    assert first.scans == {"t1": files / "t1.nii.gz", "seg": files / "seg.nii.gz"}
    assert (first.identifier, first.subject, first.labels) == ("P_1", "P1", "brats2021")
    assert second.scans["t1c"] == files / "t1.nii.gz" and "t1" not in second.scans
    assert second.labels == "brats2023"


def test_a_row_names_a_brain_mask_and_a_reference(files):
    head = "id,t1,seg,labels,seg_reference,brain_mask\n"
    (case,) = read_cases(
        table(files, head + "a,t1.nii.gz,seg.nii.gz,brats2021,t1.nii.gz,seg.nii.gz\n")
    ).cases
    assert case.scans["seg_reference"] == files / "t1.nii.gz"
    assert case.scans["brain_mask"] == files / "seg.nii.gz"
    with pytest.raises(InputError, match="line 2: brain_mask: no file"):
        read_cases(table(files, head + "a,t1.nii.gz,seg.nii.gz,brats2021,,none.nii.gz\n"))


def test_a_row_names_three_tissue_maps_or_none(files):
    head = "id,t1,seg,labels,tissue_gm,tissue_wm,tissue_csf\n"
    rows = "a,t1.nii.gz,seg.nii.gz,brats2021,t1.nii.gz,seg.nii.gz,t1.nii.gz\n"
    rows += "b,t1.nii.gz,seg.nii.gz,brats2021,,,\n"
    given, none = read_cases(table(files, head + rows)).cases
    assert given.tissue == tuple(files / f"{n}.nii.gz" for n in ("t1", "seg", "t1"))
    assert none.tissue is None
    with pytest.raises(InputError, match="tissue_gm and tissue_csf missing"):
        read_cases(table(files, head + "a,t1.nii.gz,seg.nii.gz,brats2021,,t1.nii.gz,\n"))


def test_a_row_tells_what_the_labels_of_its_recurrence_mean(files):
    head = "id,t1,seg,labels,recurrence,recurrence_labels\n"
    row = "t1.nii.gz,seg.nii.gz,brats2021"
    rows = f"a,{row},seg.nii.gz,BraTS2024-post\nb,{row},seg.nii.gz,\nc,{row},n/a,n/a\n"
    cases = read_cases(table(files, head + rows)).cases
    assert [case.recurrence_labels for case in cases] == ["brats2024-post", None, None]
    with pytest.raises(InputError) as caught:
        read_cases(table(files, head + f"a,{row},seg.nii.gz,brats\nb,{row},,brats2021\n"))
    assert "line 2: recurrence_labels: unknown convention 'brats'" in str(caught.value)
    assert "line 3: recurrence_labels names the labels of a recurrence" in str(caught.value)


def test_a_row_names_a_series_structures_and_a_folder_for_dicom(files):
    for name in ("series/IM1", "rs.dcm"):  # their heads alone are looked at
        (files / name).parent.mkdir(exist_ok=True)
        (files / name).write_bytes(bytes(128) + b"DICM")
    head = "id,t1,seg,labels,core_structures,whole_structures,dicom\n"
    rows = 'a,series#3,rs.dcm,,GTV,"GTV, Edema",out\nb,t1.nii.gz,seg.nii.gz,brats2021,,,\n'
    named, labelled = read_cases(table(files, head + rows), labels="brats2023").cases
    assert named.scans["t1"] == files / "series#3" and named.dicom == files / "out"
    assert named.structures == StructureNames(("GTV",), ("GTV", "Edema")) and named.labels == ""
    assert (labelled.structures, labelled.dicom, labelled.labels) == (None, None, "brats2021")
    for row, fault in (
        ("a,series,rs.dcm,,,,", "whole_structures: the segmentation is DICOM"),
        ("a,series,rs.dcm,brats2021,,GTV,", "labels: the segmentation .* is DICOM"),
        ("a,t1.nii.gz,seg.nii.gz,brats2021,,,out", "dicom: outputs refer to the series"),
        ("a,series/none#3,seg.nii.gz,brats2021,,,", "t1: no file"),
    ):
        with pytest.raises(InputError, match=f"line 2: {fault}"):
            read_cases(table(files, f"{head}{row}\n"))
    rows = "a,series#3,rs.dcm,,,GTV,out\nb,series#4,rs.dcm,,,GTV,series/../out\n"
    row = "a,series#3,rs.dcm,,,GTV,series\n"
    with pytest.raises(InputError, match=r"line 2: dicom: .* in the folder of an input series"):
        read_cases(table(files, head + row))
    with pytest.raises(InputError, match="line 3: dicom: the files of 'a' are written there, too"):
        read_cases(table(files, head + rows))


def test_a_row_tells_whose_voxels_its_segmentation_has(files):
    head = "id,t1,seg,labels,seg_grid\n"
    rows = "a,t1.nii.gz,seg.nii.gz,brats2021,T1\nb,t1.nii.gz,seg.nii.gz,brats2021,n/a\n"
    assert [case.seg_grid for case in read_cases(table(files, head + rows)).cases] == ["t1", "own"]
    with pytest.raises(InputError, match="line 2: seg_grid: expected one of own, t1, got 'flair'"):
        read_cases(table(files, head + "a,t1.nii.gz,seg.nii.gz,brats2021,flair\n"))
    first = "id,t1,seg,labels,day,seg_grid\na,t1.nii.gz,seg.nii.gz,brats2021,0,t1\n"
    for cell, seg_grid in (("", "own"), ("own", "own"), ("t1", "t1")):
        later = f"a,t1.nii.gz,seg.nii.gz,brats2021,9,{cell}\n"
        (case,) = read_cases(table(files, first + later)).cases
        assert [scan.seg_grid for scan in (case.named_scans.first, *case.later)] == ["t1", seg_grid]


def test_unread_columns_say_what_all_rows_of_a_patient_say(files):
    """Those of later scans were left out, though a notice said that they are copied."""
    head = "id,t1,seg,labels,day,age,therapy,site\n"
    row = "a,t1.nii.gz,seg.nii.gz,brats2021"
    rows = f"{row},60,51,TMZ,x\n{row},0,,none,x\n{row},90,51,,\n"
    (case,) = read_cases(table(files, head + rows)).cases
    assert case.others == {"age": "51", "therapy": "none; TMZ", "site": "x"}


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("", ["expected a head with id, seg and t1 or t1c", "got none"]),
        ("id,t1\n", ["expected a head with id, seg and t1 or t1c"]),
        ("id|t1|seg\n", ["separated by commas, semicolons or tabs; got 'id|t1|seg'"]),
        ("participant_id,t1,seg\n", ["expected a head with id", "got 'participant_id', 't1'"]),
        ("id,t1,seg,t1\n", ["'t1' occurs twice"]),
        (GOOD, ["no row follows the head"]),
        (GOOD + "a,t1.nii.gz,seg.nii.gz\n", ["line 2: expected 4 cells"]),
        (GOOD + "a,t1.nii.gz,seg.nii.gz,brats2021,x\n", ["line 2: expected 4 cells"]),
        (GOOD + "a,,seg.nii.gz,brats2021\n", ["line 2: neither t1 nor t1c"]),
        (GOOD + "a,N/A,seg.nii.gz,brats2021\n", ["line 2: neither t1 nor t1c"]),
        (GOOD + "n/a,t1.nii.gz,seg.nii.gz,brats2021\n", ["'n/a' is not safe"]),
        (GOOD + "a,t1.nii.gz,,brats2021\n", ["line 2: no seg"]),
        (GOOD + "a,none.nii.gz,seg.nii.gz,brats2021\n", ["line 2: t1: no file", "none.nii.gz"]),
        (GOOD + "a,.,seg.nii.gz,brats2021\n", ["line 2: t1: ", " is a folder; name the file in"]),
        (GOOD + "a,/dev/null,seg.nii.gz,brats2021\n", ["line 2: t1: /dev/null is no plain file"]),
        (GOOD + f"a,{'x' * 300},seg.nii.gz,brats2021\n", ["line 2: t1: cannot read", "too long"]),
        (GOOD + "a,~no-such-user/t1.nii.gz,seg.nii.gz,brats2021\n", ["t1: no file", "~no-such-"]),
        (GOOD + "a,t1.nii.gz,seg.nii.gz,brats1999\n", ["unknown convention 'brats1999'"]),
        (GOOD + "a,t1.nii.gz,seg.nii.gz,\n", ["never guessed"]),
        (GOOD + "../a,t1.nii.gz,seg.nii.gz,brats2021\n", ["'../a' is not safe"]),
        (GOOD + ",t1.nii.gz,seg.nii.gz,brats2021\n", ["'' is not safe"]),
        (GOOD + "a,t1.nii.gz,seg.nii.gz,brats2021\n" * 2, ["line 3: the id 'a' occurs twice"]),
        (
            GOOD + "A.1,t1.nii.gz,seg.nii.gz,brats2021\na1,t1.nii.gz,seg.nii.gz,brats2021\n",
            ["line 3: the ids 'a1' and 'A.1' share the label 'a1'"],
        ),
        # All faults are told at once, so that a long list is mended once.
        (GOOD + "a,,seg.nii.gz,brats2021\nb b,t1.nii.gz,,x\n", ["line 2", "line 3: no seg"]),
    ],
)  # fmt: skip
def test_rows_are_refused_with_their_line(files, text, messages):
    with pytest.raises(InputError) as error:
        read_cases(table(files, text))
    for message in messages:
        assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("nothing", ["", "n/a", "N/A", "NA", "nan", "None", "NULL"])
def test_what_programs_write_for_nothing_is_an_empty_cell(files, nothing):
    text = f"id,t1,t1c,flair,seg,labels\nNA,t1.nii.gz,{nothing},{nothing},seg.nii.gz,{nothing}\n"
    (case,) = read_cases(table(files, text), labels="brats2021").cases
    assert set(case.scans) == {"t1", "seg"} and case.labels == "brats2021"
    assert case.identifier == "NA"  # may be a patient's


def test_home_and_variables_are_those_of_a_shell(files, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("HOME", str(files))
    monkeypatch.setenv("GLIO_SCANS", "scans")
    (files / "scans").mkdir()
    (files / "seg.nii.gz").rename(files / "scans" / "seg.nii.gz")
    text = GOOD + "a,~/t1.nii.gz,$HOME/${GLIO_SCANS}/seg.nii.gz,brats2021\n"
    (case,) = read_cases(table(tmp_path_factory.mktemp("elsewhere"), text)).cases
    assert case.scans == {"t1": files / "t1.nii.gz", "seg": files / "scans" / "seg.nii.gz"}


def test_conventions_are_known_however_they_are_written(files):
    (case,) = read_cases(table(files, GOOD + "a,t1.nii.gz,seg.nii.gz,BraTS2021\n")).cases
    assert case.labels == "brats2021"


def test_a_file_that_may_not_be_read_is_refused(files, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: path.name != "seg.nii.gz")
    with pytest.raises(InputError, match=r"line 2: seg: cannot read \S+seg.nii.gz"):
        read_cases(table(files, GOOD + "a,t1.nii.gz,seg.nii.gz,brats2021\n"))


def test_other_columns_are_kept_as_they_are_written_and_told(files):
    text = "sex;id;T1;age;Seg;labels;t1ce\nn/a;a;t1.nii.gz;57,3;seg.nii.gz;brats2021;none.nii.gz\n"
    read = read_cases(table(files, text))
    (case,) = read.cases
    assert case.others == {"sex": "n/a", "age": "57,3", "t1ce": "none.nii.gz"}
    assert set(case.scans) == {"t1", "seg"}
    (notice,) = read.notices
    assert "not read otherwise: 'sex', 'age', 't1ce'." in notice
    # One that is nearly a known one may be a mistake that changes a result.
    assert notice.endswith("Did you write 't1ce' for 't1c'?")


def test_rows_of_one_id_with_days_are_scans_of_one_patient(files):
    head = "id,t1,seg,labels,day\n"
    rows = (
        "b,t1.nii.gz,seg.nii.gz,brats2021,\n"
        "a,later.nii.gz,seg.nii.gz,brats2021,2024-06-12\n"
        "a,t1.nii.gz,seg.nii.gz,brats2021,2024-03-01\n"
    )
    (files / "later.nii.gz").write_bytes(b"no image")
    single, followed = read_cases(table(files, head + rows)).cases
    assert single.identifier == "b" and single.later == () and single.day is None
    (later,) = followed.later
    assert followed.scans["t1"].name == "t1.nii.gz" and later.t1.name == "later.nii.gz"
    assert later.day - followed.day == 103
    assert list(followed.files) == ["t1", "seg", "t1_2", "seg_2"]


TWO = (slice(0, 2),) * 3
DRUG = '[[treatment]]\nkind = "drug"\nday = 20\nrate = 0.01\nhalf_life_days = 40\n'
MASKED = '[[treatment]]\nkind = "resection"\nday = 10\nmask = "cavity.nii.gz"\n'


def test_forecast_and_treatments_stand_in_one_of_the_rows(files):
    (files / "done.toml").write_text(DRUG + MASKED)
    write_nifti(files / "cavity.nii.gz", np.ones((2, 2, 2), np.uint8), SIMULATION_GRID.part(TWO))
    head = "id,t1,seg,labels,day,forecast,treatments\n"
    first = "a,t1.nii.gz,seg.nii.gz,brats2021,5,,\n"
    plain, whole = (
        first + f"a,t1.nii.gz,seg.nii.gz,brats2021,40,{given}\n"
        for given in ("90,", '"180, 90",done.toml')
    )
    (case,) = read_cases(table(files, head + plain)).cases
    assert (case.forecast, case.treatments, case.day) == ((90,), (), 5)
    (case,) = read_cases(table(files, head + whole)).cases
    assert case.forecast == (90, 180) and [one.day for one in case.treatments] == [10, 20]
    assert set(case.files) - {"t1", "seg", "t1_2", "seg_2"} == {"treatments", "treatment_1"}
    assert case.files["treatment_1"] == files / "cavity.nii.gz"


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("a,1,,done.toml", "line 2: treatments: a patient with it has two scans or more, each"),
        ("a,,90,", "line 2: forecast: a patient with it has two scans or more, each with a day"),
        ("a,1,0,\na,2,,", "line 2: a forecast names at most 20 numbers of days after the last"),
        ("a,1,90,\na,2,180,", "line 2: forecast: one for all scans of a patient, its rows name 2"),
        ("a,1,,\na,2,,none.toml", "none.toml: expected a TOML file with tables [[treatment]]"),
        ("a,30,,\na,40,,done.toml", "a drug of day 20 is not after the first scan, of day 30"),
    ],
)
def test_a_forecast_or_treatment_that_makes_no_sense_is_refused(files, rows, fault):
    (files / "done.toml").write_text(DRUG)
    lines = [line.split(",") for line in rows.split("\n")]
    text = "".join(
        f"{name},t1.nii.gz,seg.nii.gz,brats2021,{','.join(rest)}\n" for name, *rest in lines
    )
    with pytest.raises(InputError) as told:
        read_cases(table(files, "id,t1,seg,labels,day,forecast,treatments\n" + text))
    assert fault in str(told.value)


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ("a,t1.nii.gz,seg.nii.gz,brats2021,,1\na,t1.nii.gz,seg.nii.gz,brats2021,,",
         "line 3: the id 'a' occurs twice: give each of its scans a day"),
        ("a,t1.nii.gz,seg.nii.gz,brats2021,,1\na,t1.nii.gz,seg.nii.gz,brats2021,,1",
         "line 2: two scans are of day 1"),
        ("a,t1.nii.gz,seg.nii.gz,brats2021,,1\na,t1.nii.gz,seg.nii.gz,brats2023,,2",
         "line 2: the scan of day 2 has other labels"),
        ("a,t1.nii.gz,seg.nii.gz,brats2021,,1\na,t1.nii.gz,seg.nii.gz,brats2021,t1.nii.gz,2",
         "line 2: the scan of day 2 has NIfTI files of t1 and seg, no others"),
        ("a,t1.nii.gz,seg.nii.gz,brats2021,,soon", "line 2: the day of a scan is a number"),
    ],
)  # fmt: skip
def test_scans_that_do_not_belong_together_are_refused(files, rows, fault):
    with pytest.raises(InputError) as told:
        read_cases(table(files, "id,t1,seg,labels,flair,day\n" + rows))
    assert fault in str(told.value)
