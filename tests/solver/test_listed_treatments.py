"""Lists of treatments, as TOML files hold them."""

import tomllib

import numpy as np
import pytest

from glioquery.errors import InputError
from glioquery.solver import Drug, Radiotherapy, Resection
from glioquery.solver.listed_treatments import list_treatments

LIST = """
[[treatment]]
kind = "drug"
day = 80
rate = 0.01
half_life_days = 20

[[treatment]]
kind = "resection"
day = 10.5
mask = "cavity.nii.gz"
scan = 2

[[treatment]]
kind = "radiotherapy"
day = 40
dose_gy = 2.0
fractions = 7
alpha = 0.036
"""


def test_a_list_has_the_treatments_in_the_order_of_their_days(tmp_path):
    tables = tomllib.loads(LIST)["treatment"]
    resected, irradiated, drugged = list_treatments(tables, folder=tmp_path, n_scans=2)
    assert resected.map == tmp_path / "cavity.nii.gz" and resected.scan == 2
    assert [one.has_map for one in (resected, irradiated, drugged)] == [True, False, False]
    cavity = np.array([0.0, 0.4, 0.6])
    found = resected.on(3.0, cavity)
    assert isinstance(found, Resection) and found.day == 3
    np.testing.assert_array_equal(found.cavity, [False, False, True])
    course = irradiated.on(40.0)
    assert isinstance(course, Radiotherapy)
    assert (course.dose_gy, course.alpha, course.alpha_beta_gy) == (2.0, 0.036, 10.0)
    assert course.days == (40, 41, 42, 43, 44, 47, 48)  # a weekend lies between
    assert drugged.on(80.0) == Drug(80.0, rate=0.01, half_life_days=20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('kind = "surgery"', "kind is one of resection, radiotherapy, drug, got 'surgery'"),
        ('kind = "drug"\nday = 3', "a drug needs day, half_life_days, rate; half_life_days is"),
        ('kind = "resection"\nmask = "a.nii"', "day is missing"),
        ('kind = "resection"\nday = 3\nmask = "a.nii"\ndose = 2', "mask, scan, got 'dose'"),
        ('kind = "resection"\nday = 3\nmask = "a.nii"\nscan = 3', "1 to 2, got 3"),
        ('kind = "radiotherapy"\nday = 3\nalpha = 0.1', "dose_gy or dose_map, one of the two"),
        ('kind = "radiotherapy"\nday = 3\nalpha = -1\ndose_gy = 2', "alpha >= 0 in 1/Gy"),
        ('kind = "radiotherapy"\nday = 3\nalpha = 1\ndose_gy = 2\nfractions = 1.5', "whole number"),
        ('kind = "radiotherapy"\nday = 3\nalpha = 1\ndose_gy = 2\nfractions = inf', "whole number"),
        ('kind = "radiotherapy"\nday = 3\nalpha = 1\ndose_gy = 2\nfractions = nan', "whole number"),
        ('kind = ["radiotherapy"]\nday = 3', "resection, radiotherapy, drug, got ['radiotherapy']"),
        ('kind = "resection"\nday = 3\nmask = ""', "a map is named by its file, got ''"),
        ('kind = "radiotherapy"\nday = 3\nalpha = 1\ndose_map = ""', "named by its file, got ''"),
        ('kind = "drug"\nday = "soon"\nrate = 1\nhalf_life_days = 2', "days since the seed, got"),
        ('kind = "drug"\nday = 1\nrate = "high"\nhalf_life_days = 2', "rate is a number, got"),
    ],
)
def test_what_is_no_treatment_is_refused_by_its_number(text, message, tmp_path):
    tables = tomllib.loads(f"[[treatment]]\n{text}")["treatment"]
    with pytest.raises(InputError, match=r"^treatment 1: ") as told:
        list_treatments(tables, folder=tmp_path, n_scans=2)
    assert message in str(told.value)


def test_a_list_of_nothing_is_none():
    with pytest.raises(InputError, match=r"expected tables \[\[treatment\]\]"):
        list_treatments(None, folder=None)


def test_a_map_has_no_place_in_a_study():
    tables = [{"kind": "resection", "day": 3, "mask": "cavity.nii"}]
    with pytest.raises(InputError, match="the tumours of a study anywhere"):
        list_treatments(tables, folder=None)
