"""A reader who types what a tutorial shows arrives where it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).parent.parent / "docs" / "tutorials"
FENCE = re.compile(r"^```(\{code-block\} python|shell)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps_of(page):
    """Files with their text, and commands (of no file), in the order of the page."""
    steps = []
    for kind, body in FENCE.findall((TUTORIALS / page).read_text(encoding="utf-8")):
        if kind == "shell":
            steps.append((None, body))
        else:
            caption, _, text = body.partition("\n")
            steps.append((caption.removeprefix(":caption: "), text.lstrip("\n")))
    return steps


def type_in(page, folder):
    """Do what a page says, in one shell in a folder; what its commands print."""
    steps = steps_of(page)
    for name, text in steps:
        if name is not None:
            (folder / name).write_text(text, encoding="utf-8")
    script = "".join(text for name, text in steps if name is None)
    bin_folder = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=folder, capture_output=True, text=True,
        env=os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("page", "files", "n_commands"),
    [("first-patient.md", ["read.py"], 3),
     ("new-growth-model.md", ["gompertz.py", "patient.py", "compare.py"], 6)],
)  # fmt: skip
def test_the_steps_of_a_page_are_found_and_its_files_are_python(page, files, n_commands):
    steps = steps_of(page)
    assert [name for name, _ in steps if name] == files
    assert sum(name is None for name, _ in steps) == n_commands
    for name, text in steps:
        if name:
            compile(text, name, "exec")


@pytest.mark.slow
def test_the_first_patient_is_inverted_as_the_page_says(tmp_path):
    printed = type_in("first-patient.md", tmp_path)
    assert "plausible match mean Dice" in printed
    assert float(re.search(r"([0-9]+) ml hold cells", printed)[1]) > 0


@pytest.mark.slow
def test_a_new_growth_model_leads_to_an_inverted_patient(tmp_path):
    printed = type_in("new-growth-model.md", tmp_path)
    assert float(re.search(r"correlation ([0-9.]+)", printed)[1]) > 0.9
    assert float(re.search(r"sum of Dice ([0-9.]+)", printed)[1]) > 1.7
