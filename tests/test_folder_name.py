"""Nothing may depend on the name of the folder that the project was cloned into."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COPIED = ("glioquery", "atlas", "solver", "dbgen", "query", "pipeline", "tests", "docs")


@pytest.mark.parametrize("name", ["glioquery", "elsewhere", "glioquery-main", "2026 é"])
def test_the_linter_finds_nothing_in_a_folder_of_any_name(tmp_path, name):
    for folder in COPIED:
        for source in (ROOT / folder).rglob("*.py"):
            target = tmp_path / name / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / name)
    for arguments in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."],
            cwd=tmp_path / name,
            env=dict(os.environ, RUFF_OUTPUT_FORMAT="concise"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["glioquery", "elsewhere"])
def test_types_and_tests_are_checked_in_a_folder_of_any_name(tmp_path, name):
    ignored = shutil.ignore_patterns("__pycache__", "default_database")
    for folder in (".typing", *COPIED):
        shutil.copytree(ROOT / folder, tmp_path / name / folder, symlinks=True, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / name)
    for arguments in (
        ["mypy", "--cache-dir", str(tmp_path / "cache")],
        ["pytest", "-q", "-p", "no:cacheprovider", "tests/pipeline/images/test_labels.py"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=tmp_path / name,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
