"""Public functions say what they raise; `make docs` sees to their parameters and results."""

import ast
import importlib
import inspect
import re
import textwrap
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"][
    "packages"
]


def public_functions(room):
    """Names and functions: those that a package offers, and the methods of its classes."""
    package = importlib.import_module(room)
    for name in getattr(package, "__all__", ()):
        value = getattr(package, name)
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value) and value.__module__.startswith("glioquery"):
            for method, member in vars(value).items():
                member = getattr(member, "__func__", member)  # of a class or static method
                if inspect.isfunction(member) and not method.startswith("_"):
                    yield f"{name}.{method}", member


def raises(function):
    """Whether an error is raised by the function's own lines, those of functions in it aside."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    waiting = [*tree.body[0].body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Raise) and node.exc is not None:
            return True
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return False


def says_what_it_raises(function):
    return "Raises\n------" in (inspect.getdoc(function) or "")


@pytest.mark.parametrize("room", ROOMS)
def test_a_public_function_that_raises_says_so(room):
    silent = [
        name
        for name, function in public_functions(room)
        if raises(inspect.unwrap(function)) and not says_what_it_raises(function)
    ]
    assert silent == []


def test_what_raises_is_found():
    found = {
        name for name, function in public_functions("glioquery.query") if raises(function)
    }  # fmt: skip
    assert {"find_measure", "build_index", "Index.open"} <= found
    assert "search" not in found


FRAGMENT = re.compile(r"(Of|That of|Those of|Theirs)\b")
"""How an entry begins that leaves out what it describes: "Of the registration."."""


def fragments(text):
    """First lines of a docstring and of its entries that begin as fragments."""
    lines = text.split("\n")
    return [
        line.strip()
        for before, line in zip(["", *lines], lines, strict=False)
        if FRAGMENT.match(line.strip()) and (not before.strip() or " : " in before)
    ]


def docstrings(source):
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield text


@pytest.mark.parametrize("room", ROOMS)
def test_no_entry_of_a_docstring_is_a_fragment(room):
    folder = Path(importlib.import_module(room).__file__).parent
    found = {
        path.name: told
        for path in folder.glob("*.py")
        for text in docstrings(path.read_text(encoding="utf-8"))
        if (told := fragments(text))
    }
    assert found == {}


def test_fragments_are_found():
    assert fragments("Read it.\n\nn : int\n    Of the registration.\n") == ["Of the registration."]
    assert fragments("Of the registration.") == ["Of the registration."]
    assert fragments("A voxel size of the\nOf course.\n") == []
