"""Arithmetic in text: what it computes, what it refuses."""

import math

import numpy as np
import pytest

from glioquery.errors import InputError
from glioquery.solver.declarations import COMBINATIONS
from glioquery.solver.formulas import Formula
from glioquery.solver.parameters import GrowthParameters


def test_combinations_are_what_growths_have():
    growth = GrowthParameters((1, 2, 3), 0.213, 0.0174, 1201.5)
    values = {one.name: one.of(growth.values()) for one in COMBINATIONS}
    assert values == {"lambda_mm": growth.lambda_mm, "rho_t": growth.rho_t}
    assert COMBINATIONS[0].of({"dw": 1.0, "rho": 0.0}) == math.inf


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 * a ** 2 - -b / 4", 18.5),
        ("sqrt(a + 6) + min(a, b) + max(a, b) + abs(-1)", 9),
        ("a < b", False),
        ("1 < b < a and not a == b or b > 100", True),
    ],
)
def test_a_formula_is_computed(text, value):
    assert Formula(text)({"a": 3, "b": 2}) == value


def test_a_formula_takes_arrays():
    values = {"a": np.array([1, 2, 3]), "b": np.array([3, 2, 1]), "c": 2}
    assert Formula("a * c")(values).tolist() == [2, 4, 6]
    assert Formula("max(a, b)")(values).tolist() == [3, 2, 3]
    assert Formula("min(a, b, c - 0.5)")(values).tolist() == [1, 1.5, 1]


@pytest.mark.parametrize(
    "text",
    ["__import__('os')", "a.b", "a[0]", "(lambda: 1)()", "[a]", "f'{a}'", "exit()", "sqrt(a", "",
     "'a' < b", "True", "a if b else c", "sqrt(x=a)", "a := 3", "min(a) < 3", "max() < 3",
     "abs(a, b) < 3", "sqrt() < 3", "sqrt < 3", "a < min", "max(a, sqrt)"],
)  # fmt: skip
def test_anything_else_is_refused_in_one_line(text):
    with pytest.raises(InputError) as refused:
        Formula(text)
    assert "\n" not in str(refused.value) and repr(text)[:5] in str(refused.value)


@pytest.mark.parametrize("text", ["9 ** 9 ** 9 ** 9 < a", "1 / 0 < a", "-(a < 3) < 1"])
def test_numbers_that_lead_nowhere_are_refused_at_once(text):
    with pytest.raises(InputError, match="has no value"):
        Formula(text)({"a": 1})
