"""The one place where Ray is started or joined."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType
from typing import Any

from ...atlas import ATLAS_VARIABLE
from ...errors import InputError
from .cores import available_cores, require_workers
from .files import scratch_folder

WORKER_ENVIRONMENT = {
    # One core a worker: XLA's own threads would only fight over the cores. The flags bind single
    # operations; the pool that a program's parts run on has a thread for each of PJRT_NPROC.
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "OMP_NUM_THREADS": "1",
    "PJRT_NPROC": "1",
    "JAX_PLATFORMS": "cpu",
    # Shards are complete when they have their names; some file systems (NFS) have no locks.
    "HDF5_USE_FILE_LOCKING": "FALSE",
}

LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107
"""Longest path of a socket in bytes."""

SESSION_BYTES = 72
"""Bytes that Ray adds to its folder: /ray/session_DATE_TIME_MICROSECONDS_PID/sockets/NAME."""

SHORT_FOLDER = "/tmp"

TOKEN = "RAY_AUTH_TOKEN"
"""Variable with the secret of a cluster; with _PATH, one with the name of its file."""

UNREACHABLE = (OSError, UnicodeError, OverflowError)
"""What a connection raises; the last two of a host or a port that cannot be one."""

GREETING_S = 15.0
"""Time for a busy cluster to greet."""

FRAME_HEAD, SETTINGS = 9, b"\x04"
"""Bytes of the head of an HTTP/2 frame, and its fourth where the frame holds settings."""


class ClusterError(InputError, ConnectionError):
    """The requested cluster cannot be started or joined."""


@contextlib.contextmanager
def connected(address: str | None = None, *, n_workers: int | None = None) -> Iterator[Any]:
    """The `ray` module, connected to a cluster for the duration of the block.

    Parameters
    ----------
    address : str, optional
        A running cluster's address, as `ray.init` takes it ('auto', 'ray://host:10001'). By default
        a local one is started, without dashboard and usage statistics, and stopped at the end.
    n_workers : int, optional
        Cores of the local cluster; by default all that this process may use.

    Yields
    ------
    module
        `ray`.

    Raises
    ------
    InputError
        If the number of workers is not positive, or given together with an address.
    ClusterError
        If there is no cluster at the address, or this process belongs to another one.
    """
    require_workers(n_workers, address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Under `uv run`, Ray would copy the working directory to every worker.
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    # Today's default of a future version: workers do not hide accelerators they did not ask for.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # The workers are as urgent as the command: `nice` before it makes both give way.
    os.environ.setdefault("RAY_worker_niceness", "0")
    _refuse_unreachable(address)
    import ray

    if ray.is_initialized():
        _refuse_another(ray, address)
        yield ray
        return
    if address == "auto":
        address = _recorded_address()
        _refuse_unreachable(address)
    _refuse_stranger(address)
    with contextlib.ExitStack() as stack:
        common = {
            "runtime_env": {
                "env_vars": worker_environment(),
                # Ray would put the folders of the user and of the script first on its workers'
                # path, where a file of any name would be taken for the module of that name.
                "working_dir": str(stack.enter_context(scratch_folder())),
            },
            "log_to_driver": False,
            "logging_level": logging.ERROR,
        }
        if address is None:
            stack.enter_context(_token())
            # "local", or Ray would join whatever cluster it finds on the machine.
            common |= {
                "address": "local",
                "num_cpus": n_workers or available_cores(),
                "include_dashboard": False,
                "_temp_dir": stack.enter_context(_session_folder()),
            }
        else:
            common |= {"address": address}
        stack.callback(ray.shutdown)
        _start(ray, address, common)
        yield ray


def worker_environment(**more: str) -> dict[str, str]:
    """Environment variables of a worker, with the driver's atlas; `more` takes precedence.

    Raises
    ------
    InputError
        If Ray would replace a part of the atlas folder's name.
    """
    carried = {}
    if ATLAS_VARIABLE in os.environ:
        folder = str(Path(os.environ[ATLAS_VARIABLE]).absolute())
        if "$" in folder:
            raise InputError(
                f"{ATLAS_VARIABLE} names {folder}, where Ray would replace what follows the '$': "
                "give the folder another name"
            )
        carried[ATLAS_VARIABLE] = folder
    return WORKER_ENVIRONMENT | carried | more


def remote(
    ray: Any, work: type | Callable[..., Any], *, environment: Any = None, **options: Any
) -> Any:
    """A function as Ray's task or a class as its actor, in the environment of glioquery's workers.

    If this process joined the cluster in another way, the environment travels with each task.

    Parameters
    ----------
    ray : module
        As `connected` gives it.
    work : function or class
    environment : mapping, optional
        Variables that differ from `worker_environment`.
    **options
        Options of Ray's own.

    Returns
    -------
    remote function or actor class
        As `ray.remote` gives it.
    """
    variables = worker_environment(**(environment or {}))
    inherited = ray.get_runtime_context().runtime_env.get("env_vars", {})
    if not variables.items() <= inherited.items():  # Ray starts further workers for another one
        options["runtime_env"] = {"env_vars": variables}
    return ray.remote(work).options(**options)


def reason_of(error: Exception) -> str:
    """Why a task failed, on one line: the error that it raised, or what ended its process."""
    cause = getattr(error, "cause", None)
    # A task's text is a traceback, whose last line may be any library's remark about it.
    lines = str(error if cause is None else cause).strip().splitlines()
    first = lines[0].strip() if lines else ""
    if cause is None:
        return first or type(error).__name__
    return f"{type(cause).__name__}: {first}" if first else type(cause).__name__


@contextlib.contextmanager
def carried_by_value(kind: type | Callable[..., Any]) -> Iterator[None]:
    """Send the code of a class or function along with what the workers get in the block.

    Workers import from installed packages. They cannot import from a script, a notebook or a test:
    a class or function from there travels as code, together with what it uses of its module and of
    the modules in the same folder.

    Parameters
    ----------
    kind : type or function
        What the workers are to know.

    Yields
    ------
    None
    """
    from ray import cloudpickle

    top, _, _ = kind.__module__.partition(".")
    carried = [] if _is_installed(top) else _modules_beside(top)
    module = sys.modules.get(kind.__module__)
    if not _is_installed(top) and module is not None and top != "__main__":  # that travels anyway
        carried.append(module)
    for one in carried:
        cloudpickle.register_pickle_by_value(one)
    try:
        yield
    finally:
        for one in carried:
            cloudpickle.unregister_pickle_by_value(one)


def _is_installed(top: str) -> bool:
    return top == "glioquery" or top in packages_distributions()


def _modules_beside(top: str) -> list[ModuleType]:
    """Modules and packages that were imported from the folder in which a top-level one lies."""
    folder = _folder_of(sys.modules.get(top))
    return [
        module
        for name, module in list(sys.modules.items())
        if folder is not None
        and "." not in name
        and name not in (top, "__main__")
        and _folder_of(module) == folder
        and not _is_installed(name)
    ]


def _folder_of(module: ModuleType | None) -> Path | None:
    """Where a module's file lies, or the folder that is a package; None where it has no file."""
    file = getattr(module, "__file__", None)
    if not file:
        return None
    place = Path(file).resolve()
    return place.parent.parent if place.name == "__init__.py" else place.parent


def _refuse_another(ray: Any, address: str | None) -> None:
    """Fail if another cluster is requested than the one that this process has joined."""
    if address is None or address == "auto":
        return
    joined = ray.get_runtime_context().gcs_address
    if address != joined:
        raise ClusterError(
            f"expected the cluster at {address}, but this process has joined the one at "
            f"{joined}: leave that with ray.shutdown() first"
        )


def _start(ray: Any, address: str | None, arguments: dict[str, Any]) -> None:
    """Call `ray.init`; afterwards SIGTERM does again what it did before.

    One that Ray's own handler took meanwhile is handed on.
    """
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with _signals_seen() as seen, warnings.catch_warnings():
            # JAX warns of every fork. Ray's begin other programs, which hold none of JAX's locks.
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            ray.init(**arguments)
    except SystemExit:  # Ray's answer to a SIGTERM that comes while it starts
        if callable(handler):
            handler(signal.SIGTERM, None)
        raise
    except Exception as error:  # Ray raises bare ones, if its start takes too long for example
        where = f"at {address}" if address else "on this machine"
        hint = ""
        if address and "RAY_AUTH_MODE" not in os.environ:
            hint = "; if it asks for a token, set RAY_AUTH_MODE=token (see docs/cluster.md)"
        raise ClusterError(f"no Ray cluster {where}: {error}{hint}") from None
    finally:
        # Ray's handler ends the process, its library's prints a trace of C++ before.
        if callable(handler) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
    if signal.SIGTERM in seen and callable(handler):
        handler(signal.SIGTERM, None)


@contextlib.contextmanager
def _token() -> Iterator[None]:
    """The secret of a local cluster, where the user has none.

    Ray would write one to the home folder, which may be read-only or missing, and which a cluster
    that is started later would ask for.
    """
    try:
        has_own = (Path.home() / ".ray" / "auth_token").is_file()
    except (OSError, RuntimeError):  # no home
        has_own = False
    if has_own or TOKEN in os.environ or f"{TOKEN}_PATH" in os.environ:
        yield
        return
    os.environ[TOKEN] = secrets.token_hex(32)
    try:
        yield
    finally:
        os.environ.pop(TOKEN, None)


@contextlib.contextmanager
def _signals_seen() -> Iterator[bytearray]:
    """The numbers of the signals that come during a block, whatever handles them.

    They are there after the block. None is seen outside the main thread.
    """
    seen = bytearray()
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    before = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    try:
        yield seen
    finally:
        signal.set_wakeup_fd(before)
        with contextlib.suppress(BlockingIOError):
            seen += os.read(read_end, 4096)
        os.close(read_end)
        os.close(write_end)


@contextlib.contextmanager
def _session_folder() -> Iterator[str]:
    """Where a local cluster keeps its sockets and logs: Ray's own choice, or a short path.

    Raises
    ------
    ClusterError
        If neither can be used.
    """
    named = os.environ.get("RAY_TMPDIR")
    folder = named or os.environ.get("TMPDIR") or SHORT_FOLDER
    fits = len(os.fsencode(folder)) <= LONGEST_SOCKET - SESSION_BYTES
    if fits and re.fullmatch(r"[A-Za-z0-9._/-]+", folder):
        yield str(Path(folder, "ray"))
        return
    need = (
        f"at most {LONGEST_SOCKET - SESSION_BYTES} letters, digits, '.', '_', '-' and '/', since "
        "sockets lie there"
    )
    if named:
        raise ClusterError(f"RAY_TMPDIR is a path of {need}, got {named}")
    with contextlib.ExitStack() as stack:
        try:
            made = tempfile.TemporaryDirectory(
                prefix="glioquery-ray-", dir=SHORT_FOLDER, ignore_cleanup_errors=True
            )
        except OSError as error:
            raise ClusterError(
                f"Ray keeps its sockets neither under TMPDIR, {folder}, nor under {SHORT_FOLDER} "
                f"({error.strerror}): set RAY_TMPDIR to a path of {need}"
            ) from None
        yield stack.enter_context(made)


def _refuse_unreachable(address: str | None) -> None:
    """Fail at once where nobody listens; Ray itself would try for minutes."""
    if place := _host_and_port(address):
        try:
            socket.create_connection(place, timeout=5).close()
        except UNREACHABLE as error:
            raise ClusterError(f"no Ray cluster at {address}: {error}") from None


def _refuse_stranger(address: str | None) -> None:
    """Raise if a program other than Ray listens at the address; Ray itself would retry without end.

    Ray's greeting, as gRPC's, is a frame of HTTP/2's settings; where it is encrypted it waits.
    """
    place = _host_and_port(address)
    if place is None or os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return
    try:
        with socket.create_connection(place, timeout=GREETING_S) as line:
            greeting = line.recv(FRAME_HEAD)
    except UNREACHABLE:  # silence
        greeting = b""
    if greeting[3:4] != SETTINGS:
        raise ClusterError(f"no Ray cluster at {address}: another program listens there")


def _host_and_port(address: str | None) -> tuple[str, int] | None:
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdigit() else None


def _recorded_address() -> str:
    """What 'auto' stands for: RAY_ADDRESS, or what the last `ray start` here wrote down.

    Ray would go on to any cluster it finds among the machine's processes, somebody else's as well.

    Raises
    ------
    ClusterError
        If there is neither.
    """
    folder = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or SHORT_FOLDER
    address = os.environ.get("RAY_ADDRESS", "")
    if not address:
        with contextlib.suppress(OSError):
            record = Path(folder, "ray", "ray_current_cluster")
            address = record.read_text(encoding="utf-8").strip()
    if not address:
        raise ClusterError(
            "no Ray cluster was started on this machine by `ray start`, and RAY_ADDRESS is not "
            "set: start one, name its address, or leave --address out for a cluster of this "
            "command's own"
        )
    return address
