"""The one place where Ray is started or joined."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from ..atlas import ATLAS_VARIABLE

WORKER_ENVIRONMENT = {
    # One core a worker: XLA's own threads would only fight over the cores. The flags bind single
    # operations; the pool that a program's parts run on has a thread for each of PJRT_NPROC.
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "OMP_NUM_THREADS": "1",
    "PJRT_NPROC": "1",
    "JAX_PLATFORMS": "cpu",
}


@contextlib.contextmanager
def connected(address: str | None = None, *, n_workers: int | None = None) -> Iterator[Any]:
    """The `ray` module, connected to a cluster for the duration of the block.

    Parameters
    ----------
    address : str, optional
        A running cluster's address, as `ray.init` takes it ('auto', 'ray://host:10001'). By default
        a local one is started, without dashboard and usage statistics, and stopped at the end.
    n_workers : int, optional
        Cores of the local cluster; all by default.

    Raises
    ------
    ValueError
        If the number of workers is not positive, or given together with an address.
    ConnectionError
        If there is no cluster at the address, or this process belongs to another one.
    """
    if n_workers is not None and n_workers < 1:
        raise ValueError(f"the number of workers is 1 or more, got {n_workers}")
    if n_workers is not None and address is not None:
        raise ValueError(
            "a number of workers is for a cluster of this machine's own, not for the one at "
            f"{address}: give one of the two"
        )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Under `uv run`, Ray would copy the working directory to every worker.
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    # Today's default of a future version: workers do not hide accelerators they did not ask for.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    _refuse_unreachable(address)
    import ray

    if ray.is_initialized():
        _refuse_another(ray, address)
        yield ray
        return
    atlas = os.environ.get(ATLAS_VARIABLE)
    carried = {} if atlas is None else {ATLAS_VARIABLE: str(Path(atlas).absolute())}
    common = {
        "runtime_env": {"env_vars": WORKER_ENVIRONMENT | carried},
        "log_to_driver": False,
        "logging_level": logging.ERROR,
    }
    try:
        if address is None:
            # "local", or Ray would join whatever cluster it finds on the machine.
            ray.init("local", num_cpus=n_workers, include_dashboard=False, **common)
        else:
            ray.init(address=address, **common)
    except Exception as error:  # Ray raises bare ones, if its start takes too long for example
        where = f"at {address}" if address else "on this machine"
        hint = ""
        if address and "RAY_AUTH_MODE" not in os.environ:
            hint = "; if it asks for a token, set RAY_AUTH_MODE=token (see docs/cluster.md)"
        raise ConnectionError(f"no Ray cluster {where}: {error}{hint}") from None
    try:
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def carried_by_value(kind: type | Callable[..., Any]) -> Iterator[None]:
    """Let what is sent to the workers in the block carry the code of a class or function along.

    Workers import what installed packages hold. One from a script, a notebook or a test, which
    they could not import, travels as code, together with what it uses of its module.
    """
    from ray import cloudpickle

    top, _, _ = kind.__module__.partition(".")
    module = sys.modules.get(kind.__module__)
    installed = top == "glioquery" or top in packages_distributions()
    if installed or module is None or kind.__module__ == "__main__":  # the last travels anyway
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _refuse_another(ray: Any, address: str | None) -> None:
    """Fail where another cluster is asked for than the one that was joined already."""
    if address is None or address == "auto":
        return
    joined = ray.get_runtime_context().gcs_address
    if address != joined:
        raise ConnectionError(
            f"the cluster at {address} was asked for, but this process has joined the one at "
            f"{joined}: leave that with ray.shutdown() first"
        )


def _refuse_unreachable(address: str | None) -> None:
    """Fail at once where nobody listens; Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise ConnectionError(f"no Ray cluster at {address}: {error}") from None
