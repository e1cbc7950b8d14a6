"""The solver's accuracy, measured: docs/verification.md tells the figures found here.

`pytest -s` prints the figures of each test.
"""

import dataclasses
import itertools

import numpy as np
import pytest
from glioquery.dbgen.plan import Plan, draw_samples
from glioquery.dbgen.space import ParameterSpace
from glioquery.solver import Accuracy, GrowthParameters, Thresholds, simulate

BANDS_MM = (0.0, 1.0, 2.0, 4.0, 8.0, np.inf)
"""Bands of lambda = sqrt(dw / rho) by which errors are told."""
A_FEW_RUNS = (164, 197, 176, 48, 21, 183)
"""Runs of the default space, by rising lambda: of the 200 drawn, among the worst in their bands."""
OUTLINES = ("core", "whole")


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """How far a density lies from a better one.

    Attributes
    ----------
    parameters : GrowthParameters
    relative_l2 : float
    dice, voxels, differing : tuple of two
        Of the core and the whole outline: Dice, voxels in the better one, voxels that differ.
    """

    parameters: GrowthParameters
    relative_l2: float
    dice: tuple[float, float]
    voxels: tuple[int, int]
    differing: tuple[int, int]

    @classmethod
    def between(cls, parameters, u, better):
        thresholds = Thresholds()
        dice, voxels, differing = [], [], []
        for name in OUTLINES:
            level = np.float32(getattr(thresholds, name))
            a, b = u >= level, better >= level
            dice.append(2 * int((a & b).sum()) / max(int(a.sum()) + int(b.sum()), 1))
            voxels.append(int(b.sum()))
            differing.append(int((a ^ b).sum()))
        return cls(parameters, relative_l2(u, better), tuple(dice), tuple(voxels), tuple(differing))

    @property
    def outlines_agree(self):
        """Dice of 0.995, or two voxels of an outline so small that Dice is coarse."""
        return all(
            dice >= 0.995 or (voxels < 400 and differing <= 2)
            for dice, voxels, differing in zip(self.dice, self.voxels, self.differing, strict=True)
        )


def relative_l2(u, better):
    u, better = np.asarray(u, np.float64), np.asarray(better, np.float64)
    return float(np.linalg.norm(u - better) / np.linalg.norm(better))


def tell_by_band(found):
    """Print the errors, band by band of lambda."""
    print("\nlambda mm    n   L2 median      max   least Dice core    whole   mean   core    whole")
    for low, high in itertools.pairwise(BANDS_MM):
        rows = [d for d in found if low <= d.parameters.lambda_mm < high]
        if rows:
            errors = [d.relative_l2 for d in rows]
            dice = np.array([d.dice for d in rows])
            print(
                f"{low:3g} - {high:3g} {len(rows):5d} {np.median(errors):11.5f} {max(errors):8.5f}"
                f" {dice[:, 0].min():17.4f} {dice[:, 1].min():8.4f}"
                f" {dice[:, 0].mean():13.4f} {dice[:, 1].mean():8.4f}"
            )


def time_error(tissue, run):
    """What the default time step does to one accepted draw of the default parameter space."""
    plan = Plan(space=dataclasses.replace(ParameterSpace(), snapshots_per_run=1))
    (sample,) = draw_samples(tissue, plan, run)
    finer = simulate(tissue, sample.parameters, accuracy=Accuracy().refined(8))
    assert finer.n_steps > 100
    return Disagreement.between(sample.parameters, sample.snapshot.u, finer.final.u)


def check_time_errors(found):
    tell_by_band(found)
    worst = max(found, key=lambda d: d.relative_l2)
    assert worst.relative_l2 <= 5e-3, worst
    assert [d for d in found if not d.outlines_agree] == []


def test_time_error_of_a_few_draws(tissue):
    check_time_errors([time_error(tissue, run) for run in A_FEW_RUNS])


@pytest.mark.slow
def test_time_error_of_200_draws(tissue):
    check_time_errors([time_error(tissue, run) for run in range(200)])
