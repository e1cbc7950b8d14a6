"""Nothing may depend on the name of the folder that the project was cloned into."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COPIED = ("atlas", "solver", "dbgen", "query", "pipeline", "tests", "docs")


@pytest.mark.parametrize("name", ["glioquery", "elsewhere"])
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
