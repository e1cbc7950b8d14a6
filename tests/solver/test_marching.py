"""The time loop: states against simulations, steps aside, the caller's settings."""

import ast
import itertools
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from anatomies import blocky_tissue, middle, uniform_tissue

import glioquery.pipeline.fit
from glioquery import solver
from glioquery.solver import Accuracy, FisherKolmogorov, GrowthParameters, march, simulate
from glioquery.solver.marching import _operator
from glioquery.solver.stepper import pace_of

TISSUE = blocky_tissue()
GROWTH = GrowthParameters(middle(TISSUE), dw=0.4, rho=0.1, days=40)


def test_states_are_those_of_simulations_that_end_there():
    states = list(itertools.islice(march(TISSUE, GROWTH), 9))
    assert states[0].days == 0 and states[0].u.sum() > 0
    for state in states[1:]:
        run = simulate(TISSUE, replace(GROWTH, days=state.days))
        np.testing.assert_array_equal(state.u, run.final.u)
        assert state.core_voxels == run.final.core_voxels
        assert state.whole_voxels == run.final.whole_voxels
    assert run.n_stages == sum(state.n_stages for state in states)


def test_its_steps_are_those_that_batches_and_derivatives_unroll():
    pace = pace_of(TISSUE, _operator(TISSUE, FisherKolmogorov()), FisherKolmogorov(), GROWTH)
    states = march(TISSUE, GROWTH, accuracy=Accuracy(0.3, 0.3))
    lengths = Accuracy(0.3, 0.3).steps(pace, GROWTH.days)
    assert len(lengths) > 5
    for state, length in zip(states, lengths[:-1], strict=False):
        assert state.step_days == length
    assert state.next_days < GROWTH.days <= next(states).next_days


def test_a_step_aside_alters_nothing_whatever_the_window_then():
    tissue = uniform_tissue((28, 28, 28))
    growth = GrowthParameters((27.0, 27.0, 27.0), dw=1.0, rho=0.1, days=60)
    plain = [state.u for state in itertools.islice(march(tissue, growth), 14)]
    disturbed = []
    for state in itertools.islice(march(tissue, growth), 14):
        state.at(state.days + 0.4 * state.step_days)
        disturbed.append(state)
    for state, u in zip(disturbed, plain, strict=True):  # read late: windows have grown since
        np.testing.assert_array_equal(state.u, u)
    assert disturbed[0]._window < disturbed[-1]._window


def test_a_growth_that_cannot_begin_is_refused_before_it_is_iterated():
    with pytest.raises(ValueError, match="outside the tissue"):
        march(TISSUE, replace(GROWTH, origin_mm=(-50.0, 0.0, 0.0)))


def test_a_state_that_is_not_finite_is_the_last():
    class Broken(FisherKolmogorov):
        def react(self, fields, rho, days):
            return tuple(f / (f - f) for f in fields)

    first, second = march(TISSUE, GROWTH, model=Broken())
    assert first.is_finite and not second.is_finite


def test_settings_of_the_caller_hold_between_states_and_decide_none():
    expected = [state.u for state in itertools.islice(march(TISSUE, GROWTH), 4)]
    with jax.enable_x64(True), jax.debug_nans(True):
        for state, u in zip(march(TISSUE, GROWTH), expected, strict=False):
            assert jax.numpy.zeros(1).dtype == np.float64
            assert state.u.dtype == np.float32
            np.testing.assert_array_equal(state.u, u)
        assert jax.config.jax_enable_x64 and jax.config.jax_debug_nans


def test_fits_use_public_names_of_the_solver_alone():
    folder = Path(next(iter(glioquery.pipeline.fit.__path__)))
    importing = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("solver"):
                names = {alias.name for alias in node.names}
                if node.module == "solver.declarations":
                    assert not any(name.startswith("_") for name in names), path.name
                else:
                    public = {"solver": solver, "solver.models": solver.models}[node.module]
                    assert names <= set(public.__all__), f"{path.name} imports {names}"
                importing.add(path.name)
    assert "trajectory.py" in importing
