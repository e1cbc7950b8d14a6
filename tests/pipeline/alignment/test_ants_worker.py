"""ANTs' process: what it imports, what names it is told, and what it ends with."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from child_processes import WAITING, alive, wait_for
from odd_names import ODD

from glioquery.atlas import Grid
from glioquery.pipeline.alignment import ants_worker
from glioquery.pipeline.alignment.ants_worker import (
    RegistrationError,
    correct_bias,
    run_registration,
)
from glioquery.pipeline.alignment.itk_files import read_itk_affine, write_itk_affine
from glioquery.pipeline.images.nifti import Scan

ROOM = Grid((12, 13, 14), np.diag([2, 2, 2, 1.0]))
X, Y, Z = np.indices(ROOM.shape)
BALL = Scan(np.exp(-((X - 6) ** 2 + (Y - 6) ** 2 + (Z - 7) ** 2) / 18).astype(np.float32), ROOM)


def test_files_of_the_working_folder_do_not_run(tmp_path, monkeypatch):
    for name in (
        "ants",
        "json",
        "csv",
        "ctypes",
        "pathlib",
        "nibabel",
        "statsmodels",
        "sitecustomize",
    ):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user ran')\n")
    clone = tmp_path / "glioquery" / "pipeline"
    clone.mkdir(parents=True)
    for name in ("__init__", "ants_worker", "ants_job"):
        (clone / f"{name}.py").write_text("raise SystemExit('a clone ran')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}.{os.pathsep}")
    monkeypatch.setattr(
        sys.modules["__main__"], "__file__", str(tmp_path / "script.py"), raising=False
    )
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *sys.path])
    inside = BALL.values > 0.1
    corrected = correct_bias(BALL, inside)
    assert corrected.grid == ROOM and np.isfinite(corrected.values).all()
    assert corrected.values[inside].min() > 0  # a positive image over a positive field


def test_a_job_loads_the_library_and_nothing_of_the_package_around_it():
    code = (
        "import runpy, sys; job = runpy.run_path(sys.argv[1]); library = job['load_library']();"
        "print(hasattr(library, 'antsRegistration'), sorted({'ants', 'pandas'} & set(sys.modules)))"
    )
    script = [sys.executable, "-c", code, str(ants_worker.SCRIPT)]
    told = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert told == "True []\n"


def test_names_of_folders_are_no_syntax_of_ants(tmp_path, monkeypatch):
    folder = tmp_path / ODD
    folder.mkdir()
    monkeypatch.chdir(folder)
    shift = np.eye(4)
    shift[:3, 3] = 1, -2, 0.5
    write_itk_affine(folder / "start.mat", shift)
    arguments = ["-d", "3", "-r", "[{out}start.mat]", "-o", "[{out}]", "-m"]
    arguments += ["GC[{fixed},{moving},1,1]", "-t", "Rigid[0.1]", "-c", "0", "-s", "0", "-f", "1"]
    run_registration(folder, {"fixed": BALL, "moving": BALL}, arguments, n_threads=1)
    np.testing.assert_allclose(read_itk_affine(folder / "0GenericAffine.mat"), shift, atol=1e-5)


def installed_elsewhere(tmp_path, monkeypatch):
    """An installation in a folder of PYTHONPATH, as `pip install --target` makes it."""
    place = tmp_path / "target"
    place.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(place)])
    return place


def test_only_what_is_installed_elsewhere_is_added(tmp_path, monkeypatch):
    place = installed_elsewhere(tmp_path, monkeypatch)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr(sys, "path", ["", str(work), "not-a-folder", *sys.path])
    assert str(place) in ants_worker._further_path()
    assert str(work) not in ants_worker._further_path()
    # A notebook's `__main__` may lie among what is installed, where the working folder may be too.
    packages = Path(np.__file__).parents[1]
    monkeypatch.chdir(packages)
    monkeypatch.setattr(
        sys.modules["__main__"], "__file__", str(packages / "launcher.py"), raising=False
    )
    assert str(packages) in ants_worker._further_path()


@pytest.fixture
def instead(tmp_path, monkeypatch):
    """Let a script stand in for ANTs."""

    def write(text):
        script = tmp_path / "stand_in.py"
        script.write_text(text)
        monkeypatch.setattr(ants_worker, "SCRIPT", script)

    return write


def run(folder):
    run_registration(folder, {}, [], n_threads=1)


def test_a_job_that_does_not_end_is_ended(tmp_path, monkeypatch, instead):
    begun = []

    class Noted(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            begun.append(self)

    instead("import time\ntime.sleep(99)")
    monkeypatch.setattr(subprocess, "Popen", Noted)
    monkeypatch.setattr(ants_worker, "LIMIT_S", 0.5)
    with pytest.raises(RegistrationError, match="ended after 0 min, which no registration takes"):
        run(tmp_path)
    (job,) = begun
    assert job.returncode == -signal.SIGKILL and not alive(job.pid)


def test_a_job_that_is_killed_says_by_what(tmp_path, instead):
    instead("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(RegistrationError, match="ended by SIGKILL, usually for lack of memory"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("import sys\nprint('a\\nb\\nc\\nd', file=sys.stderr)\nsys.exit(3)", r"3: b \| c \| d$"),
        ("print('on stdout')\nraise SystemExit(4)", "4: on stdout$"),
        ("raise SystemExit(5)", "5: no message$"),
    ],
)
def test_a_job_that_fails_says_what_it_said_last(tmp_path, instead, script, told):
    instead(script)
    with pytest.raises(RegistrationError, match=f"^ANTs ended with status {told}"):
        run(tmp_path)


DRIVER = """
import sys
from pathlib import Path
from glioquery.pipeline.alignment import ants_worker
ants_worker.SCRIPT = Path(sys.argv[1])
ants_worker.run_registration(Path(sys.argv[2]), {}, [], n_threads=1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to end a process with its parent")
def test_the_job_of_a_killed_process_ends_by_itself(tmp_path):
    (tmp_path / "waiting.py").write_text(WAITING)
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path / "waiting.py"), str(tmp_path)]
    )
    wait_for((tmp_path / "pid").exists)
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    wait_for(lambda: not alive(pid))


def test_a_job_whose_process_has_ended_already_does_nothing(tmp_path):
    job = '{"parent": -1, "path": [], "geometry": {}, "arguments": [], "function": "none"}'
    (tmp_path / "job.json").write_text(job)
    script = [sys.executable, "-I", str(ants_worker.SCRIPT)]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "the process that wanted this job has ended" in done.stderr
