"""One growth, from its seed to its densities: the entry point of the solver."""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..atlas.regions import embed
from ..errors import InputError
from .density import Thresholds, TumorDensity
from .displacement import Displacement
from .marching import march, require_end
from .models import FisherKolmogorov, GrowthModel
from .own_settings import own_jax
from .parameters import GrowthParameters
from .schedule import Accuracy
from .stepper import State
from .tissue import Tissue
from .treatments import Treatment

VOLUME_TOLERANCE = 0.02
MAX_SIDE_STEPS = 6
"""Relative tolerance and most trials in the search for the time of a volume snapshot."""

FULL_DENSITY = 1 - 1e-5
"""Least density in every voxel of a tissue that a tumour has filled; the densities of two
processors differ by less than what it lacks to 1."""


class Status(enum.Enum):
    """How a simulation ended; the value is a phrase for people."""

    DONE = "reached the requested time"
    STOPPED_AT_VOLUME = "reached the volume at which it had to stop"
    FOLDED = (
        "reached its end, but the tissue folds where the tumour pushes it (a Jacobian of 0.1 or "
        "less): its displacement is no solution, give a smaller swelling"
    )
    TISSUE_FULL = "filled the tissue before the requested time: nothing more can grow"
    NOT_FINITE = (
        "the density stopped being a number: check the model's react() at the parameters and the "
        "time given, or shorten the steps with Accuracy"
    )


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The tumour at one moment.

    Attributes
    ----------
    days : float
        Time since the seed.
    u : (nx, ny, nz) float32 array
        Density on the tissue's box, where the tissue lies at that moment.
    core_voxels, whole_voxels : int
        Sizes of the two outlines, counted on the unrounded density.
    ventricles : (nx, ny, nz) bool array or None
        The ventricles on the tissue's box, as the tumour has pushed them at that moment; None for a
        model that pushes nothing.
    """

    days: float
    u: NDArray[np.float32]
    core_voxels: int
    whole_voxels: int
    ventricles: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, state: State, thresholds: Thresholds) -> Snapshot:
        """Measure a state of a growth; where the tumour pushes, its outlines are counted anew.

        Parameters
        ----------
        state : State
        thresholds : Thresholds
            Those that the state's voxels were counted by.

        Returns
        -------
        Snapshot
        """
        if state.displacement is None:
            core, whole = state.core_voxels, state.whole_voxels
            return cls(state.days, state.u, core, whole, state.ventricles)
        core, whole = (int((state.u >= np.float32(level)).sum()) for level in thresholds.levels)
        return cls(state.days, state.u, core, whole, state.ventricles)


@dataclass(frozen=True, eq=False)
class Course:
    """The states of a finished run, before the displacement of pushed tissue is computed.

    Attributes
    ----------
    status : Status
        As in `Simulation`, but for tissue that folds.
    states : tuple of State
        States of the requested snapshots that the run reached, in the order of time.
    end : State
    n_steps, n_stages, clipped
        As in `Simulation`.
    """

    status: Status
    states: tuple[State, ...]
    end: State
    n_steps: int
    n_stages: int
    clipped: float

    @property
    def folds(self) -> bool:
        """Whether the tissue folds at the end."""
        if self.status is Status.NOT_FINITE:
            return False
        moved = self.end.displacement
        return moved is not None and moved.folds


@dataclass(frozen=True, eq=False)
class Simulation:
    """What `simulate` found.

    Attributes
    ----------
    parameters : GrowthParameters
        The given parameters, with `days` replaced by the time reached. A tumour that has filled the
        tissue (`FULL_DENSITY` everywhere) does not change until the requested time.
    status : Status
    snapshots : tuple of Snapshot
        The requested snapshots that the run reached, in the order of time.
    final : Snapshot
        The tumour at the end.
    tissue : Tissue
    n_steps, n_stages : int
        Time steps of the run and diffusion stages in them, without the extra steps of snapshots.
    clipped : float
        Share of the mass that was changed to keep u within [0, 1], summed over the steps.
    displacement : Displacement or None
        Where the tissue lies at the end; None for a model that pushes nothing.
    """

    parameters: GrowthParameters
    status: Status
    snapshots: tuple[Snapshot, ...]
    final: Snapshot
    tissue: Tissue
    n_steps: int
    n_stages: int
    clipped: float
    displacement: Displacement | None = None

    @property
    def pushed_tissue(self) -> Tissue:
        """The tissue where it lies at the end; density and outlines lie in it."""
        moved = self.displacement
        return self.tissue if moved is None else moved.tissue(self.tissue)

    @property
    def density(self) -> TumorDensity:
        """The final density on the whole grid of the tissue."""
        return on_grid(self.tissue, self.final.u)


def on_grid(tissue: Tissue, box: NDArray[np.float32]) -> TumorDensity:
    """A density on the tissue's box as one on its whole grid, zero elsewhere.

    Parameters
    ----------
    tissue : Tissue
    box : float32 array of the box's shape
        Densities, from 0 to 1.

    Returns
    -------
    TumorDensity
    """
    return TumorDensity(embed(box, tissue.box, tissue.grid.shape), tissue.grid)


@own_jax()
def simulate(
    tissue: Tissue,
    parameters: GrowthParameters,
    *,
    model: GrowthModel = FisherKolmogorov(),
    thresholds: Thresholds = Thresholds(),
    snapshot_days: Sequence[float] = (),
    snapshot_ml: Sequence[float] = (),
    stop_ml: float = math.inf,
    accuracy: Accuracy = Accuracy(),
    treatments: Sequence[Treatment] = (),
) -> Simulation:
    """Grow one tumour.

    Parameters
    ----------
    tissue : Tissue
        Anatomy, on any grid.
    parameters : GrowthParameters
        Origin, diffusivity, proliferation rate and duration.
    model : GrowthModel
        Growth model; Fisher-Kolmogorov by default.
    thresholds : Thresholds
        Densities of the two visible outlines.
    snapshot_days : sequence of float
        Times, rising, at which to keep the density; up to `parameters.days`. A snapshot equals, bit
        for bit, a simulation that ends at its time.
    snapshot_ml : sequence of float
        Whole-tumour volumes, > 0 and rising, at which to keep the density. Extra, shorter steps
        find the time at which the volume is reached, to 2 % where the voxels allow it.
    stop_ml : float
        Whole-tumour volume at which to stop, at the end of a step; before the treatment of that
        moment, if it takes the tumour below the volume.
    accuracy : Accuracy
        Bounds of the time step.
    treatments : sequence of Treatment
        Resections, fractions of radiotherapy and drugs, on days since the seed.

    Returns
    -------
    Simulation

    Raises
    ------
    OriginError
        If the origin lies outside the tissue, or the tissue there is too small to hold a seed.
    InputError
        If snapshot times or volumes do not rise, a time lies outside (0, days], a volume is not
        above 0, `stop_ml` is NaN, the model takes no tissue or treatment of this kind, or the run
        would take more than about `schedule.MAX_STEPS` steps.
    """
    course = follow(
        tissue,
        parameters,
        model=model,
        thresholds=thresholds,
        snapshot_days=snapshot_days,
        snapshot_ml=snapshot_ml,
        stop_ml=stop_ml,
        accuracy=accuracy,
        treatments=treatments,
    )
    return Simulation(
        parameters=replace(parameters, days=course.end.days),
        status=Status.FOLDED if course.folds else course.status,
        snapshots=tuple(Snapshot.of(state, thresholds) for state in course.states),
        final=Snapshot.of(course.end, thresholds),
        tissue=tissue,
        n_steps=course.n_steps,
        n_stages=course.n_stages,
        clipped=course.clipped,
        displacement=course.end.displacement if course.end.is_finite else None,
    )


@own_jax()
def follow(
    tissue: Tissue,
    parameters: GrowthParameters,
    *,
    model: GrowthModel = FisherKolmogorov(),
    thresholds: Thresholds = Thresholds(),
    snapshot_days: Sequence[float] = (),
    snapshot_ml: Sequence[float] = (),
    stop_ml: float = math.inf,
    accuracy: Accuracy = Accuracy(),
    treatments: Sequence[Treatment] = (),
    is_wanted: Callable[[State], bool] | None = None,
) -> Course:
    """Grow one tumour as `simulate` does, and measure nothing of what tissue it pushes.

    Parameters
    ----------
    tissue, parameters, model, thresholds, snapshot_days, snapshot_ml, stop_ml, accuracy, treatments
        As in `simulate`, which measures the states.
    is_wanted : callable, optional
        Asked of the first snapshot at the end of the step that reaches it: unless it is wanted, the
        run stops there.

    Returns
    -------
    Course

    Raises
    ------
    OriginError, InputError
        As `simulate`.
    """
    times, volumes = _checked(parameters, snapshot_days, snapshot_ml, stop_ml)
    require_end(tissue, parameters, model=model, accuracy=accuracy)
    domain = tissue.domain[tissue.box]
    n_domain = int(domain.sum())
    ml = tissue.grid.voxel_ml
    states = march(
        tissue,
        parameters,
        model=model,
        thresholds=thresholds,
        accuracy=accuracy,
        treatments=treatments,
    )
    state = next(states)
    kept: list[State] = []
    status = Status.DONE
    clipped, n_steps, n_stages = 0.0, 0, 0
    while state.days < parameters.days:
        before, had_none = state, not kept
        # A time between two steps is reached by a shorter step aside: the run itself goes on as if
        # nothing had been asked.
        while times and times[0] < min(before.next_days, parameters.days):
            kept.append(before.at(times.pop(0)))
        is_past = before.next_days > parameters.days
        state = before.at(parameters.days) if is_past else next(states)
        clipped, n_steps, n_stages = clipped + state.clipped, n_steps + 1, n_stages + state.n_stages
        if not state.is_finite:
            status = Status.NOT_FINITE
            break
        if times and times[0] == state.days:
            kept.append(state)
            times.pop(0)
        while volumes and (reached := _reaching(volumes[0], state, ml)):
            kept.append(_at_volume(volumes.pop(0) / ml, before, reached))
        is_first = had_none and bool(kept)
        is_refused = is_first and is_wanted is not None and not is_wanted(kept[0])
        last = _reaching(stop_ml, state, ml)
        if is_refused or last:
            state, status = last or state, Status.STOPPED_AT_VOLUME
            break
        # The outlines are counted anyway: densities are looked at where no voxel is without core.
        if (
            not treatments
            and state.core_voxels == n_domain
            and state.days < parameters.days
            and (state.u[domain] >= FULL_DENSITY).all()
        ):
            status = Status.TISSUE_FULL
            break
    kept.sort(key=lambda one: one.days)
    return Course(status, tuple(kept), state, n_steps, n_stages, clipped)


def _reaching(volume_ml: float, state: State, voxel_ml: float) -> State | None:
    """The state, or else the one before its events, whose whole outline has reached a volume."""
    both = state, state.before_events
    return next((one for one in both if one.whole_voxels * voxel_ml >= volume_ml), None)


def _at_volume(target: float, before: State, after: State) -> State:
    """The tumour when its whole outline has `target` voxels, between two states of the run."""
    low, high = ((s.days, math.cbrt(s.whole_voxels)) for s in (before, after))
    for _ in range(MAX_SIDE_STEPS):
        share = (math.cbrt(target) - low[1]) / (high[1] - low[1])
        days = low[0] + min(max(share, 0.1), 0.9) * (high[0] - low[0])
        aside = before.at(days)
        if abs(aside.whole_voxels / target - 1) <= VOLUME_TOLERANCE:
            break
        if aside.whole_voxels < target:
            low = days, math.cbrt(aside.whole_voxels)
        else:
            high = days, math.cbrt(aside.whole_voxels)
    return aside


def _checked(
    parameters: GrowthParameters,
    days: Sequence[float],
    volumes: Sequence[float],
    stop_ml: float,
) -> tuple[list[float], list[float]]:
    """Times and volumes of snapshots as lists, once they and the volume of the end are accepted."""
    days, volumes = list(map(float, days)), list(map(float, volumes))
    for name, values in (("times", days), ("volumes", volumes)):
        if not all(a < b for a, b in itertools.pairwise(values)):
            raise InputError(f"snapshot {name} rise from one to the next, got {list(values)}")
    if days and not (days[0] > 0 and days[-1] <= parameters.days):
        raise InputError(f"snapshot times lie in (0, {parameters.days:g}] days, got {list(days)}")
    if not all(volume > 0 for volume in volumes):
        raise InputError(f"snapshot volumes are above 0 ml, got {list(volumes)}")
    if math.isnan(stop_ml):
        raise InputError("stop_ml is a volume in ml, or infinite for none, got nan")
    return days, volumes
