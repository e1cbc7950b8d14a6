"""The settings that this library computes under, whatever its user has set for other work.

A debugging switch, a precision or a platform that is meant for the user's own programs must neither
change a result nor end a long computation. So every public function that computes does so inside
`own_arithmetic`, and inside `own_jax` where it uses JAX; both end with the function.
docs/environment.md lists what is covered.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import numpy as np

from ..errors import InputError


class DeviceError(InputError):
    """JAX does not work under the settings that it is given."""


class Shared:
    """A scope of settings of a whole process: the first to enter applies them, the last ends them.

    If the scopes of several threads overlapped, they would restore wrong settings at their end. A
    call returns a context manager, which is also a decorator.

    Parameters
    ----------
    scope : callable
        Makes the context manager of the settings.
    """

    def __init__(self, scope: Callable[[], AbstractContextManager[object]]) -> None:
        self._scope, self._lock = scope, threading.Lock()
        self._n_inside, self._made = 0, ExitStack()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        """Enter the scope, or join those who are in it."""
        with self._lock:
            if self._n_inside == 0:
                self._made.enter_context(self._scope())
            self._n_inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_inside -= 1
                if self._n_inside == 0:
                    self._made.close()


@contextlib.contextmanager
def _printed_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filters = [
            ("default" if action == "error" else action, *rest)  # type: ignore[misc]
            for action, *rest in warnings.filters
        ]
        yield


printed_warnings = Shared(_printed_warnings)
"""Warnings that the user made errors are printed instead: most announce other libraries' plans."""


@contextlib.contextmanager
def own_arithmetic() -> Iterator[None]:
    """NumPy's error states at their defaults, and warnings that raise no error.

    Yields
    ------
    None
    """
    with (
        printed_warnings(),
        np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"),
    ):
        yield


class _InForce(threading.local):
    """What `own_jax` has set in this thread: `x64`, or None outside of it."""

    x64: bool | None = None


_in_force = _InForce()


@contextlib.contextmanager
def own_jax(*, x64: bool = False) -> Iterator[None]:
    """`own_arithmetic`, and JAX's settings at their defaults, for this thread alone.

    Device, memory and number of threads remain the user's choice. Inside another `own_jax` nothing
    is set again: to set all of them takes as long as a time step of a small tumour.

    Parameters
    ----------
    x64 : bool
        Whether arrays may have 64 bits.

    Raises
    ------
    DeviceError
        As `require_device`.
    """
    outside = _in_force.x64
    if outside == x64:
        yield
        return
    require_device()
    import jax

    with own_arithmetic(), ExitStack() as stack:
        for setting in (
            jax.enable_x64(x64),
            jax.default_matmul_precision(None),
            jax.numpy_rank_promotion("allow"),
            jax.numpy_dtype_promotion("standard"),
            jax.default_prng_impl("threefry2x32"),
            jax.threefry_partitionable(True),
            jax.debug_nans(False),
            jax.debug_infs(False),
            jax.debug_key_reuse(False),
            jax.check_tracer_leaks(False),
            jax.disable_jit(False),
            jax.transfer_guard("allow"),
        ):
            stack.enter_context(setting)
        stack.callback(setattr, _in_force, "x64", outside)
        _in_force.x64 = x64
        yield


def require_jax() -> None:
    """See that JAX can be imported, which takes it half a second.

    Raises
    ------
    DeviceError
        If JAX refuses the value of one of its settings; the message names the setting.
    """
    try:
        import jax  # noqa: F401
    except ValueError as error:
        raise DeviceError(f"JAX refuses a setting ({error}): unset that") from None


@functools.cache
def require_device() -> None:
    """See that JAX finds a device, which takes it half a second; once a process.

    Raises
    ------
    DeviceError
        As `require_jax`, or if JAX finds no device: `JAX_PLATFORMS` may name one that is missing.
    """
    require_jax()
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        named = {name: os.environ.get(name) for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME")}
        chosen = getattr(jax.config, "jax_platforms", None)  # however it was set
        named |= {"JAX_PLATFORMS": chosen} if chosen else {}
        told = " and ".join(f"{name}={value}" for name, value in named.items() if value)
        reason = str(error).strip().partition("\n")[0] or "it says no more"
        raise DeviceError(
            f"JAX finds no device with {told or 'its settings'} ({reason}): unset that, or set "
            "JAX_PLATFORMS=cpu"
        ) from None
