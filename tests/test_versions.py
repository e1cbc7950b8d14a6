"""Every direct dependency has a lowest version, stated on the page and kept by the pinned ones."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent


def requirements():
    """The project's direct dependencies by name, those of its extras and groups included."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, groups = settings["project"], settings["dependency-groups"]
    lists = [project["dependencies"], *project["optional-dependencies"].values(), *groups.values()]
    found = [Requirement(text) for texts in lists for text in texts if isinstance(text, str)]
    return {canonicalize_name(r.name): r for r in found}


def test_every_dependency_has_a_lowest_version_that_the_page_names():
    rows = re.findall(r"^\| (\S+) \| (\S+) \|", (ROOT / "docs/versions.md").read_text(), re.M)
    stated = {canonicalize_name(name): version for name, version in rows}
    bounds = {}
    for name, requirement in requirements().items():
        (bound,) = (bound for bound in requirement.specifier if bound.operator == ">=")
        bounds[name] = bound.version
    assert {name: stated.get(name) for name in bounds} == bounds


def test_the_pinned_versions_keep_the_bounds():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    for name, requirement in requirements().items():
        assert requirement.specifier.contains(pins[name]), requirement


def test_the_hooks_have_the_pinned_linter():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    (revision,) = re.findall(r"ruff-pre-commit\n +rev: v(\S+)", hooks)
    assert f"ruff=={revision}" in (ROOT / "constraints.txt").read_text().split()
