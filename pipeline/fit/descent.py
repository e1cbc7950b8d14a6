"""One way down to the growth whose outlines lie nearest to a patient's.

The unknowns are the origin, lambda = sqrt(dw / rho), rho T, and further parameters that move (see
`coordinates`). Levenberg-Marquardt steps minimise |r|^2 (see `overlap`),

    (J^T J + mu diag(J^T J)) s = -J^T r,

with J by finite differences, which cost four runs of the solver, and one more for each further
direction. The run itself gives the derivative with respect to rho T and the best rho T (see
`trajectory`). Each step then updates J (Broyden 1965), and J is only computed again where no step
along it succeeds.

References
----------
K. Levenberg, Quarterly of Applied Mathematics 2:164-168, 1944; D. W. Marquardt, SIAM Journal on
Applied Mathematics 11:431-441, 1963. C. G. Broyden, Mathematics of Computation 19:577-593, 1965.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ...solver import Accuracy, GrowthParameters, OriginError, Tissue
from .coordinates import DIFFERENCE_SHARE, LAMBDA_MM, LONGEST_SHARE, N_COMMON, Coordinates
from .trajectory import Trajectory

DIFFERENCE_MM = 1.0
DIFFERENCE_LOG = 0.05
DIFFERENCE_RHO_T = 0.1
"""Steps of the differences along an axis of the origin, in ln lambda and in rho T."""

LONGEST_MM = 8.0
LONGEST_LOG = 0.5
"""Longest step of the origin and of ln lambda."""

SHORTEST_SHARE = 0.1
"""Least share of its duration to which a step may shorten a growth."""

DAMPING = 1e-2
LEAST_DAMPING = 1e-4
DAMPING_FACTOR = 5.0
MAX_TRIALS = 4
"""First and least damping mu, how it rises and falls, and trials before a descent ends."""

LEAST_GAIN = 0.01
"""Relative fall of |r|^2 in a step along fresh derivatives below which a descent has arrived."""


Mapped = Callable[
    [Callable[[GrowthParameters], NDArray[np.float64]], Iterable[GrowthParameters]],
    Iterator[NDArray[np.float64]],
]
"""Like `map`."""


@dataclass(frozen=True, eq=False)
class Place:
    """Where a descent is: a growth, its run and how far it is from the patient.

    Attributes
    ----------
    trajectory : Trajectory
    days : float
        Duration at which |r|^2 was taken.
    residual : float32 array
    cost : float
        |r|^2.
    best_score, best_days : float
        The largest sum of the Dice along the run, and where.
    """

    trajectory: Trajectory
    days: float
    residual: NDArray[np.float32]
    cost: float
    best_score: float
    best_days: float

    @property
    def best(self) -> GrowthParameters:
        """The growth with the largest sum of the Dice along the run."""
        return replace(self.trajectory.parameters, days=self.best_days)

    @property
    def nearest(self) -> GrowthParameters:
        """The growth of least |r|^2."""
        return replace(self.trajectory.parameters, days=self.days)


@dataclass(frozen=True, eq=False)
class Descent:
    """A way down from one start.

    Attributes
    ----------
    best : Place
        Place with the largest sum of the Dice.
    last : Place
        Place with the least |r|^2.
    curvature : (n, n) float64 array
        Last computed J^T J, in the directions of the target's coordinates.
    n_runs : int
        Simulations made.
    n_unseeded : int
        Simulations that could not begin, because the tissue at their origin holds no seed.
    """

    best: Place
    last: Place
    curvature: NDArray[np.float64]
    n_runs: int
    n_unseeded: int

    def covariance(self, coordinates: Coordinates) -> NDArray[np.float64]:
        """Covariance of the valley in which it ended, (n, n), in the directions of the coordinates.

        Far along a flat direction the coordinates' own reach holds it.

        Parameters
        ----------
        coordinates : Coordinates
            Coordinates of the target.
        """
        precision = self.curvature / self.last.cost + np.diag(1 / coordinates.reach**2)
        return np.asarray(np.linalg.inv(precision), np.float64)


class Objective(Protocol):
    """How far a growth is from a patient's outlines: the function that a descent minimises."""

    @property
    def coordinates(self) -> Coordinates:
        """The directions in which a growth is improved."""
        ...

    def follow(
        self, parameters: GrowthParameters, accuracy: Accuracy, *, until: float = math.inf
    ) -> Trajectory | None:
        """Grow a tumour past the patient's volume; as `trajectory.follow`.

        The days of `parameters` are the duration that is expected.
        """
        ...

    def residual_at(self, trajectory: Trajectory, days: float) -> NDArray[np.float32]:
        """The vector r of a run at a duration."""
        ...


class Interior:
    """The points of a tissue."""

    def __init__(self, tissue: Tissue) -> None:
        self._tissue = tissue
        self._tree = cKDTree(tissue.grid.to_world(tissue.voxels))

    def nearest(self, point_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """The point itself if it lies in the tissue, else one near it that does."""
        _, row = self._tree.query(point_mm)
        voxel = self._tissue.voxels[row]
        at = self._tissue.grid.to_voxel(point_mm)
        # Off the faces of the voxel, where rounding might put the point into its neighbour.
        return self._tissue.grid.to_world(np.clip(at, voxel - 0.499, voxel + 0.499))

    def moved(
        self, growth: GrowthParameters, step: NDArray[np.float64], coordinates: Coordinates
    ) -> GrowthParameters:
        """A growth a step away in all coordinates but rho T, which stays as it is.

        Parameters
        ----------
        growth : GrowthParameters
        step : (n,) float64 array
            Step in each of the coordinates. The origin stays in the tissue, the others within
            their limits.
        coordinates : Coordinates
        """
        return coordinates.changed(
            growth,
            self.nearest(np.array(growth.origin_mm) + step[:3]),
            growth.lambda_mm * math.exp(step[3]),
            step[N_COMMON:].tolist(),
        )


def descend(
    comparison: Objective,
    interior: Interior,
    start: GrowthParameters,
    *,
    accuracy: Accuracy,
    n_steps: int,
    mapped: Mapped = map,
) -> Descent | None:
    """Go down from a start.

    Parameters
    ----------
    comparison : Objective
        Comparison with a blur; see `overlap`.
    interior : Interior
        Interior of the tissue in which the tumour grows.
    start : GrowthParameters
        Its rho is kept; its days are tried.
    accuracy : Accuracy
        Accuracy of the runs.
    n_steps : int
        Most steps.
    mapped : callable
        Makes the runs of the differences: `map`, or that of a pool of threads. The result does not
        depend on it.

    Returns
    -------
    Descent or None
        None where the start does not grow to the patient's volume, or cannot begin.
    """
    return _Walk(comparison, interior, accuracy, mapped).down(start, n_steps)


class _Walk:
    """The constants of a descent, and the counts of its runs."""

    def __init__(
        self, comparison: Objective, interior: Interior, accuracy: Accuracy, mapped: Mapped
    ) -> None:
        self._comparison, self._interior, self._accuracy = comparison, interior, accuracy
        self._coordinates, self._mapped = comparison.coordinates, mapped
        self._n_runs = self._n_unseeded = 0
        self._counting = threading.Lock()

    def down(self, start: GrowthParameters, n_steps: int) -> Descent | None:
        trajectory = self._run(start)
        if trajectory is None:
            return None
        place = best = self._place(trajectory, start.days)
        damping = DAMPING
        jacobian, is_fresh = self._jacobian(place), True
        n_taken = 0
        while n_taken < n_steps:
            there, best, damping = self._trial(place, jacobian, damping, best)
            if there is None:
                if is_fresh:
                    break
                jacobian, is_fresh = self._jacobian(place), True
                continue
            n_taken += 1
            has_arrived = is_fresh and there.cost > (1 - LEAST_GAIN) * place.cost
            jacobian, is_fresh = self._updated(jacobian, place, there), False
            place = there
            if has_arrived:
                break
        best, last = _put_away(best), _put_away(place)
        return Descent(best, last, jacobian.T @ jacobian, self._n_runs, self._n_unseeded)

    def _trial(
        self, place: Place, jacobian: NDArray[np.float64], damping: float, best: Place
    ) -> tuple[Place | None, Place, float]:
        """A step that lowers |r|^2, if any is found; the best place so far; the next damping."""
        scales = self._coordinates.scales
        scaled = jacobian * scales
        curvature, slope = scaled.T @ scaled, scaled.T @ place.residual
        if not curvature.any():  # too far from the patient's tumour to be seen from there
            return None, best, damping
        diagonal = np.diag(np.diag(curvature) + 1e-3 * np.trace(curvature) / len(scales))
        for _ in range(MAX_TRIALS):
            step = -scales * np.linalg.solve(curvature + damping * diagonal, slope)
            there = self._after(place, step)
            if there is not None and there.best_score > best.best_score:
                best = there
            if there is not None and there.cost < place.cost:
                return there, best, max(damping / DAMPING_FACTOR, LEAST_DAMPING)
            damping *= DAMPING_FACTOR
        return None, best, damping

    def _run(self, parameters: GrowthParameters, until: float = math.inf) -> Trajectory | None:
        with self._counting:
            self._n_runs += 1
        try:
            return self._comparison.follow(parameters, self._accuracy, until=until)
        except OriginError:
            with self._counting:
                self._n_unseeded += 1
            return None

    def _residual(self, trajectory: Trajectory, days: float) -> NDArray[np.float32]:
        return self._comparison.residual_at(trajectory, days)

    def _place(self, trajectory: Trajectory, days: float) -> Place:
        """The place of least |r|^2 at a duration or at that of the best score."""
        score, best_days = trajectory.best()
        found = []
        for t in (days, best_days):
            if trajectory.days[0] <= t <= trajectory.days[-1]:
                residual = self._residual(trajectory, t)
                found.append((float(residual @ residual), t, residual))
        cost, t, residual = min(found, key=lambda place: place[0])
        return Place(trajectory, t, residual, cost, score, best_days)

    def _after(self, place: Place, step: NDArray[np.float64]) -> Place | None:
        """The place a step away, which is kept within its limits and in the tissue."""
        p = place.trajectory.parameters
        length = float(np.linalg.norm(step[:3]))
        longest = [LONGEST_SHARE * one.width for one in self._coordinates.more]
        held = step.copy()
        held[:3] *= min(1.0, LONGEST_MM / max(length, 1e-9))
        held[3] = min(max(step[3], -LONGEST_LOG), LONGEST_LOG)
        held[N_COMMON:] = [
            min(max(s, -m), m) for s, m in zip(step[N_COMMON:], longest, strict=True)
        ]
        growth = self._interior.moved(p, held, self._coordinates)
        later = max(place.days + step[4] / p.rho, SHORTEST_SHARE * place.days)
        days = later * (p.rho / growth.rho)
        there = self._run(replace(growth, days=days))
        return None if there is None else self._place(there, days)

    def _jacobian(self, place: Place) -> NDArray[np.float64]:
        """Derivatives of the residual in each direction of the coordinates."""
        p = place.trajectory.parameters
        origin, changed = np.array(p.origin_mm), self._coordinates.changed
        moves = self._moves(origin)
        more = [self._step_of(p, i) for i in range(len(self._coordinates.more))]
        wider = DIFFERENCE_LOG  # at the end of the range, narrower
        if p.lambda_mm * math.exp(wider) > LAMBDA_MM[1]:
            wider = -wider
        growths = [
            changed(p, origin, p.lambda_mm * math.exp(wider)),
            *(changed(p, origin + move, p.lambda_mm) for move in moves),
            *(changed(p, origin, p.lambda_mm, steps) for steps in np.diag(more).tolist()),
        ]
        by_lambda, x, y, z, *by_more = self._mapped(lambda g: self._change(place, g), growths)
        aside = DIFFERENCE_RHO_T / p.rho
        later, earlier = (self._residual(place.trajectory, place.days + t) for t in (aside, -aside))
        return np.column_stack(
            [
                _by_axis(moves, np.stack([x, y, z], axis=1)),
                by_lambda / wider,
                (later - earlier) / (2 * DIFFERENCE_RHO_T),
                *(change / aside for change, aside in zip(by_more, more, strict=True)),
            ]
        )

    def _step_of(self, p: GrowthParameters, i: int) -> float:
        """The step of a difference in a further direction; at the end of its range, back."""
        one = self._coordinates.more[i]
        aside, value = DIFFERENCE_SHARE * one.width, self._coordinates.value(p, one)
        at_end = one.moved(value, aside) == max(one.high, value)
        return -aside if at_end else aside

    def _moves(self, origin: NDArray[np.float64]) -> NDArray[np.float64]:
        """Three moves of the origin in the tissue; where that ends, not along the axes."""
        moves = []
        for axis in np.eye(3) * DIFFERENCE_MM:
            both = [self._interior.nearest(origin + s * axis) - origin for s in (1, -1)]
            moves.append(
                max(both, key=lambda m: abs(m @ axis) - np.linalg.norm(m - (m @ axis) * axis))
            )
        return np.array(moves)

    def _change(self, place: Place, parameters: GrowthParameters) -> NDArray[np.float64]:
        days = place.days * (place.trajectory.parameters.rho / parameters.rho)
        there = self._run(replace(parameters, days=days), until=days)
        if there is None:
            return np.zeros(len(place.residual))
        at = self._residual(there, days)
        return (at - place.residual).astype(np.float64)

    def _updated(
        self, jacobian: NDArray[np.float64], place: Place, there: Place
    ) -> NDArray[np.float64]:
        """Broyden's update: the least change that explains the step taken, at no run's cost."""
        step = self._coordinates.between(place.nearest, there.nearest)
        weighted = step / self._coordinates.scales**2
        missed = there.residual - place.residual - jacobian @ step
        return jacobian + np.outer(missed, weighted) / max(step @ weighted, 1e-12)


def _put_away(place: Place) -> Place:
    """A place without the densities of its run, 20 MB that nobody looks at any more."""
    return replace(place, trajectory=replace(place.trajectory, densities=()))


def _by_axis(moves: NDArray[np.float64], changes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivatives (n, 3) along the axes from the changes (n, 3) by three moves."""
    if abs(np.linalg.det(moves)) < 0.05 * DIFFERENCE_MM**3:
        return np.zeros(changes.shape)
    return changes @ np.linalg.inv(moves).T
