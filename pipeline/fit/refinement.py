"""Beyond the nearest match: the growth whose outlines overlap the patient's best.

Descents (see `descent`) begin at several matches, with a wide blur, merged voxels and coarse time
steps; the best of them continue on the tissue's own voxels with narrower blurs and finer steps.
Descents that arrive at one place continue as one. Descents minimise a smooth function, but the sum
of the Dice decides: the answer is the best growth that any descent passed on the tissue's own
voxels, confirmed by a simulation of its own. The valley around it is where that descent ended.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dbgen.machine.cores import available_threads
from ...errors import GlioqueryError
from ...solver import Accuracy, GrowthParameters, TumorDensity
from .coordinates import Coordinates
from .descent import Descent, Interior, Place, descend
from .merging import on_voxels_of
from .overlap import BlurredOverlap
from .trajectory import Target, follow

N_STARTS = 6
"""Matches from which descents begin."""

N_CONFIRMED = 3
"""Number of best growths that run again in full accuracy; a coarse run may have flattered one."""

CONFIRMED_PARTS = 64
"""Parts of an interval between two steps in the search for their duration."""

LATEST = 1.1
"""Duration after which the search ends with the next step, in units of that of the coarser run."""

START_APART = (4.0, 0.3)
"""Starts differ by this much, in the origin (mm) or in ln lambda."""

ARRIVAL_APART = (1.5, 0.1)
"""Descents nearer to each other than this continue as one."""


class NoGrowthError(GlioqueryError, ValueError):
    """No descent could begin: the earlier result stands."""


@dataclass(frozen=True)
class Stage:
    """A part of the descents.

    Attributes
    ----------
    blur_mm : float
    accuracy : Accuracy
        Accuracy of the runs.
    n_steps : int
        Most steps of a descent.
    n_descents : int
        Number of descents, the best so far, that go through it.
    voxel_mm : float
        Voxel size, about, to which the target's voxels are merged; 0 for its own.
    """

    blur_mm: float
    accuracy: Accuracy
    n_steps: int
    n_descents: int
    voxel_mm: float = 0.0


STAGES = (
    Stage(8.0, Accuracy.for_error(0.05), 5, N_STARTS, voxel_mm=4.0),
    Stage(4.0, Accuracy.for_error(0.05), 5, 3),
    Stage(2.0, Accuracy(), 4, 1),
)


@dataclass(frozen=True)
class Refined:
    """A growth and how well its outlines overlap the patient's.

    Attributes
    ----------
    parameters : GrowthParameters
    score, dice_core, dice_whole : float
        As in `Match`.
    """

    parameters: GrowthParameters
    score: float
    dice_core: float
    dice_whole: float


@dataclass(frozen=True, eq=False)
class Refinement:
    """The result of the descents.

    Attributes
    ----------
    best : Refined
        Confirmed by a simulation of its own.
    density : TumorDensity
        Its density, on the tissue's grid.
    arrivals : tuple of (GrowthParameters, float)
        The best growth of each descent on the tissue's own voxels, with its score along the run:
        that of `best` first, the others from the best on; those near an earlier one are left out.
    covariance : (n, n) float64 array
        (J^T J / |r|^2 + diag(reach^-2))^-1 of the descent that passed `best`, where it ended, in
        the directions of the target's coordinates (see `Coordinates`): the shape of the valley.
        `uncertainty` calibrates its scale.
    n_runs : int
        Simulations made.
    n_unseeded : int
        Runs that could not begin, because the tissue at their origin holds no seed.
    n_dropped : int
        Starts from which there was no descent: they cannot begin, or do not grow to the patient's
        volume.
    n_stranded : int
        Arrivals of a stage from which the next one found no descent. They stand if that stage had
        the tissue's own voxels; places found on merged voxels alone are left out.
    """

    best: Refined
    density: TumorDensity
    arrivals: tuple[tuple[GrowthParameters, float], ...]
    covariance: NDArray[np.float64]
    n_runs: int
    n_unseeded: int
    n_dropped: int
    n_stranded: int

    def row(self) -> dict[str, Any]:
        """Plain values by name, as `result.json` shows them."""
        return {
            "runs": self.n_runs,
            "unseeded_runs": self.n_unseeded,
            "dropped_starts": self.n_dropped,
            "stranded_arrivals": self.n_stranded,
        }


def choose_starts(
    ranked: Iterable[GrowthParameters], n_starts: int = N_STARTS
) -> list[GrowthParameters]:
    """The first of each group of like growths, at most `n_starts`, in the order given."""
    starts: list[GrowthParameters] = []
    for growth in ranked:
        if len(starts) == n_starts:
            break
        if not any(_alike(growth, start, START_APART) for start in starts):
            starts.append(growth)
    return starts


def refine(
    target: Target,
    starts: Sequence[GrowthParameters],
    *,
    accuracy: Accuracy = Accuracy(),
    stages: Sequence[Stage] = STAGES,
    n_threads: int | None = None,
) -> Refinement:
    """Improve the overlap with a patient's outlines, from several starts.

    Parameters
    ----------
    target : Target
        The outlines, the tissue, the growth model and the thresholds.
    starts : sequence of GrowthParameters
        See `choose_starts`. Each keeps its rho, unless that moves (see `coordinates`).
    accuracy : Accuracy
        Accuracy of the simulation that confirms the result.
    stages : sequence of Stage
    n_threads : int, optional
        Descents at a time, by default as many as there are cores for this process. The result does
        not depend on it.

    Returns
    -------
    Refinement
        The best arrival, and all the others.

    Raises
    ------
    NoGrowthError
        If no start grows to the patient's volume, or the growths found fold the tissue.
    """
    threads = n_threads or available_threads()
    try:
        return _refine(target, starts, stages, accuracy, threads)
    except NoGrowthError:
        if all(on_voxels_of(target, stage.voxel_mm) is target for stage in stages):
            raise
        own = [replace(stage, voxel_mm=0.0) for stage in stages]
        return _refine(target, starts, own, accuracy, threads)


def _refine(
    target: Target,
    starts: Sequence[GrowthParameters],
    stages: Sequence[Stage],
    accuracy: Accuracy,
    n_threads: int,
) -> Refinement:
    coordinates = target.coordinates
    arrived = [_Arrival(start, []) for start in coordinates.each_choice(starts)]
    ran: list[Descent] = []
    passed: list[Descent] = []
    onward: dict[Descent, Descent] = {}
    n_dropped = n_stranded = 0
    there, interior = target, None
    # Descents wait for the differences that they give to `aside`: its threads are never idle.
    with ThreadPoolExecutor(n_threads) as pool, ThreadPoolExecutor(n_threads) as aside:
        for stage in stages:
            before, there = there, on_voxels_of(target, stage.voxel_mm)
            if interior is None or there is not before:
                interior = Interior(there.tissue)
            if there is not before:
                arrived = [a.moved_into(interior) for a in arrived]
            comparison = BlurredOverlap.of(there, stage.blur_mm)

            def one(
                arrival: _Arrival,
                comparison: BlurredOverlap = comparison,
                interior: Interior = interior,
                stage: Stage = stage,
            ) -> Descent | None:
                return descend(
                    comparison,
                    interior,
                    arrival.growth,
                    accuracy=stage.accuracy,
                    n_steps=stage.n_steps,
                    mapped=aside.map,
                )

            going = arrived[: stage.n_descents * coordinates.n_choices]
            ended = []
            for arrival, descent in zip(going, pool.map(one, going), strict=True):
                if descent is None:
                    n_dropped += not arrival.descents
                    n_stranded += bool(arrival.descents)
                    continue
                ended.append(descent)
                onward |= dict.fromkeys(arrival.descents, descent)
            ran += ended
            if there is target:
                passed += ended
            if not ran:
                raise NoGrowthError("no start grows to the volume of the patient's tumour")
            if ended:  # else the next stage, in its own accuracy, begins where this one did
                arrived = _arrivals_of(ended, coordinates)
        if not passed:
            raise NoGrowthError("no start grows to the volume of the patient's tumour")
        passed.sort(key=lambda descent: -descent.best.best_score)
        likely = passed[:N_CONFIRMED]
        timed = list(pool.map(lambda d: _timed(target, d.best.best, accuracy), likely))
    ranked = sorted(zip(timed, likely, strict=True), key=lambda found: -found[0][0])
    n_confirmed = 0
    for (_, growth), descent in ranked:
        n_confirmed += 1
        confirmed = _confirm(target, growth, accuracy)
        if confirmed is not None:
            (best, density), answer = confirmed, descent
            break
    else:
        raise NoGrowthError(
            "the tissue folds where the growths that overlap best push it, or their density stops "
            "being a number"
        )
    others = [other.best for other in passed if other is not answer]
    arrivals = _apart([answer.best, *others], coordinates)
    while answer in onward:
        answer = onward[answer]
    return Refinement(
        best=best,
        density=density,
        arrivals=tuple(arrivals),
        covariance=answer.covariance(coordinates),
        n_runs=sum(descent.n_runs for descent in ran) + len(likely) + n_confirmed,
        n_unseeded=sum(descent.n_unseeded for descent in ran),
        n_dropped=n_dropped,
        n_stranded=n_stranded,
    )


@dataclass(frozen=True, eq=False)
class _Arrival:
    """A growth from which to continue, and the descents that arrived there; a start has none."""

    growth: GrowthParameters
    descents: list[Descent]

    def moved_into(self, interior: Interior) -> _Arrival:
        """The same, begun in another tissue."""
        x, y, z = interior.nearest(np.array(self.growth.origin_mm)).tolist()
        return replace(self, growth=replace(self.growth, origin_mm=(x, y, z)))


def _arrivals_of(ended: Sequence[Descent], coordinates: Coordinates) -> list[_Arrival]:
    """Where descents arrived, the best first; those that lie near each other are one."""
    arrivals: list[_Arrival] = []
    for descent in sorted(ended, key=lambda descent: -descent.best.best_score):
        growth = descent.last.nearest
        near = next((a for a in arrivals if _arrive_alike(growth, a.growth, coordinates)), None)
        if near is None:
            arrivals.append(_Arrival(growth, [descent]))
        else:
            near.descents.append(descent)
    return arrivals


def _timed(
    target: Target, growth: GrowthParameters, accuracy: Accuracy
) -> tuple[float, GrowthParameters]:
    """A growth with its best duration, and its score; -inf if it does not reach the outlines."""
    run = follow(target, growth, accuracy, until=LATEST * growth.days)
    if run is None:
        return -math.inf, growth
    score, days = run.best(CONFIRMED_PARTS)
    return score, replace(growth, days=days)


def _confirm(
    target: Target, growth: GrowthParameters, accuracy: Accuracy
) -> tuple[Refined, TumorDensity] | None:
    """Simulate a growth and measure the overlap of its outlines.

    None where it has no density.
    """
    density = target.grown(growth, accuracy)
    if density is None:
        return None
    core, whole = target.dice_of(density)
    return Refined(growth, core + whole, core, whole), density


def _apart(
    places: Sequence[Place], coordinates: Coordinates
) -> list[tuple[GrowthParameters, float]]:
    kept: list[tuple[GrowthParameters, float]] = []
    for place in places:
        if not any(_arrive_alike(place.best, other, coordinates) for other, _ in kept):
            kept.append((place.best, place.best_score))
    return kept


def _alike(a: GrowthParameters, b: GrowthParameters, apart: tuple[float, float]) -> bool:
    return (
        math.dist(a.origin_mm, b.origin_mm) < apart[0]
        and abs(math.log(a.lambda_mm / b.lambda_mm)) < apart[1]
    )


def _arrive_alike(a: GrowthParameters, b: GrowthParameters, coordinates: Coordinates) -> bool:
    return coordinates.same_choices(a, b) and _alike(a, b, ARRIVAL_APART)
