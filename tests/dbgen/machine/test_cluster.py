"""Ray, started or joined: where it puts its things, what its workers get, and how it fails."""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from glioquery.dbgen.machine import cluster
from glioquery.dbgen.machine.cluster import connected, reason_of, remote, worker_environment


class StandIn:
    """A `ray` that starts nothing and remembers how it was asked to."""

    def __init__(self, then=lambda: None):
        self.then, self.asked = then, {}

    def is_initialized(self):
        return False

    def init(self, **arguments):
        self.asked = arguments
        self.then()

    def shutdown(self):
        pass

    def get_runtime_context(self):
        return SimpleNamespace(runtime_env=self.asked.get("runtime_env", {}))

    def remote(self, work):
        return SimpleNamespace(options=lambda **options: options)


@pytest.fixture
def ray_instead(monkeypatch):
    def put(**options):
        ray = StandIn(**options)
        monkeypatch.setitem(sys.modules, "ray", ray)
        return ray

    for name in ("RAY_TMPDIR", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    return put


def test_nobody_reads_that_a_fork_of_rays_may_hang(ray_instead):
    """JAX warns of it wherever a model was imported before Ray is started."""

    def fork():
        warnings.warn("os.fork() was called. os.fork() is incompatible with", RuntimeWarning, 2)

    ray_instead(then=fork)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with connected():
            pass
    assert told == []


def test_a_cluster_of_its_own_has_the_cores_of_this_process(ray_instead, monkeypatch):
    ray = ray_instead()
    monkeypatch.setattr(cluster, "available_cores", lambda: 3)
    with connected():
        assert (ray.asked["address"], ray.asked["num_cpus"]) == ("local", 3)
    with connected(n_workers=2):
        assert ray.asked["num_cpus"] == 2


@pytest.mark.parametrize("name", ["x" * 60, "it's", 'a "b"', "雪", "a,b", "$HOME"])
def test_sockets_lie_where_the_system_and_ray_take_them(ray_instead, monkeypatch, tmp_path, name):
    ray = ray_instead()
    monkeypatch.setenv("TMPDIR", f"/{name}")
    with connected():
        folder = Path(ray.asked["_temp_dir"])
        assert str(folder).startswith("/tmp/glioquery-ray-")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()
    monkeypatch.setattr(cluster, "SHORT_FOLDER", str(tmp_path / "nowhere"))
    with pytest.raises(ConnectionError, match=r"set RAY_TMPDIR to a path of at most \d+ letters"):
        connected().__enter__()
    monkeypatch.setenv("RAY_TMPDIR", f"/{name}")
    with pytest.raises(ConnectionError, match="RAY_TMPDIR is a path of at most"):
        connected().__enter__()


def test_rays_own_choice_is_kept_where_it_works(ray_instead, monkeypatch):
    ray = ray_instead()
    monkeypatch.setenv("TMPDIR", "/scratch/job_1")
    with connected():
        assert ray.asked["_temp_dir"] == "/scratch/job_1/ray"


@pytest.mark.parametrize("home", ["there", "with a token", "/dev/null/home", None])
def test_a_cluster_of_its_own_needs_no_home(ray_instead, monkeypatch, tmp_path, home):
    """Ray writes a token to ~/.ray, which a container's user may have nowhere to put."""
    monkeypatch.delenv(cluster.TOKEN, raising=False)
    monkeypatch.setattr(Path, "home", lambda: homes(home))

    def homes(home):
        if home is None:
            raise RuntimeError("Could not determine home directory.")
        return tmp_path / home

    if home == "with a token":
        (tmp_path / home / ".ray").mkdir(parents=True)
        (tmp_path / home / ".ray" / "auth_token").write_text("mine")
    seen = []
    ray_instead(then=lambda: seen.append(os.environ.get(cluster.TOKEN)))
    with connected():
        pass
    assert cluster.TOKEN not in os.environ
    (token,) = seen
    assert token is None if home == "with a token" else len(token) == 64
    monkeypatch.setenv(cluster.TOKEN, "the user's")
    with connected():
        pass
    assert seen[-1] == os.environ[cluster.TOKEN] == "the user's"


@pytest.mark.slow
def test_a_database_is_made_where_home_cannot_be_written(tmp_path):
    words = ("generate", tmp_path / "db", "--n", 2, "--store", "outlines", "--workers", 1)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-m", "glioquery", *map(str, words)],
        env=environment | {"HOME": "/dev/null"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "db" / "DATACARD.md").is_file()


@pytest.mark.parametrize("record", [None, "127.0.0.1:1"])
def test_no_cluster_to_join_is_said_at_once(ray_instead, monkeypatch, tmp_path, record):
    ray = ray_instead()
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    if record is not None:  # of a cluster that is no more
        (tmp_path / "ray").mkdir()
        (tmp_path / "ray" / "ray_current_cluster").write_text(record)
    expected = r"started .* by `ray start`" if record is None else f"no Ray cluster at {record}"
    with pytest.raises(ConnectionError, match=expected):
        connected("auto").__enter__()
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:2")
    with pytest.raises(ConnectionError, match=r"no Ray cluster at 127\.0\.0\.1:2"):
        connected("auto").__enter__()
    assert ray.asked == {}


@pytest.mark.parametrize("address", ["..:80", f"{'a' * 64}.org:80", "127.0.0.1:99999"])
def test_an_address_that_can_be_none_is_refused(ray_instead, address):
    ray = ray_instead()
    with pytest.raises(ConnectionError, match=f"no Ray cluster at {address}"):
        connected(address).__enter__()
    assert ray.asked == {}


@pytest.mark.parametrize("greeting", [b"", b"220 a mail server\r\n"])
def test_another_program_is_not_taken_for_a_cluster(ray_instead, monkeypatch, greeting):
    ray = ray_instead()
    monkeypatch.setattr(cluster, "GREETING_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as somebody:

        def greet():
            for _ in range(2):  # asked whether it listens, then what it is
                line, _ = somebody.accept()
                with line:
                    line.sendall(greeting)
                    time.sleep(0.3)

        address = f"127.0.0.1:{somebody.getsockname()[1]}"
        with ThreadPoolExecutor() as pool:
            pool.submit(greet)
            with pytest.raises(ConnectionError, match=f"{address}: another program listens"):
                connected(address).__enter__()
    assert ray.asked == {}


def test_a_signal_does_to_a_driver_what_it_did_before(ray_instead):
    def take_over():
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))

    def tell(number, frame):
        raise LookupError("the caller's own")

    before = signal.signal(signal.SIGTERM, tell)
    try:
        ray_instead(then=take_over)
        with connected(), pytest.raises(LookupError):
            signal.raise_signal(signal.SIGTERM)
        ray_instead(then=lambda: sys.exit(signal.SIGTERM))  # it comes while Ray starts
        with pytest.raises(LookupError, match="the caller's own"):
            connected().__enter__()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_tasks_bring_along_what_the_cluster_was_not_told(ray_instead, monkeypatch):
    ray_instead()
    with connected() as ray:
        assert remote(ray, print, num_cpus=1) == {"num_cpus": 1}
        options = remote(ray, print, environment={"OMP_NUM_THREADS": "2"})
        assert options["runtime_env"]["env_vars"]["OMP_NUM_THREADS"] == "2"
    monkeypatch.setenv("GLIOQUERY_ATLAS", "some/atlas")
    options = remote(StandIn(), print, environment={"OMP_NUM_THREADS": "2"}, num_cpus=2)
    variables = options["runtime_env"]["env_vars"]
    assert options["num_cpus"] == 2
    assert variables["JAX_PLATFORMS"] == "cpu" and variables["OMP_NUM_THREADS"] == "2"
    assert variables["GLIOQUERY_ATLAS"] == str(Path("some/atlas").absolute())
    monkeypatch.setenv("GLIOQUERY_ATLAS", "/atlases/$HOME")
    with pytest.raises(ValueError, match=r"Ray would replace what follows the '\$'"):
        worker_environment()


BOILERPLATE = "For simplicity, JAX has removed its internal frames from the traceback"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            RuntimeError("The worker died unexpectedly.\n\nSee the logs."),
            "The worker died unexpectedly.",
        ),
        (RuntimeError(""), "RuntimeError"),
        (KeyError(), "KeyError"),
    ],
)
def test_a_death_has_a_reason(error, reason):
    assert reason_of(error) == reason


def test_a_failed_task_says_its_error_and_not_what_ends_the_traceback():
    failed = RuntimeError(f"Traceback ...\nValueError: no convergence\n{BOILERPLATE}")
    failed.cause = ValueError("no convergence\nin 8 steps")
    assert reason_of(failed) == "ValueError: no convergence"


SCRIPT = """
import json, sys
import helper
from glioquery.dbgen.machine.cluster import carried_by_value, connected, remote

class Task:
    def go(self):
        import csv, os
        return helper.double(21), csv.__file__, os.getcwd(), os.environ["OMP_NUM_THREADS"], sys.path

if __name__ == "__main__":
    def call(task):
        return task.go()
    if sys.argv[1] == "joined":
        import ray
        ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    with connected(n_workers=None if sys.argv[1] == "joined" else 1) as ray:
        with carried_by_value(Task):
            shared = ray.put(Task())
        print(json.dumps(ray.get(remote(ray, call).remote(shared))))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["own", "joined"])
def test_workers_take_code_along_and_nothing_of_the_working_folder(tmp_path, how):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    work = tmp_path / "work"
    work.mkdir()
    (work / "csv.py").write_text("raise SystemExit('a file of the user ran')\n")
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", how], cwd=work, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    doubled, where, cwd, threads, path = json.loads(done.stdout.splitlines()[-1])
    assert (doubled, threads) == (42, "1")
    if how == "own":  # who joins a cluster before has said himself what its workers import
        assert where == importlib.import_module("csv").__file__
        assert str(work) not in (cwd, *path) and str(tmp_path) not in path


def test_workers_are_as_urgent_as_their_driver(ray):
    niceness = remote(ray, lambda: os.nice(0), num_cpus=1)
    assert ray.get(niceness.remote()) == os.nice(0)
