"""What a user sets for his own programs changes no growth, and stays as it was."""

import contextlib
import threading
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from anatomies import blocky_tissue, middle, uniform_tissue

from glioquery.cache import cache_folder
from glioquery.solver import GrowthParameters, compilation, own_settings, sensitivity, simulate
from glioquery.solver.own_settings import DeviceError, Shared, own_arithmetic, require_device

JAX_SETTINGS = {
    "jax_enable_x64": True,
    "jax_default_matmul_precision": "bfloat16",
    "jax_numpy_rank_promotion": "raise",
    "jax_numpy_dtype_promotion": "strict",
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_debug_key_reuse": True,
    "jax_check_tracer_leaks": True,
    "jax_disable_jit": True,
    "jax_transfer_guard": "disallow",
}


def growth():
    tissue = blocky_tissue()  # a new one: what is kept of another would hide what is made of it
    return simulate(tissue, GrowthParameters(middle(tissue), dw=0.4, rho=0.08, days=70)).final


@pytest.fixture(scope="module")
def undisturbed():
    return growth()


@pytest.mark.parametrize("name", JAX_SETTINGS)
def test_a_setting_of_jax_changes_no_growth(undisturbed, name):
    before = jax.config.values[name]
    jax.config.update(name, JAX_SETTINGS[name])
    try:
        grown = growth()
        assert jax.config.values[name] == JAX_SETTINGS[name]
    finally:
        jax.config.update(name, before)
    np.testing.assert_array_equal(grown.u, undisturbed.u)
    assert grown.u.dtype == np.float32


def test_derivatives_are_of_the_precision_that_is_asked_for():
    tissue = uniform_tissue((10, 10, 10))
    p = GrowthParameters(middle(tissue), dw=0.1, rho=0.05, days=5)
    seen = []

    class SeenError(Exception):
        """Enough: nothing need be compiled."""

    def see(u):
        seen.append(u.dtype)
        raise SeenError

    for dtype in (np.float32, np.float64):
        with pytest.raises(SeenError):
            sensitivity(tissue, p, see, dtype=dtype)
    assert seen == [np.float32, np.float64]
    assert jnp.arange(2.0).dtype == np.float32  # the user's own arrays, as before


def test_numpys_error_states_and_warnings_as_errors_end_nothing():
    @own_arithmetic()
    def careless():
        warnings.warn("something will be otherwise", FutureWarning, stacklevel=1)
        return np.float32([1e-30]) * np.float32([1e-30]), np.float32([1]) / np.float32([0])

    with np.errstate(all="raise"), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("error")
        small, large = careless()
        with pytest.raises(FloatingPointError):
            np.float32([1e-30]) * np.float32([1e-30])
        with pytest.raises(FutureWarning):
            warnings.warn("again", FutureWarning, stacklevel=1)
    assert (small, large) == (0, np.inf)
    assert [one.category for one in told] == [FutureWarning, RuntimeWarning]  # still told


def test_a_shared_scope_ends_with_the_last_who_is_in_it():
    events = []

    @contextlib.contextmanager
    def scope():
        events.append("made")
        yield
        events.append("ended")

    shared = Shared(scope)
    inside, leave = threading.Event(), threading.Event()

    def other():
        with shared():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with shared():
        thread.start()
        assert inside.wait(10)
    assert events == ["made"]  # the first has left, the other is in it
    leave.set()
    thread.join()
    assert events == ["made", "ended"]
    with pytest.raises(KeyError), shared():
        raise KeyError
    assert events == ["made", "ended"] * 2


@pytest.mark.parametrize(
    "error", [RuntimeError("Backend 'cuda' is not there\nmore"), AssertionError()]
)
def test_devices_that_are_not_there_are_named_with_what_asks_for_them(monkeypatch, error):
    def none():
        raise error

    require_device.cache_clear()
    monkeypatch.setattr(jax, "devices", none)
    monkeypatch.setenv("JAX_PLATFORM_NAME", "cuda")
    with pytest.raises(DeviceError, match="JAX_PLATFORM_NAME=cuda") as refusal:
        growth()
    assert "\n" not in str(refusal.value) and "JAX_PLATFORMS=cpu" in str(refusal.value)


def test_a_growth_leaves_the_users_compilation_cache_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOQUERY_CACHE", str(tmp_path))
    compilation.keep_compiled_programs.cache_clear()
    of_the_tests = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        before = dict(jax.config.values)
        growth()
        assert dict(jax.config.values) == before
    finally:
        jax.config.update("jax_compilation_cache_dir", of_the_tests)
    assert list(tmp_path.iterdir()) == []


def test_a_process_of_ones_own_keeps_every_program_it_compiles(tmp_path, monkeypatch):
    monkeypatch.setenv("GLIOQUERY_CACHE", str(tmp_path))
    before = dict(jax.config.values)
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
    try:
        compilation.keep_compiled_programs.__wrapped__()
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "jax")
        assert jax.config.jax_persistent_cache_min_compile_time_secs == 0
        jax.config.update("jax_compilation_cache_dir", "/the/users/own")
        compilation.keep_compiled_programs.__wrapped__()
        assert jax.config.jax_compilation_cache_dir == "/the/users/own"
    finally:
        for name, value in before.items():
            if name.startswith(("jax_compilation_cache_dir", "jax_persistent_cache")):
                jax.config.update(name, value)


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"GLIOQUERY_CACHE": "/there"}, "/there"),
        ({"GLIOQUERY_CACHE": "~/there", "HOME": "/home/me"}, "/home/me/there"),
        ({"GLIOQUERY_CACHE": ""}, None),
        ({"XDG_CACHE_HOME": "/caches"}, "/caches/glioquery"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/home/me"}, "/home/me/.cache/glioquery"),
        ({"XDG_CACHE_HOME": "", "HOME": "/home/me"}, "/home/me/.cache/glioquery"),
    ],
)
def test_the_cache_lies_where_the_environment_says(monkeypatch, environment, folder):
    for name in ("GLIOQUERY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = cache_folder()
    assert (None if found is None else str(found)) == folder


def test_a_user_without_a_home_has_no_cache(monkeypatch):
    for name in ("GLIOQUERY_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])  # as of an id without a name
    assert cache_folder() is None


def test_no_setting_is_covered_by_nobody():
    # The table above and the settings that `own_jax` makes are the same ones.
    made = {f"jax_{name}" for name in own_settings.own_jax.__wrapped__.__code__.co_names}
    assert made & jax.config.values.keys() == JAX_SETTINGS.keys()


@pytest.mark.parametrize("name", JAX_SETTINGS)
def test_what_was_changed_inside_is_set_again(name):
    before = jax.config.values[name]
    with own_settings.own_jax():
        own = getattr(jax.config, name)
        with own_settings.own_jax():  # nothing was changed: nothing to set
            assert getattr(jax.config, name) == own
        with getattr(jax, name.removeprefix("jax_"))(JAX_SETTINGS[name]):
            assert getattr(jax.config, name) != own
            with own_settings.own_jax():
                assert getattr(jax.config, name) == own
            assert getattr(jax.config, name) != own
    assert jax.config.values[name] == before


def test_precisions_may_be_nested_and_errors_leave_nothing_behind():
    with own_settings.own_jax(x64=True):
        with own_settings.own_jax():
            assert not jax.config.jax_enable_x64
        with pytest.raises(KeyError), own_settings.own_jax():
            raise KeyError
        assert jax.config.jax_enable_x64
        with own_settings.own_jax(x64=True):
            assert jax.config.jax_enable_x64
    with jax.debug_nans(True):  # outside of all of them, settings are the user's
        assert jax.config.jax_debug_nans
        with own_settings.own_jax():
            assert not jax.config.jax_debug_nans


def test_every_setting_that_is_made_is_looked_at():
    assert JAX_SETTINGS.keys() <= set(own_settings.READ_AGAIN)
