"""The time loop: a growth as the states between its steps.

Everything that follows one growth in time draws its states from `march`: `simulate`, the snapshots
of a database, the trajectories of a refinement. Many growths in one compiled program, and
derivatives, unroll the same steps on the device (`batches`, `gradients`; see `Accuracy.steps`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from .declarations import model_of
from .density import Thresholds
from .models import FisherKolmogorov, GrowthModel
from .own_settings import own_jax
from .parameters import GrowthParameters
from .schedule import Accuracy
from .stepper import State, Stepper, pace_of
from .tissue import Tissue
from .treated_state import require_maps, require_treatable, treated
from .treatments import Treatment
from .window import DiffusionOperator


@own_jax()
def march(
    tissue: Tissue,
    parameters: GrowthParameters,
    *,
    model: GrowthModel = FisherKolmogorov(),
    thresholds: Thresholds = Thresholds(),
    accuracy: Accuracy = Accuracy(),
    treatments: Sequence[Treatment] = (),
) -> Iterator[State]:
    """Grow one tumour step by step.

    A step is computed when its state is asked for. The growth has no end of its own, unless its
    density stops being a number: stop the iteration where you like.

    Parameters
    ----------
    tissue : Tissue
        Anatomy, on any grid.
    parameters : GrowthParameters
        Origin, diffusivity and proliferation rate; the duration plays no part.
    model : GrowthModel
        Growth model; Fisher-Kolmogorov by default.
    thresholds : Thresholds
        Densities of the outlines whose voxels are counted.
    accuracy : Accuracy
        Bounds of the time step.
    treatments : sequence of Treatment
        Events of the growth (see `treatments`).

    Returns
    -------
    iterator of State
        The seed first, then the state at the end of each step. One that is not finite is the last.

    Raises
    ------
    OriginError
        If the origin lies outside the tissue, or the tissue there is too small to hold a seed; at
        once, before a state is asked for.
    InputError
        If treatments are given of a model with several populations, or a map of them of a model
        that pushes tissue or of another grid.

    Examples
    --------
    The time at which a tumour reaches 10 ml::

        states = march(tissue, parameters)
        days = next(s.days for s in states if s.whole_voxels * tissue.grid.voxel_ml >= 10)
    """
    model = model_of(model, parameters.own)
    if treatments:
        require_treatable(model, treatments)
        require_maps(tissue.grid.shape, treatments)
    operator = _operator(tissue, model)
    start = Stepper(tissue, operator, model, parameters, thresholds, accuracy).start()
    return _states(treated(start, treatments) if treatments else start)


@own_jax()
def require_end(
    tissue: Tissue,
    parameters: GrowthParameters,
    *,
    model: GrowthModel = FisherKolmogorov(),
    accuracy: Accuracy = Accuracy(),
) -> None:
    """See that a growth reaches its `days` in about `schedule.MAX_STEPS` steps at most.

    Raises
    ------
    InputError
        If it takes more.
    """
    model = model_of(model, parameters.own)
    pace = pace_of(tissue, _operator(tissue, model), model, parameters)
    accuracy.require_end(pace, parameters.days)


def _states(state: State) -> Iterator[State]:
    yield state
    while state.is_finite:
        state = state.next()
        yield state


@functools.lru_cache(maxsize=8)  # a refinement follows some growths of several values at a time
def _operator(tissue: Tissue, model: GrowthModel) -> DiffusionOperator:
    return DiffusionOperator(tissue, model)
