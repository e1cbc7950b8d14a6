"""Recipes of containers install the project's own files, and call what there is."""

import ast
import importlib
import json
import re
import tomllib
from pathlib import Path

import pytest

from glioquery.pipeline.commands.cli import COMMANDS

ROOT = Path(__file__).parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NEEDED = {
    "pyproject.toml", "setup.py", "constraints.txt", "README.md", "LICENSE", "glioquery",
    *(folder.split("/")[0] for folder in SETTINGS["tool"]["setuptools"]["package-dir"].values()),
}  # fmt: skip
"""What `pip install .` needs of the tree."""


def text_of(name):
    return (ROOT / "docker" / name).read_text(encoding="utf-8").replace("\\\n", " ")


def docker_lines(instruction):
    return re.findall(rf"^{instruction} (.*)$", text_of("Dockerfile"), re.MULTILINE)


def sections():
    """Lines of the Apptainer recipe by section."""
    found, lines = {}, []
    for line in text_of("apptainer.def").splitlines():
        if line.startswith("%"):
            lines = found.setdefault(line[1:].strip(), [])
        elif line.strip() and not line.strip().startswith("#"):
            lines.append(line.strip())
    return found


def docker_files():
    lines = [line.split() for line in docker_lines("COPY")]
    assert all(words[-1] in ("./", *words[:-1]) for words in lines)  # each under its own name
    return {source for words in lines for source in words[:-1]}


def apptainer_files():
    lines = [line.split() for line in sections()["files"]]
    assert {target for _, target in lines} == {"/opt/glioquery/"}
    return {source for source, _ in lines}


@pytest.mark.parametrize("files", [docker_files, apptainer_files])
def test_what_is_installed_is_in_the_image(files):
    assert files() == NEEDED
    assert all((ROOT / name).exists() for name in NEEDED)


def test_nothing_else_is_sent_to_docker():
    lines = text_of("Dockerfile.dockerignore").splitlines()
    assert "*" in lines
    assert {line[1:] for line in lines if line.startswith("!")} == NEEDED


@pytest.mark.parametrize("name", ["Dockerfile", "apptainer.def"])
def test_versions_are_pinned_and_extras_exist(name):
    (install,) = re.findall(r"pip install (.*)", text_of(name))
    assert "--constraint constraints.txt" in install
    extras = re.search(r"\.\[(.*)\]", install)[1]
    if extras == "${EXTRAS}":
        (extras,) = (line.removeprefix("EXTRAS=") for line in docker_lines("ARG"))
    assert set(extras.split(",")) <= set(SETTINGS["project"]["optional-dependencies"])


@pytest.mark.parametrize("name", ["Dockerfile", "apptainer.def"])
def test_the_program_that_fills_the_cache_finds_what_it_imports(name):
    (program,) = re.findall(r'python -c "(.*)"', text_of(name))
    imports, call = ast.parse(program).body
    for alias in imports.names:
        assert callable(getattr(importlib.import_module(imports.module), alias.name))
    used = {node.id for node in ast.walk(call) if isinstance(node, ast.Name)}
    assert used == {alias.name for alias in imports.names}


@pytest.mark.parametrize(
    ("name", "change"), [("Dockerfile", r"WORKDIR (.*)"), ("apptainer.def", r"cd (.*)")]
)
def test_the_cache_is_filled_by_what_is_installed(name, change):
    """Not in the folder of the sources, where Python would import these."""
    before = text_of(name).partition("python -c")[0]
    assert re.findall(rf"^ *{change}$", before, re.MULTILINE) == ["/opt/glioquery", "/"]


def test_images_call_commands_that_exist():
    entries = [json.loads(line) for line in docker_lines("ENTRYPOINT")]
    assert all(program == "glioquery" for program, *_ in entries)
    assert [command for _, *command in entries] == [[], ["predict-gbm"]]
    assert {word for _, *command in entries for word in command} <= set(COMMANDS)
    (base, *_, first), (before, *_) = (line.split() for line in docker_lines("FROM"))
    assert before == first
    assert f"From: {base}\n" in text_of("apptainer.def")
    assert sections()["runscript"] == ['exec glioquery "$@"']
