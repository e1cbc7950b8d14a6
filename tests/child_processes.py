"""A stand-in for ANTs that waits for its end, and whether it has come."""

import os
import time
from pathlib import Path

from glioquery.pipeline.alignment import ants_job

WAITING = f"""
import json, os, pathlib, sys, time
sys.path.append({str(Path(ants_job.__file__).parent)!r})
import ants_job
ants_job.end_with(json.loads(pathlib.Path(ants_job.JOB_FILE).read_text())["parent"])
pathlib.Path("pid.new").write_text(str(os.getpid()))
pathlib.Path("pid.new").rename("pid")
time.sleep(99)
"""
"""A script that takes its job as ANTs does, says its number in `pid`, and sleeps."""


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_for(what, timeout_s=60):
    end = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
