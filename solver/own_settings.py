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


READ_AGAIN = (
    "jax_enable_x64", "jax_default_matmul_precision", "jax_numpy_rank_promotion",
    "jax_numpy_dtype_promotion", "jax_default_prng_impl", "jax_threefry_partitionable",
    "jax_debug_nans", "jax_debug_infs", "jax_debug_key_reuse", "jax_check_tracer_leaks",
    "jax_disable_jit", "jax_transfer_guard", "jax_transfer_guard_host_to_device",
    "jax_transfer_guard_device_to_device", "jax_transfer_guard_device_to_host",
)  # fmt: skip
"""Settings that `own_jax` makes, by the names under which JAX tells them."""


class _InForce(threading.local):
    """What the innermost `own_jax` of this thread was asked for, and the settings that it made."""

    x64: bool | None = None
    values: tuple[object, ...] = ()


_in_force = _InForce()


@contextlib.contextmanager
def own_jax(*, x64: bool = False) -> Iterator[None]:
    """`own_arithmetic`, and JAX's settings at their defaults, for this thread alone.

    Device, memory and number of threads remain the user's choice. What another `own_jax` around it
    has set, and nobody changed since, is not set again: that takes as long as a step of a small
    tumour.

    Parameters
    ----------
    x64 : bool
        Whether arrays may have 64 bits.

    Raises
    ------
    DeviceError
        As `require_device`.
    """
    require_device()
    import jax

    def told() -> tuple[object, ...]:
        return tuple(getattr(jax.config, name, None) for name in READ_AGAIN)

    outside = vars(_in_force).copy()
    if _in_force.x64 == x64 and _in_force.values == told():
        with own_arithmetic():
            yield
        return
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
        stack.callback(_in_force.__dict__.update, {"x64": None, "values": ()} | outside)
        _in_force.x64, _in_force.values = x64, told()
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
