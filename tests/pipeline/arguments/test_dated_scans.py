"""Scans with their days, as a person writes them after `--scan`."""

import nibabel as nib
import numpy as np
import pytest

from glioquery.errors import InputError
from glioquery.pipeline.arguments.dated_scans import read_scans

NOTHING_ELSE = {"--t1": None, "--seg": None}


@pytest.fixture
def scan(tmp_path):
    """The text of a scan of a day, whose files exist."""

    def written(day):
        for name in ("t1", "seg"):
            image = nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4))
            nib.save(image, tmp_path / f"{name}.nii.gz")
        return f"{tmp_path / 't1.nii.gz'},{tmp_path / 'seg.nii.gz'},{day}"

    return written


def test_scans_are_in_the_order_of_their_days_and_the_days_forecast_rise(scan):
    found = read_scans([scan(90), scan(-3), scan(0.5)], NOTHING_ELSE, "60,30,60", None)
    assert [one.day for one in (found.first, *found.later)] == [-3, 0.5, 90]
    assert found.forecast == (30, 60) and found.treatments == ()
    assert found.first.t1.name == "t1.nii.gz" and found.first.seg.name == "seg.nii.gz"


def test_dates_are_days_too(scan):
    found = read_scans([scan("2024-03-01"), scan("2024-02-01")], NOTHING_ELSE, None, None)
    assert found.later[0].day - found.first.day == 29


def test_without_scans_nothing_is_read():
    assert read_scans(None, {"--t1": "t1.nii"}, None, None) is None


@pytest.mark.parametrize("option", ["forecast", "treatments"])
def test_what_needs_scans_is_refused_without(option, tmp_path):
    given = {"forecast": None, "treatments": None} | {option: tmp_path / "30"}
    with pytest.raises(InputError, match=f"--{option}"):
        read_scans(None, NOTHING_ELSE, given["forecast"], given["treatments"])


@pytest.mark.parametrize(
    ("days", "others", "forecast", "said"),
    [
        ([0], {}, None, "given once: name two scans or more"),
        ([0, 0], {}, None, "two scans are of day 0"),
        ([0, 9], {"--t1": "t1.nii"}, None, "takes the place of --t1: leave --t1 out"),
        ([0, 9], {}, "0,30", "each above 0, .* got .0,30"),
        ([0, 9], {}, ",".join(map(str, range(1, 99))), "at most"),
        ([0, "soon"], {}, None, "soon"),
    ],
)
def test_scans_that_make_no_sense_are_refused_in_one_line(scan, days, others, forecast, said):
    with pytest.raises(InputError, match=said) as refused:
        read_scans([scan(day) for day in days], NOTHING_ELSE | others, forecast, None)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("t1.nii.gz,seg.nii.gz", "expected T1,SEG,DAY, got 't1.nii.gz,seg.nii.gz'"),
        ("nowhere.nii.gz,seg.nii.gz,0", "nowhere.nii.gz"),
    ],
)
def test_a_scan_of_another_form_or_without_files_is_named(scan, text, said):
    with pytest.raises(InputError, match=said):
        read_scans([scan(9), text], NOTHING_ELSE, None, None)
