"""The samples of a plan: runs that are drawn, simulated and accepted, or drawn again.

Sample i is snapshot i mod m of run i div m. A run is drawn by the space's sampler from (seed, run,
attempt), and drawn again with the next attempt until it yields its m accepted snapshots: nothing
else decides a sample. A sweep's run is one point of its grid: its tumour is the sample, whatever
size it has.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ...solver import GrowthParameters, Snapshot, State, Status, Thresholds, Tissue, simulate
from ...solver.declarations import own_parameters, symmetry_of
from ...solver.integrate import VOLUME_TOLERANCE, follow
from .plan import Plan
from .samplers import find_sampler
from .sampling import Draw, draw_run
from .space import ParameterSpace
from .values import Range

MAX_ATTEMPTS = 300
"""Draws of the first run after which the space is held to contain no acceptable tumour."""

PATIENCE = 100
"""Factor of draws for each later run: where there are acceptable tumours, some runs are unlucky."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One tumour of a database.

    Attributes
    ----------
    parameters : GrowthParameters
        A simulation from these reproduces the density.
    snapshot : Snapshot
        The density on the tissue's box and the sizes of its outlines.
    attempt : int
        Which draw of the run was accepted.
    """

    parameters: GrowthParameters
    snapshot: Snapshot
    attempt: int


class Rejection(enum.Enum):
    """Why a draw is not accepted; the value is a phrase for people."""

    TOO_SMALL = "a whole outline is smaller than whole_ml allows"
    TOO_LARGE = "the whole outline is larger than whole_ml allows"
    CORE_TOO_SMALL = "a core outline is smaller than core_min_ml"
    TOO_SLOW = "the growth does not reach its volume within the longest days"
    OUT_OF_RANGES = (
        "dw, rho and days, scaled at constant dw days and rho days, do not fit into their ranges"
    )
    CONDITION = "a condition of where does not hold"
    FOLDED = "the tissue folds where the tumour pushes it"
    NOT_FINITE = "the density stopped being a number"


def draw_samples(
    tissue: Tissue, plan: Plan, run: int, *, rejections: Counter[Rejection] | None = None
) -> list[Sample]:
    """Draw a run until it yields its accepted snapshots.

    Parameters
    ----------
    tissue : Tissue
        Where the tumours grow.
    plan : Plan
        What decides every sample.
    run : int
        Number of the run, from 0.
    rejections : Counter of Rejection, optional
        The draws of other runs that were not accepted: those of this run are added.

    Returns
    -------
    list of Sample
        `plan.space.snapshots_per_run` of them, by rising time.

    Raises
    ------
    InputError
        If `attempts_of` the run yield none, or the simulation of a sweep's point fails.
    """
    rejections = Counter() if rejections is None else rejections
    for attempt in attempts_of(run):
        samples = draw_attempt(tissue, plan, run, attempt)
        if not isinstance(samples, Rejection):
            return samples
        rejections[samples] += 1
    raise no_acceptable_tumor(rejections)


def attempts_of(run: int) -> range:
    """The draws that a run has to be accepted in."""
    return range(MAX_ATTEMPTS if run == 0 else PATIENCE * MAX_ATTEMPTS)


def no_acceptable_tumor(rejections: Mapping[Rejection, int]) -> InputError:
    """The error of a space of which no draw is accepted; it says why, the most frequent first."""
    why = sorted(rejections.items(), key=lambda item: -item[1])
    return InputError(
        f"the parameter space yields no acceptable tumour in {sum(rejections.values())} draws: "
        + "; ".join(f"in {count} {rejection.value}" for rejection, count in why)
        + ". Widen its ranges or its size limits"
    )


def draw_attempt(tissue: Tissue, plan: Plan, run: int, attempt: int) -> list[Sample] | Rejection:
    """The samples of one draw of a run, or why it is not accepted.

    Raises
    ------
    InputError
        If the simulation of a sweep's point fails: it cannot be drawn again.
    """
    space = plan.space
    sampler = find_sampler(space.sampler)
    draw = draw_run(tissue, space, plan.seed, run, attempt)
    growth = plan.with_own(draw.parameters)
    if not symmetry_of(plan.model):  # it lasts no longer than it may be stored to
        growth = dataclasses.replace(growth, days=min(growth.days, space.days.high))
    draw = dataclasses.replace(draw, parameters=growth)
    if not _holds(plan, draw.parameters, is_at_its_end=sampler.independent):
        return Rejection.CONDITION
    volumes = _volumes_of(tissue, plan, draw)
    if isinstance(volumes, Rejection):
        return volumes
    stop_ml = math.inf
    if volumes:
        stop_ml = volumes[-1]
    elif not sampler.sweeps:
        # A run that passes the largest volume is not acceptable any more.
        stop_ml = math.nextafter(space.whole_ml.high, math.inf)

    def fault_of(state: State) -> Rejection | None:
        return _size_fault(tissue, space, Snapshot.of(state, plan.thresholds))

    # Most runs that are not acceptable show it in their smallest snapshot: they end there.
    course = follow(
        tissue,
        draw.parameters,
        model=plan.model,
        thresholds=plan.thresholds,
        snapshot_ml=volumes,
        stop_ml=stop_ml,
        accuracy=plan.accuracy,
        treatments=plan.events,
        is_wanted=None if sampler.sweeps else lambda state: fault_of(state) is None,
    )
    if sampler.sweeps:
        failure = Status.FOLDED if course.folds else course.status
        if failure in (Status.FOLDED, Status.NOT_FINITE):
            raise InputError(f"point {run} of the sweep, {draw.parameters}: {failure.value}")
        return [Sample(draw.parameters, Snapshot.of(course.end, plan.thresholds), attempt)]
    if course.status is Status.NOT_FINITE:
        return Rejection.NOT_FINITE
    if volumes:
        grown = [(state.days, state) for state in course.states]
        if len(grown) < len(volumes):
            fault = fault_of(grown[0][1]) if grown else None
            return fault or Rejection.TOO_SLOW
    elif course.status is Status.STOPPED_AT_VOLUME:
        return Rejection.TOO_LARGE
    else:
        grown = [(draw.parameters.days, course.end)]
    samples: list[Sample] = []
    for days, state in grown:
        # Pushed tissue takes far longer to find than a growth: the smallest snapshot, whose core
        # is the one that may be too small, is judged before the others are measured.
        snapshot = Snapshot.of(state, plan.thresholds)
        rejection = _size_fault(tissue, space, snapshot)
        if rejection is not None:
            return rejection
        parameters = _into_ranges(dataclasses.replace(draw.parameters, days=days), plan)
        if parameters is None:
            return Rejection.OUT_OF_RANGES
        if not _holds(plan, parameters):
            return Rejection.CONDITION
        if not samples and course.folds:
            return Rejection.FOLDED
        samples.append(Sample(parameters, snapshot, attempt))
    return samples


def _size_fault(tissue: Tissue, space: ParameterSpace, snapshot: Snapshot) -> Rejection | None:
    """Which limit of the space a tumour's size breaks, if it does."""
    whole_ml = snapshot.whole_voxels * tissue.grid.voxel_ml
    if whole_ml < space.whole_ml.low:
        return Rejection.TOO_SMALL
    if whole_ml > space.whole_ml.high:
        return Rejection.TOO_LARGE
    if snapshot.core_voxels * tissue.grid.voxel_ml < space.core_min_ml:
        return Rejection.CORE_TOO_SMALL
    return None


def _volumes_of(tissue: Tissue, plan: Plan, draw: Draw) -> tuple[float, ...] | Rejection:
    """The volumes at which a draw's snapshots are kept, or why there are none.

    Shares are counted from the growth's own least acceptable volume: that at which its core is
    large enough, found by a run that ends there. A snapshot misses its volume by as much as
    `VOLUME_TOLERANCE`: the ends are drawn in by that, so that none is lost.
    """
    if not draw.size_shares:
        return draw.volumes_ml
    space = plan.space
    least = space.whole_ml.low
    if space.core_min_ml > 0:
        core = plan.thresholds.core
        core_ml = space.core_min_ml * (1 + 2 * VOLUME_TOLERANCE)
        start = simulate(
            tissue,
            draw.parameters,
            model=plan.model,
            thresholds=Thresholds(core=core, whole=core),  # volumes asked for are the core's
            snapshot_ml=(core_ml,),
            stop_ml=core_ml,
            accuracy=plan.accuracy,
        )
        if start.status is Status.NOT_FINITE:
            return Rejection.NOT_FINITE
        if not start.snapshots:
            return Rejection.TOO_SLOW
        whole = start.snapshots[0].u >= np.float32(plan.thresholds.whole)
        least = max(least, float(whole.sum()) * tissue.grid.voxel_ml)
    low = math.cbrt(least * (1 + VOLUME_TOLERANCE))
    high = math.cbrt(space.whole_ml.high / (1 + VOLUME_TOLERANCE))
    if low >= high:
        return Rejection.CORE_TOO_SMALL
    return tuple((low + share * (high - low)) ** 3 for share in draw.size_shares)


def _into_ranges(parameters: GrowthParameters, plan: Plan) -> GrowthParameters | None:
    """The growth scaled by the power of two nearest to 1 that brings all into their ranges.

    A power of two changes no digit of dw T and rho T: the scaled parameters reproduce the density
    exactly. A model without symmetry is not scaled.
    """
    symmetry = symmetry_of(plan.model)
    own = (one.name for one in own_parameters(plan.model) if one.name in symmetry)
    fixed = {name: Range(value := getattr(plan.model, name), value) for name in own}
    ranges = fixed | plan.space.values()  # a parameter that is not drawn has the model's value
    for exponent in sorted(range(-8, 9), key=abs) if symmetry else (0,):
        scaled = parameters.scaled(2.0**exponent, symmetry)
        values = scaled.values()
        if all(asked.holds(values[name]) for name, asked in ranges.items()):
            return scaled
    return None


def _holds(plan: Plan, parameters: GrowthParameters, *, is_at_its_end: bool = True) -> bool:
    """Whether the space's conditions hold, as far as they do not ask for an end yet unknown."""
    formulas = plan.space.formulas
    if not formulas:
        return True
    values = plan.values_of(parameters)
    unknown = set() if is_at_its_end else plan.names_of_time
    return all(formula(values) for formula in formulas if not formula.names & unknown)
