"""One holder at a time, on file systems with locks and without."""

import contextlib
import errno
import os
import socket
import subprocess
import sys
import threading

import pytest

from glioquery.dbgen.machine import lock
from glioquery.dbgen.machine.lock import HeldError, hold, hold_in_turn


@pytest.fixture(params=["with flock", "without flock"])
def path(request, monkeypatch, tmp_path):
    if request.param == "without flock":

        def refuse(*_):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        monkeypatch.setattr("glioquery.dbgen.machine.lock.fcntl.flock", refuse)
    return tmp_path / "lock"


def test_a_second_holder_is_refused_and_told_who_holds(path):
    with hold(path):
        with pytest.raises(HeldError, match=rf"process {os.getpid()} on {socket.gethostname()}: "):
            hold(path).__enter__()
        assert path.exists()
    assert not path.exists()
    with hold(path):
        pass


def test_threads_exclude_each_other(path):
    found = []

    def second():
        try:
            with hold(path):
                found.append("held")
        except HeldError:
            found.append("refused")

    with hold(path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert found == ["refused"]


def test_the_lock_goes_when_work_fails(path):
    with pytest.raises(ZeroDivisionError), hold(path):
        _ = 1 / 0
    assert not path.exists()


def test_what_a_killed_holder_left_is_taken_over(path):
    script = "import os; print(os.getpid())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    path.write_text(f"process {done.stdout.strip()} on {socket.gethostname()}")
    with hold(path):
        assert path.read_text() == f"process {os.getpid()} on {socket.gethostname()}"


@pytest.mark.parametrize("owner", ["process 1 on elsewhere", "", "process 1 on {}"])
def test_without_locks_a_file_of_a_holder_that_may_live_is_told_and_left(
    monkeypatch, tmp_path, owner
):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("glioquery.dbgen.machine.lock.fcntl.flock", refuse)
    path = tmp_path / "lock"
    path.write_text(owner.format(socket.gethostname()))
    with pytest.raises(HeldError, match=rf"or remove {path} if it has"):
        hold(path).__enter__()
    assert path.exists()


def test_a_lock_file_that_was_removed_meanwhile_locks_nothing(monkeypatch, tmp_path):
    """Its last holder removes it between our opening it and our locking it."""
    path = tmp_path / "lock"
    path.touch()
    locked = lock.fcntl.flock
    calls = []

    def slow(file, how):
        if not calls:
            path.unlink()
        calls.append(file)
        locked(file, how)

    monkeypatch.setattr(lock.fcntl, "flock", slow)
    with hold(path):
        assert len(calls) == 2
        with pytest.raises(HeldError):
            hold(path).__enter__()


def test_other_faults_of_the_file_system_are_told(monkeypatch, tmp_path):
    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("glioquery.dbgen.machine.lock.fcntl.flock", fail)
    with pytest.raises(OSError, match="Input/output"):
        hold(tmp_path / "lock").__enter__()


def test_a_lock_that_cannot_be_written_is_named_and_gone(path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("glioquery.dbgen.machine.lock.os.write", fail)
    with pytest.raises(OSError, match="No space left") as told:
        hold(path).__enter__()
    assert told.value.filename == str(path) and not path.exists()


def test_who_could_not_wait_leaves_the_file_to_its_holder(monkeypatch, tmp_path):
    path = tmp_path / "lock"
    with hold_in_turn(path) as is_alone:
        assert is_alone

        def fail(*_):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr("glioquery.dbgen.machine.lock.fcntl.flock", fail)
        with hold_in_turn(path) as is_alone:
            assert not is_alone
        assert path.exists()
    assert not path.exists()


def test_without_locks_a_file_is_taken_over_once(monkeypatch, tmp_path):
    """Two processes find what an ended one left; the slower one must not remove the other's."""

    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    path = tmp_path / "lock"
    path.write_text("left")
    judged = []

    def was_left(file):
        if not judged:  # the slower one has read it: meanwhile the other takes it over
            judged.append(file)
            held.enter_context(hold(path))
            return True
        return lock._read(file) == "left"

    monkeypatch.setattr(lock, "_was_left", was_left)
    with contextlib.ExitStack() as held:
        with pytest.raises(HeldError, match=f"process {os.getpid()} on "):
            hold(path).__enter__()
        assert path.exists()
    assert list(tmp_path.iterdir()) == []


def test_without_locks_a_file_that_another_process_takes_over_is_left_to_it(monkeypatch, tmp_path):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    monkeypatch.setattr(lock, "_was_left", lambda _: True)
    path, claim = tmp_path / "lock", tmp_path / "lock.claim"
    path.write_text("left")
    claim.touch()
    with pytest.raises(HeldError, match=f"or remove {path} and {claim} if it has"):
        hold(path).__enter__()
    assert path.read_text() == "left"
