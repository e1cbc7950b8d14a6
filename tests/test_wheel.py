"""What is installed is all of the tree, and works from anywhere without being written to."""

import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("glioquery", "atlas", "solver", "dbgen", "query", "pipeline")
MADE = ("__pycache__", ".lock")
"""What work in the tree leaves there."""
COMPILED = ("*.so", "*.pyd")
"""What is compiled; an installation has it if there was a compiler."""


def files_of_tree():
    """Names that the files of the five folders and the front door have once they are installed."""
    names = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            relative = path.relative_to(ROOT)
            is_made = set(MADE) & set(relative.parts) or any(map(path.match, COMPILED))
            if path.is_file() and not is_made:
                name = relative.as_posix()
                names.add(name if folder == "glioquery" else f"glioquery/{name}")
    return names


def files_listed():
    """Names of the files that pyproject.toml puts into a wheel."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    settings = settings["tool"]["setuptools"]
    names = set()
    for package in settings["packages"]:
        folder = ROOT / settings["package-dir"][package]
        patterns = ["*.py"]
        for kind in ("*", package):
            patterns += settings["package-data"].get(kind, [])
        for pattern in patterns:
            for path in folder.glob(pattern):
                if path.is_file() and path.name not in MADE:
                    inside = path.relative_to(folder).as_posix()
                    names.add(f"{package.replace('.', '/')}/{inside}")
    return names


def test_every_file_of_the_tree_is_installed():
    left_out = files_of_tree() - files_listed()
    left_out = {name for name in left_out if not fnmatch(name, "*.md") | fnmatch(name, "*.c")}
    assert not left_out, "add it to pyproject.toml"
    assert files_listed() <= files_of_tree()


def test_static_checkers_see_every_module_of_the_front_door():
    shown = {path.name for path in (ROOT / ".typing" / "glioquery").iterdir()}
    there = {path.name for path in (ROOT / "glioquery").iterdir()} - {"__pycache__"}
    assert shown - set(FOLDERS) == there
    assert set(FOLDERS) - {"glioquery"} <= shown


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """An sdist, and the wheel that is made of it."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", out, ROOT], check=True)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return sdist, wheel


@pytest.mark.slow
def test_sdist_and_wheel_hold_the_tree(built):
    sdist, wheel = built
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if name.startswith("glioquery/")}
    is_compiled = {name for name in names if any(fnmatch(name, form) for form in COMPILED)}
    assert names - is_compiled == files_listed()
    assert len(is_compiled) == 1
    with tarfile.open(sdist) as file:
        packed = {name.partition("/")[2] for name in file.getnames()}
    sources = {"pyproject.toml", "setup.py", "query/kernels/compiled.c"}
    named = {"LICENSE", "README.md", "constraints.txt", "atlas/sri24/LICENSE"}
    assert named | sources <= packed
    assert not any(name.startswith("tests/") for name in packed)


def state_of(folder):
    """All files with their sizes and times."""
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.slow
def test_the_demo_runs_from_a_wheel_that_is_not_written_to(built, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", built[1]]
    subprocess.run([*install, "--constraint", ROOT / "constraints.txt"], check=True)
    where = "import glioquery; print(glioquery.__path__[0])"
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("XDG_CACHE_HOME", None)
    run = {"cwd": tmp_path, "env": environment, "check": True}
    told = subprocess.run([python, "-c", where], capture_output=True, text=True, **run)
    installed = Path(told.stdout.strip())
    assert installed.is_relative_to(tmp_path)
    for path in (installed, *installed.rglob("*")):
        path.chmod(path.stat().st_mode & ~0o222)  # root writes all the same: hence the comparison
    before = state_of(installed)
    subprocess.run([python.with_name("glioquery"), "demo", "-o", "demo"], **run)
    assert state_of(installed) == before
    assert (tmp_path / "demo" / "result" / "report.html").stat().st_size > 0
    for path in (installed, *installed.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)  # so that pytest can remove it
