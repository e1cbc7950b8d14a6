"""Targets on merged voxels against a loop over blocks, and what is left as it is."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glioquery.atlas import Grid
from glioquery.pipeline.fit import merging
from glioquery.pipeline.fit.merging import on_voxels_of
from glioquery.pipeline.fit.trajectory import Target
from glioquery.solver import FisherKolmogorov, Thresholds, Tissue, TumorMasks


def ball(grid, centre_mm, radius_mm):
    at = grid.to_world(np.indices(grid.shape).reshape(3, -1).T)
    near = np.linalg.norm(at - centre_mm, axis=1) < radius_mm
    return near.reshape(grid.shape)


def target_on(grid, *, radius_mm=16.0):
    """Patchy white and grey matter in a ball, with a lake of fluid and a tumour beside it."""
    rng = np.random.default_rng(5)
    white = np.where(rng.random(grid.shape) < 0.5, 0.9, 0.2)
    tissue = ball(grid, (0, 0, 0), 34.0) & ~ball(grid, (0, 6, 0), 8.0)
    wm, gm = (np.where(tissue, share, 0) for share in (white, 1 - white))
    csf = np.where(ball(grid, (0, 0, 0), 38.0) & ~tissue, 1.0, 0.0)
    core, whole = (ball(grid, (9, -6, 3), r) & tissue for r in (0.6 * radius_mm, radius_mm))
    return Target(TumorMasks(core, whole, grid), Tissue.from_probabilities(wm, gm, csf, grid))


def grid_of(spacing_mm, flips=(1, 1, 1), order=(0, 1, 2)):
    """A grid around 0 of 80 mm along each axis, with turned and flipped axes."""
    shape = tuple(round(80 / s) for s in spacing_mm)
    affine = np.zeros((4, 4))
    for axis, (world, flip) in enumerate(zip(order, flips, strict=True)):
        affine[world, axis] = flip * spacing_mm[axis]
        affine[world, 3] = -flip * spacing_mm[axis] * (shape[axis] - 1) / 2
    affine[3, 3] = 1
    return Grid(shape, affine)


@settings(max_examples=15)
@given(
    spacing=st.tuples(*[st.sampled_from([1.0, 2.0, 4.0, 5.0])] * 3),
    flips=st.tuples(*[st.sampled_from([1, -1])] * 3),
    order=st.permutations([0, 1, 2]),
)
def test_every_merged_voxel_is_the_mean_of_the_voxels_in_it(spacing, flips, order):
    own = target_on(grid_of(spacing, flips, order))
    merged = on_voxels_of(own, 4.0)
    if max(spacing) >= 4:
        assert merged is own
        return
    n = [round(4 / s) for s in spacing]
    tissue, grid = merged.tissue, merged.tissue.grid
    assert grid.spacing_mm == pytest.approx((4.0, 4.0, 4.0))
    rng = np.random.default_rng(1)
    for voxel in rng.permutation(list(itertools.product(*map(range, grid.shape))))[:200]:
        first = own.tissue.grid.to_voxel(grid.to_world(voxel)) - (np.array(n) - 1) / 2
        block = tuple(slice(round(a), round(a) + k) for a, k in zip(first, n, strict=True))
        at = tuple(voxel)
        wm, gm = own.tissue.wm[block].mean(), own.tissue.gm[block].mean()
        assert tissue.domain[at] == (wm + gm >= 0.5)  # nothing lies apart here
        if tissue.domain[at]:
            assert tissue.wm[at] == pytest.approx(wm / (wm + gm), abs=1e-5)
            assert tissue.wm[at] + tissue.gm[at] == pytest.approx(1, abs=1e-5)
        else:
            assert tissue.fluid[at] == (wm + gm + own.tissue.fluid[block].mean() >= 0.5)
        for ours, theirs in (
            (merged.masks.core, own.masks.core),
            (merged.masks.whole, own.masks.whole),
        ):
            assert ours[at] == (theirs[block].mean() >= 0.5)


def test_model_thresholds_and_free_parameters_stay():
    own = replace(target_on(grid_of((2.0, 2.0, 2.0))), thresholds=Thresholds(core=0.7, whole=0.3))
    merged = on_voxels_of(own, 4.0)
    assert merged.model is own.model and merged.free is own.free
    assert merged.thresholds == own.thresholds


@dataclass(frozen=True)
class Described:
    """A setting that says what it is, as a field of tensors does."""

    def describe(self):
        return {}


@dataclass(frozen=True)
class WithAField(FisherKolmogorov):
    field: Described = Described()


def test_what_cannot_be_merged_stays():
    own = target_on(grid_of((2.0, 2.0, 2.0)))
    assert on_voxels_of(own, 0.0) is own
    assert on_voxels_of(own, 2.0) is own
    in_a_field = replace(own, model=WithAField())
    assert on_voxels_of(in_a_field, 4.0) is in_a_field
    small = target_on(grid_of((2.0, 2.0, 2.0)), radius_mm=7.0)
    assert on_voxels_of(small, 4.0) is small
    speck = np.zeros_like(own.masks.core)
    speck[tuple(np.argwhere(own.masks.core)[0])] = True
    speckled = replace(own, masks=replace(own.masks, core=speck))
    assert on_voxels_of(speckled, 4.0) is speckled
    assert on_voxels_of(own, 4.0) is not own
    for spacing in (2.7, 3.0, 3.5):  # two such voxels are farther from 4 mm than one
        wide = target_on(grid_of((spacing, spacing, spacing)))
        assert on_voxels_of(wide, 4.0) is wide


def test_an_outline_beside_the_merged_tissue_leaves_the_target_as_it_is(monkeypatch):
    """Thin tissue, none of which fills half a block."""
    own = target_on(grid_of((2.0, 2.0, 2.0)))
    merged_tissue = merging._merged_tissue

    def elsewhere(tissue, voxel_mm):
        merged = merged_tissue(tissue, voxel_mm)
        domain = merged.domain & ball(merged.grid, (-24, 0, 0), 9.0)
        return replace(merged, domain=domain)

    monkeypatch.setattr(merging, "_merged_tissue", elsewhere)
    assert on_voxels_of(own, 4.0) is own
