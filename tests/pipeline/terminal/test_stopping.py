"""Ctrl-C, SIGTERM, a closed terminal: everything begun is taken down, and one line says so."""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time

import pytest
from child_processes import WAITING, alive, wait_for

from glioquery.dbgen.machine.cluster import _start
from glioquery.pipeline.commands import cli
from glioquery.pipeline.commands.cli import COMMANDS, KEPT
from glioquery.pipeline.terminal import stopping
from glioquery.pipeline.terminal.stopping import Stopped, stoppable

RUNNER = """
import signal, sys, types
from pathlib import Path

# What a shell ignores for jobs in the background, and nohup, is as in a terminal here.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

from glioquery.dbgen.machine.files import completed, scratch_folder
from glioquery.pipeline.alignment import ants_worker
from glioquery.pipeline.commands import cli

def work(folder: Path) -> None:
    ants_worker.SCRIPT = folder / "waiting.py"
    with scratch_folder() as scratch, completed(folder / "map.nii") as temporary:
        temporary.write_bytes(b"half")
        (folder / "job").symlink_to(scratch)
        ants_worker.run_registration(scratch, {}, [], n_threads=1)

sys.modules["glioquery.pipeline.commands.stand_in"] = types.SimpleNamespace(work=work)
cli.COMMANDS[sys.argv[1]] = "stand_in:work"
cli.main()
"""


@pytest.fixture
def hangup():
    """SIGHUP as in a terminal, though these tests may run in nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Commands stopped while ANTs is at work: exit code, output, the job's process, files."""
    begun = []
    for number, name in (("SIGTERM", "generate"), ("SIGINT", "invert"), ("SIGHUP", "cohort")):
        folder = tmp_path_factory.mktemp("stopped")
        (folder / "waiting.py").write_text(WAITING)
        (folder / "tmp").mkdir()
        process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, name, str(folder)],
            env={**os.environ, "TMPDIR": str(folder / "tmp")},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        begun.append((number, process, folder))
    ended = {}
    for number, process, folder in begun:
        wait_for(lambda f=folder, p=process: (f / "job" / "pid").exists() or p.poll() is not None)
        pid = int((folder / "job" / "pid").read_text())
        process.send_signal(signal.Signals[number])
        out, err = process.communicate(timeout=60)
        left = [p for p in folder.rglob("*") if p.is_file() and p.name != "waiting.py"]
        ended[number] = process.returncode, out, err, pid, left
    return ended


@pytest.mark.parametrize(
    ("number", "code", "line"),
    [
        (
            "SIGTERM",
            143,
            "stopped by SIGTERM: finished shards are kept, and the same command goes on with the "
            "others",
        ),
        (
            "SIGINT",
            130,
            "stopped by Ctrl-C: nothing unfinished is kept, and the same command starts over",
        ),
        (
            "SIGHUP",
            129,
            "stopped by SIGHUP: finished patients are kept, and the same command goes on with the "
            "others",
        ),
    ],
)
def test_a_stopped_command_leaves_nothing_and_says_how_to_go_on(stopped, number, code, line):
    returned, out, err, pid, left = stopped[number]
    assert (returned, out, err.splitlines()) == (code, "", [line])
    assert not alive(pid)
    assert left == []


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_does_not_disturb_the_tidying_and_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    tidied = False
    with pytest.raises(Stopped, match="stopped by SIGTERM") as stopped, stoppable():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            tidied = True
    assert tidied and stopped.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_a_library_drops_comes_again_and_leaves_a_clean_up_alone(hangup, monkeypatch):
    monkeypatch.setattr(stopping, "AGAIN_S", 0.1)
    alarm, tidied = signal.getsignal(signal.SIGALRM), []
    with pytest.raises(Stopped) as stopped, stoppable():
        with contextlib.suppress(BaseException):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        try:
            time.sleep(60)
        finally:
            try:
                time.sleep(0.5)
            finally:
                tidied.append(True)
    assert stopped.value.exit_code == 143 and tidied == [True]
    assert signal.getsignal(signal.SIGALRM) is alarm
    time.sleep(0.2)  # nothing comes after the block


def test_what_python_drops_in_a_finaliser_comes_again_without_a_trace(hangup, monkeypatch, capfd):
    monkeypatch.setattr(stopping, "AGAIN_S", 0.1)
    hook = sys.unraisablehook

    class Dropping:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    with pytest.raises(Stopped), stoppable():
        one = Dropping()
        del one
        time.sleep(60)
    assert capfd.readouterr().err == "" and sys.unraisablehook is hook


def test_a_signal_that_comes_while_ray_starts_is_not_lost(hangup):
    class Ray:
        @staticmethod
        def init(**_):
            signal.signal(signal.SIGTERM, lambda *_: None)  # its own handler
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped), stoppable():
        _start(Ray, None, {})


def test_what_a_library_makes_of_it_is_still_it(hangup):
    with pytest.raises(Stopped, match="stopped by SIGHUP"), stoppable():
        try:
            signal.raise_signal(signal.SIGHUP)
        except KeyboardInterrupt:
            sys.exit(1)
    with pytest.raises(ZeroDivisionError), stoppable():
        raise ZeroDivisionError


def test_a_stopped_command_says_what_it_keeps_if_its_help_says_that_it_resumes():
    resuming = set()
    for name, place in COMMANDS.items():
        module, function = place.split(":")
        command = getattr(importlib.import_module(f"{cli.__package__}.{module}"), function)
        if "resume" in command.__doc__:
            resuming.add(name)
    assert {"generate", "evaluate"} <= resuming <= set(KEPT) <= set(COMMANDS)
    assert "index" in KEPT  # tests/query/test_growth.py sees that it goes on
