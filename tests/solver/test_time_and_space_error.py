"""The errors of time and space in tumours as databases hold them.

docs/verification.md tells the figures found here; `pytest -s` prints them.
"""

import dataclasses
import itertools

import numpy as np
import pytest
from convergence import slope

from glioquery.atlas import Grid, load_probabilities
from glioquery.atlas.brain import PADDING, block_mean
from glioquery.dbgen import Plan
from glioquery.dbgen.study.samples import draw_samples
from glioquery.dbgen.study.space import ParameterSpace
from glioquery.solver import (
    Accuracy,
    GrowthParameters,
    Thresholds,
    Tissue,
    on_grid,
    simulate,
)

# The error of time and of space in tumours as databases hold them.

BANDS_MM = (0.0, 1.0, 2.0, 4.0, 8.0, np.inf)
"""Bands of lambda = sqrt(dw / rho) by which errors are told."""
A_FEW_RUNS = (164, 176, 21)
"""Runs of the default space, by rising lambda: of the 200 drawn, among the worst in their bands."""
ONE_SNAPSHOT = Plan(space=dataclasses.replace(ParameterSpace(), snapshots_per_run=1))
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
    (sample,) = draw_samples(tissue, ONE_SNAPSHOT, run)
    finer = simulate(tissue, sample.parameters, accuracy=Accuracy().refined(8))
    assert finer.n_steps > 100
    return Disagreement.between(sample.parameters, sample.snapshot.u, finer.final.u)


def check_time_errors(found):
    tell_by_band(found)
    worst = max(found, key=lambda d: d.relative_l2)
    assert worst.relative_l2 <= 5e-3, worst
    assert [d for d in found if not d.outlines_agree] == []


@pytest.mark.slow
def test_time_error_of_a_few_draws(tissue):
    check_time_errors([time_error(tissue, run) for run in A_FEW_RUNS])


@pytest.mark.slow
def test_time_error_of_200_draws(tissue):
    check_time_errors([time_error(tissue, run) for run in range(200)])


# The error of space.


def refined(tissue, factor):
    """The same anatomy, voxel for voxel, on voxels `factor` times as small."""

    def repeat(values):
        for axis in range(3):
            values = values.repeat(factor, axis)
        return values

    affine = tissue.grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.full(3, (1 / factor - 1) / 2)
    affine[:3, :3] /= factor
    shape = tuple(factor * n for n in tissue.grid.shape)
    return Tissue(repeat(tissue.wm), repeat(tissue.gm), repeat(tissue.domain), Grid(shape, affine))


def coarsened(values, factor):
    """Means over blocks of `factor` voxels a side."""
    nx, ny, nz = (n // factor for n in values.shape)
    blocks = values.reshape(nx, factor, ny, factor, nz, factor)
    return blocks.mean(axis=(1, 3, 5), dtype=np.float64)


@pytest.mark.slow
def test_observed_order_in_time_on_the_atlas(tissue):
    p = GrowthParameters((-150.0, 100.0, 60.0), dw=0.3, rho=0.05, days=230)
    exact = simulate(tissue, p, accuracy=Accuracy().refined(24)).final.u
    factors = np.array([1, 1.5, 2, 3, 4])
    errors = [
        relative_l2(simulate(tissue, p, accuracy=Accuracy().refined(f)).final.u, exact)
        for f in factors
    ]
    assert 1.6 < slope(1 / factors, errors) < 2.5


@pytest.mark.slow
def test_observed_order_in_space_on_the_atlas(atlas):
    """From the anatomy at 4 mm, on voxels of 4, 2 and 1 mm; the walls are staircases."""
    affine = atlas.grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.full(3, 0.5)
    affine[:3, :3] *= 2
    maps = [coarsened(m, 2) for m in (atlas.wm, atlas.gm, atlas.csf)]
    tissue = Tissue.from_probabilities(*maps, Grid(maps[0].shape, affine))
    p = GrowthParameters((-150.0, 100.0, 60.0), dw=0.8, rho=0.025, days=400)
    coarse, middle, fine = (
        coarsened(simulate(refined(tissue, factor), p).density.u, factor) for factor in (1, 2, 4)
    )
    errors = [np.linalg.norm(coarse - middle), np.linalg.norm(middle - fine)]
    assert 0.8 < slope([4.0, 2.0], errors / np.linalg.norm(fine)) < 3


@pytest.mark.slow
def test_space_error_of_ten_draws(tissue, atlas):
    """2 mm against 1 mm voxels: with the same anatomy, and with that of the atlas at 1 mm."""
    ten_runs = (197, 45, 5, 3, 33, 0, 49, 4, 21, 183)  # by rising lambda
    same, own = [], []
    cropped = tuple(
        slice(before, before + n)
        for (before, _), n in zip(PADDING, atlas.t1_grid.shape, strict=True)
    )
    cube = refined(tissue, 2)
    same_tissue = Tissue(*(m[cropped] for m in (cube.wm, cube.gm, cube.domain)), atlas.t1_grid)
    probabilities = load_probabilities()
    own_tissue = Tissue.from_probabilities(
        *(probabilities[name] for name in ("wm", "gm", "csf")), atlas.t1_grid
    )
    for run in ten_runs:
        (sample,) = draw_samples(tissue, ONE_SNAPSHOT, run)
        u = on_grid(tissue, sample.snapshot.u).u
        for found, anatomy in ((same, same_tissue), (own, own_tissue)):
            better = block_mean(simulate(anatomy, sample.parameters).density.u)
            found.append(Disagreement.between(sample.parameters, u, better))
    print("\nsame anatomy:")
    tell_by_band(same)
    print("\nanatomy at 1 mm:")
    tell_by_band(own)
    assert min(min(d.dice) for d in same) > 0.85
    assert min(min(d.dice) for d in same if d.parameters.lambda_mm >= 2) > 0.96
    assert min(min(d.dice) for d in own) > 0.8
