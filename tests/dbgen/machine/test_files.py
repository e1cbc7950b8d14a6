"""What is left of killed processes goes; what living ones work at stays."""

import fcntl
import os
import subprocess
import sys
import time

import pytest

from glioquery.dbgen.machine import files
from glioquery.dbgen.machine.files import completed, scratch_folder, write_text

HALF = """
import sys
from pathlib import Path
from glioquery.dbgen.machine import files
print(files.begun(Path("map.nii")), files.begun(Path("db")))
"""


def test_the_next_run_removes_what_a_killed_one_left(tmp_path):
    done = subprocess.run([sys.executable, "-c", HALF], capture_output=True, text=True, check=True)
    kept = {
        files.begun(tmp_path / "map.nii").name,  # of a process that is at work
        ".map.nii.12345678-1-12345678.part",  # of another machine
        "map.nii.part",
    }
    file, folder = done.stdout.split()
    files._remove_abandoned.cache_clear()
    for name in (file, *kept):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / folder / "shards").mkdir(parents=True)
    with completed(tmp_path / "other.nii") as temporary:
        temporary.write_bytes(b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "other.nii"}


def test_temporary_folders_are_private_and_go_with_their_block(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder() as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").write_bytes(b"something")
    assert list(tmp_path.iterdir()) == []


def test_temporary_folders_of_killed_processes_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    old = time.time() - 10 * files.ABANDONED_S
    for name in ("glioquery-scratch-left", "glioquery-scratch-used", "precious"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"something")
        os.utime(tmp_path / name, (old, old))
    (tmp_path / "glioquery-scratch-new").mkdir()
    (tmp_path / "glioquery-scratch-link").symlink_to(tmp_path / "precious")
    handle = os.open(tmp_path / "glioquery-scratch-used", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        with scratch_folder():
            pass
    finally:
        os.close(handle)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.name != "file") == [
        "glioquery-scratch-link",
        "glioquery-scratch-new",
        "glioquery-scratch-used",
        "precious",
    ]
    assert (tmp_path / "precious" / "file").exists()


def test_a_refusal_names_the_file_and_not_the_hidden_one(tmp_path):
    (tmp_path / "map.nii").mkdir()
    with pytest.raises(IsADirectoryError) as caught:
        write_text(tmp_path / "map.nii", "density")
    assert caught.value.filename == str(tmp_path / "map.nii")
    with pytest.raises(FileNotFoundError) as caught, completed(tmp_path / "other.nii"):
        (tmp_path / "read.nii").read_bytes()  # what else is wrong keeps its name
    assert caught.value.filename == str(tmp_path / "read.nii")


def test_text_of_any_file_name_is_written(tmp_path):
    write_text(tmp_path / "text", "scan\udce9 \N{GREEK SMALL LETTER LAMDA}\n")
    assert (tmp_path / "text").read_bytes() == b"scan\\udce9 \xce\xbb\n"
