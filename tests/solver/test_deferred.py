"""Names whose modules are imported late are there all the same."""

import subprocess
import sys

import pytest

from glioquery import solver

PROGRAM = """
import sys
import glioquery.{package} as package

assert "jax" not in sys.modules
listed = dir(package)
for name in package.__all__:
    assert name in listed, name
    assert getattr(package, name) is package.__dict__[name], name
assert ("jax" in sys.modules) is {brings_jax}
"""


@pytest.mark.parametrize(
    ("package", "brings_jax"), [("solver", True), ("dbgen", False), ("query", False)]
)
def test_all_public_names_are_found_and_none_before_it_is_asked_for(package, brings_jax):
    program = PROGRAM.format(package=package, brings_jax=brings_jax)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_modules_are_attributes_too():
    program = "import glioquery.solver as s; print(*s.models.model_names())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "fisher-kolmogorov" in done.stdout.split(), done.stderr


def test_other_names_are_refused():
    assert not hasattr(solver, "nothing")
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        from glioquery.solver import nothing  # noqa: F401
