"""Examples in docstrings print what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("atlas", "solver", "dbgen", "query", "pipeline")


def modules_with_examples():
    """Names of all modules in which an example stands."""
    return [
        ".".join(("glioquery", *path.relative_to(ROOT).with_suffix("").parts))
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if ">>>" in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_of_a_module_print_what_they_say(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0 and found.failed == 0


def test_examples_are_found():
    assert {"glioquery.atlas.grid", "glioquery.query.dice"} <= set(modules_with_examples())
