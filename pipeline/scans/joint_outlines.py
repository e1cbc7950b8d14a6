"""One growth, seen through the outlines of all scans.

A growth with rates in real days meets the first scan at its age then, T, and a later one at
T + (its day - the first day). Its origin, lambda, rho T and rho are unknown: the last, which one
scan leaves open, is the speed at which a run passes from one scan to the next. The residual holds
those of all scans (see `fit.overlap`), the score is the sum of all their Dice.

Without a treatment one run shows all ages: it is met by the first scan at any of them. A treatment
is tied to the days of the scans, so that each age takes a run of its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...solver import (
    Accuracy,
    FisherKolmogorov,
    GrowthModel,
    GrowthParameters,
    Simulation,
    Snapshot,
    Thresholds,
    Tissue,
    Treatment,
    simulate,
)
from ...solver.declarations import PROLIFERATION
from ..fit.coordinates import Coordinates, Free
from ..fit.overlap import BlurredOverlap
from ..fit.trajectory import (
    MAX_RHO_T,
    VOLUME_SHARES,
    Target,
    Trajectory,
    between,
    grow_between,
    logit,
)
from .dated_outlines import DatedOutlines

RHO = (5e-4, 0.5)
"""Limits of the proliferation rate, 1/day: the default space and a factor of about 3 beyond."""

SPEED = Free(replace(PROLIFERATION, scale="log-uniform"), *RHO)
"""The direction in which a growth becomes faster or slower."""

MOMENTS = 3
"""Moments in each step at which a run is compared; between two of them its Dice are
interpolated."""


@dataclass(frozen=True, eq=False)
class JointTarget:
    """The outlines of all scans in one tissue, and the growth that is to meet them.

    Attributes
    ----------
    scans : tuple of DatedOutlines
        Scans on the tissue's grid, in the order of their days.
    tissue : Tissue
    model : GrowthModel
    thresholds : Thresholds
        Densities at which a tumour's outlines are drawn.
    treatments : tuple of Treatment
        Their days count from the first scan.
    """

    scans: tuple[DatedOutlines, ...]
    tissue: Tissue
    model: GrowthModel = field(default_factory=FisherKolmogorov)
    thresholds: Thresholds = field(default_factory=Thresholds)
    treatments: tuple[Treatment, ...] = ()

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """Target of each scan."""
        return tuple(
            Target(scan.masks, self.tissue, self.model, self.thresholds, (SPEED,))
            for scan in self.scans
        )

    @property
    def after_days(self) -> tuple[float, ...]:
        """Days of each scan after the first; 0 for the first."""
        return tuple(scan.day - self.scans[0].day for scan in self.scans)

    @property
    def is_treated(self) -> bool:
        """Whether a treatment begins by the last scan."""
        return any(one.day <= self.after_days[-1] for one in self.treatments)

    @property
    def first(self) -> Target:
        """Target of the first scan."""
        return self.targets[0]

    @property
    def coordinates(self) -> Coordinates:
        """Origin, ln lambda, rho T at the first scan, and ln rho."""
        return self.first.coordinates

    def follow(
        self, parameters: GrowthParameters, accuracy: Accuracy, *, until: float = math.inf
    ) -> JointTrajectory | None:
        """Grow a tumour past the volume of every scan, untreated; see `fit.trajectory.follow`.

        Parameters
        ----------
        until : float
            Age at the first scan up to which it is looked at.
        """
        sizes = [target.n_whole for target in self.targets]
        run = grow_between(
            self.first,
            parameters,
            accuracy,
            VOLUME_SHARES[0] * min(sizes),
            VOLUME_SHARES[1] * max(sizes),
            until=until + self.after_days[-1],
        )
        if run is None:
            return None
        return JointTrajectory(run.target, run.parameters, run.days, run.densities, self)

    def follow_treated(
        self, growth: GrowthParameters, accuracy: Accuracy, *, stop_ml: float = math.inf
    ) -> TreatedRun | None:
        """A growth under treatment on the days of all scans.

        Parameters
        ----------
        growth : GrowthParameters
            Growth in real days, with its age at the first scan.
        accuracy : Accuracy
        stop_ml : float
            Whole volume which it may not reach before the last scan.

        Returns
        -------
        TreatedRun or None
            None for a growth too old, too large, or of no proliferation.
        """
        if not 0 < growth.rho_t <= MAX_RHO_T:
            return None
        ages = [growth.days + after for after in self.after_days]
        seen = self._simulated(growth, ages, accuracy, stop_ml=stop_ml).snapshots
        if len(seen) < len(ages):
            return None
        densities = tuple(one.u for one in seen)
        return TreatedRun(self.first, growth, tuple(ages), densities, self, accuracy)

    def snapshots(
        self, growth: GrowthParameters, after_days: Sequence[float], accuracy: Accuracy
    ) -> tuple[Snapshot, ...]:
        """A growth on some days after the first scan, under treatment where there is one.

        Parameters
        ----------
        growth : GrowthParameters
            Growth in real days, with its age at the first scan.
        after_days : sequence of float
            Days after the first scan, rising.
        accuracy : Accuracy
        """
        ages = [growth.days + after for after in after_days]
        run = self._simulated(growth, ages, accuracy)
        # A tumour that has filled the tissue ends before; it does not change any more.
        return (*run.snapshots, *[run.final] * (len(ages) - len(run.snapshots)))

    def _simulated(
        self,
        growth: GrowthParameters,
        ages: Sequence[float],
        accuracy: Accuracy,
        *,
        stop_ml: float = math.inf,
    ) -> Simulation:
        return simulate(
            self.tissue,
            replace(growth, days=ages[-1]),
            model=self.model,
            thresholds=self.thresholds,
            snapshot_days=ages,
            stop_ml=stop_ml,
            accuracy=accuracy,
            treatments=[replace(one, day=growth.days + one.day) for one in self.treatments],
        )


@dataclass(frozen=True, eq=False)
class JointTrajectory(Trajectory):
    """A run while its whole volume is like the patient's at any scan.

    Attributes
    ----------
    joint : JointTarget
    """

    joint: JointTarget

    @cached_property
    def scores(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Moments of the run, (n,), and the sum of the Dice with each scan then, (scans, n)."""
        part, targets = self.reach, self.joint.targets
        logits = [logit(u[part]) for u in self.densities]
        moments, rows = [], []
        for i, (start, end) in enumerate(itertools.pairwise(self.days)):
            for moment in np.linspace(start, end, MOMENTS, endpoint=False).tolist():
                z = between(logits[i], logits[i + 1], start, end, moment)
                moments.append(moment)
                rows.append([target.score(z, part) for target in targets])
        moments.append(self.days[-1])
        rows.append([target.score(logits[-1], part) for target in targets])
        return np.array(moments), np.array(rows).T

    def totals(self, speed: float = 1.0) -> NDArray[np.float64]:
        """The sum of the Dice over all scans, where the first is met at each of the moments.

        Parameters
        ----------
        speed : float
            Days of the run in a day of the patient.
        """
        moments, scores = self.scores
        return sum(
            (
                np.interp(moments + speed * after, moments, row, right=0.0)
                for row, after in zip(scores, self.joint.after_days, strict=True)
            ),
            np.zeros(len(moments)),
        )

    def best(self, parts: int = 1) -> tuple[float, float]:
        """The largest sum of the Dice, to `MOMENTS` of a step, and the age at the first scan."""
        totals = self.totals()
        peak = int(np.argmax(totals))
        return float(totals[peak]), float(self.scores[0][peak])


@dataclass(frozen=True, eq=False)
class TreatedRun(Trajectory):
    """A growth under treatment on the days of all scans, of one age at the first.

    Attributes
    ----------
    joint : JointTarget
    accuracy : Accuracy
        Accuracy of the run.
    """

    joint: JointTarget
    accuracy: Accuracy

    def best(self, parts: int = 1) -> tuple[float, float]:
        """The sum of the Dice over all scans, and the age at the first."""
        part = self.reach
        scores = (
            target.score(logit(u[part]), part)
            for target, u in zip(self.joint.targets, self.densities, strict=True)
        )
        return sum(scores), self.days[0]


@dataclass(frozen=True, eq=False)
class JointComparison:
    """Comparisons with all scans at one blur: an `Objective` of descents.

    Attributes
    ----------
    joint : JointTarget
    comparisons : tuple of BlurredOverlap
        Comparison with each scan.
    """

    joint: JointTarget
    comparisons: tuple[BlurredOverlap, ...]

    @classmethod
    def of(cls, joint: JointTarget, blur_mm: float) -> JointComparison:
        """Prepare a comparison around the outlines of each scan."""
        return cls(joint, tuple(BlurredOverlap.of(target, blur_mm) for target in joint.targets))

    @property
    def coordinates(self) -> Coordinates:
        """Coordinates of the target."""
        return self.joint.coordinates

    def follow(
        self, parameters: GrowthParameters, accuracy: Accuracy, *, until: float = math.inf
    ) -> Trajectory | None:
        """Grow a tumour past the volume of every scan, or treated, from its age at the first."""
        if self.joint.is_treated:
            return self.joint.follow_treated(parameters, accuracy)
        return self.joint.follow(parameters, accuracy, until=until)

    def residual_at(self, trajectory: Trajectory, days: float) -> NDArray[np.float32]:
        """The residuals of all scans, for an age at the first."""
        if isinstance(trajectory, TreatedRun) and days != trajectory.days[0]:
            aside = replace(trajectory.parameters, days=days)
            trajectory = self.joint.follow_treated(aside, trajectory.accuracy) or trajectory
        return np.concatenate(
            [
                comparison.residual(trajectory.at(days + after, comparison.part))
                for comparison, after in zip(self.comparisons, self.joint.after_days, strict=True)
            ]
        )
