"""Planning volumes on small brains: equal sizes, a ranking without ties, the margin, coverage."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from glioquery.atlas import Grid
from glioquery.pipeline.prediction.planning import (
    LEAST_DENSITY,
    MARGIN_MM,
    draw_standard,
    isodensity_labels,
    plan_volumes,
    rank_brain,
)
from glioquery.pipeline.travel import Terrain, travel_time
from glioquery.solver import TumorDensity, TumorMasks

SHAPE = (36, 30, 28)
SPACING = (1.5, 2.0, 2.5)


def ball(centre, radius_mm):
    points = np.moveaxis(np.indices(SHAPE), 0, -1) * SPACING
    return np.linalg.norm(points - np.array(centre) * SPACING, axis=-1) <= radius_mm


def plan(density, masks, brain, lambda_mm):
    """Plan in a brain that is white matter alone."""
    return plan_volumes(density, Terrain(masks, brain, brain.astype(np.float32)), lambda_mm)


@pytest.fixture(scope="module")
def grid():
    return Grid(SHAPE, np.diag([*SPACING, 1.0]))


@pytest.fixture(scope="module")
def brain():
    return ball((17, 15, 14), 25)


@pytest.fixture(scope="module")
def density(grid, brain):
    """A front with a saturated inside, zero in a ventricle and far away."""
    points = np.moveaxis(np.indices(SHAPE), 0, -1) * SPACING
    distance = np.linalg.norm(points - np.array([20, 15, 13]) * SPACING, axis=-1)
    u = (1 / (1 + np.exp((distance - 9) / 0.6))).astype(np.float32)
    u[ball((12, 15, 14), 4) | ~brain | (u < 1e-7)] = 0
    return TumorDensity(u, grid)


@pytest.fixture(scope="module")
def masks(density):
    return density.outlines()


@pytest.fixture(scope="module")
def volumes(density, masks, brain):
    return plan(density, masks, brain, 1.2)


def test_the_standard_volume_is_the_core_and_15_mm_of_brain(volumes, masks, brain, grid):
    core, sure = np.argwhere(masks.core) * SPACING, 0
    for voxel in np.random.default_rng(1).integers(0, SHAPE, (300, 3)):
        away = np.abs(core - voxel * SPACING)
        to_centres = np.linalg.norm(away, axis=1).min()
        to_voxels = np.linalg.norm(np.maximum(away - np.array(SPACING) / 2, 0), axis=1).min()
        # The surface lies between the centres of the outermost voxels and their faces.
        if to_centres <= MARGIN_MM or to_voxels > MARGIN_MM:
            expected = brain[tuple(voxel)] and to_centres <= MARGIN_MM
            assert volumes.standard[tuple(voxel)] == expected
            sure += 1
    assert sure > 250 and volumes.gross == "core"


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.9, 0.9, 5.5), (5, 1, 1), (3, 3, 3)])
def test_the_margin_is_the_same_on_thick_slices(spacing):
    """A ball of 15 mm with its margin is one of 30 mm."""
    shape = tuple(int(70 / s) + 1 for s in spacing)
    points = (np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) / 2) * spacing
    distance = np.linalg.norm(points, axis=-1).astype(np.float32)
    grid = Grid(shape, np.diag([*spacing, 1.0]))
    u = np.exp(-distance / 10)
    core = distance <= 15
    found = plan(TumorDensity(u, grid), TumorMasks(core, core, grid), np.ones(shape, bool), 1.0)
    expected = 4 / 3 * np.pi * 30**3 / 1e3
    assert found.standard.sum() * grid.voxel_ml == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("spacing", [(1, 1, 2), (1, 1, 3), (0.9, 0.9, 5)])
def test_the_margin_does_not_hang_on_the_direction_of_the_slices(spacing):
    shape = (50, 50, 15)
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=shape), (3, 3, 1))
    points = (np.moveaxis(np.indices(shape), 0, -1) - (np.array(shape) - 1) / 2) * spacing
    core = np.linalg.norm(points, axis=-1) + 60 * smooth < 11
    grid, brain = Grid(shape, np.diag([*spacing, 1.0])), np.ones(shape, bool)
    found = [
        draw_standard(TumorMasks(some, some, grid), brain)[1] for some in (core, core[:, :, ::-1])
    ]
    np.testing.assert_array_equal(found[0], found[1][:, :, ::-1])


def test_the_margin_does_not_hang_on_the_last_digit_of_a_header():
    core = np.zeros((60, 60, 60), bool)
    core[28:32, 28:32, 28:32] = True
    found = []
    for turn in (np.eye(3), Rotation.from_euler("xyz", [20, -13, 7], degrees=True).as_matrix()):
        affine = np.eye(4)
        affine[:3, :3] = turn.astype(np.float32)
        grid = Grid(core.shape, affine)
        masks = TumorMasks(core, core, grid)
        u = TumorDensity(core.astype(np.float32), grid)
        found.append(plan(u, masks, np.ones(core.shape, bool), 1.0).standard)
    np.testing.assert_array_equal(*found)
    assert found[0].any(axis=(1, 2)).sum() == 4 + 2 * MARGIN_MM


def test_all_volumes_have_one_size_and_lie_in_the_brain(volumes, brain):
    assert list(volumes.by_name) == ["standard", "model", "geodesic"]
    for volume in volumes.by_name.values():
        assert volume.sum() == volumes.standard.sum() > 0 and not (volume & ~brain).any()


def test_the_models_volume_holds_the_core_and_the_highest_ranks(density, volumes, brain):
    for core in (volumes.outlines.core, ball((9, 15, 14), 6)):  # a core where the model has none
        found = plan(density, TumorMasks(core, core, density.grid), brain, 1.2)
        assert found.model[core & brain].all()
        inside = found.ranking[found.model & ~core].min()
        assert inside > found.ranking[brain & ~found.model].max()


def test_the_row_tells_what_each_volume_leaves_out_of_the_whole(density, brain, grid):
    core, whole = ball((20, 15, 13), 3), ball((12, 15, 13), 21)
    found = plan(density, TumorMasks(core, core | whole, grid), brain, 1.2)
    row = found.row()
    for name, volume in found.by_name.items():
        left_out = (core | whole) & ~volume
        assert row[f"{name}_leaves_out"] == pytest.approx(left_out.sum() / (core | whole).sum())
        assert row[f"{name}_leaves_out_ml"] == pytest.approx(left_out.sum() * grid.voxel_ml)
        assert row[f"{name}_ml"] == pytest.approx(volume.sum() * grid.voxel_ml)
    assert row["model_leaves_out"] > 0.1


def test_the_geodesic_volume_goes_where_the_front_goes_first(density, masks, brain):
    far_side = np.indices(SHAPE)[0] < 17
    speed = np.where(far_side, 0.3, 1.0).astype(np.float32)
    terrain = Terrain(masks, brain, np.where(brain, speed, 0))
    found = plan_volumes(density, terrain, 1.2)
    assert found.geodesic[masks.core].all() and found.geodesic.sum() == found.standard.sum()
    assert (found.geodesic & far_side).sum() < (found.standard & far_side).sum()
    times = travel_time(masks.core, terrain.speed, SPACING)
    assert times[found.geodesic].max() <= times[brain & ~found.geodesic].min()


def test_no_two_voxels_of_the_brain_rank_alike_and_none_outside_ranks(volumes, brain):
    ranked = volumes.ranking[brain]
    assert len(np.unique(ranked)) == brain.sum()
    assert ranked.min() > 0 and ranked.max() <= 1
    assert not volumes.ranking[~brain].any()


def test_the_ranking_follows_the_density_and_hardly_moves_it(volumes, density, brain):
    u, ranking = density.u[brain], volumes.ranking[brain]
    order = np.argsort(u)
    u, ranking = u[order], ranking[order]
    rising = np.flatnonzero(np.diff(u) > 0)
    last = np.maximum.accumulate(ranking)
    seen = u[rising + 1] >= LEAST_DENSITY
    assert (ranking[rising + 1] > last[rising])[seen].all()
    np.testing.assert_allclose(ranking[u >= LEAST_DENSITY], u[u >= LEAST_DENSITY], rtol=2e-3)


def test_below_the_isoline_the_ranking_falls_by_e_every_lambda(density, brain):
    """Along a line away from the tumour, against the distance to the nearest voxel that is seen."""
    ranking = rank_brain(density, brain, 1.2)
    seen = np.argwhere(density.u >= LEAST_DENSITY) * SPACING
    far = np.argwhere(brain & (density.u < LEAST_DENSITY))
    distance = np.array([np.linalg.norm(seen - v * SPACING, axis=1).min() for v in far])
    expected = LEAST_DENSITY * np.exp(-distance / 1.2)
    np.testing.assert_allclose(ranking[tuple(far.T)], expected, rtol=2e-3)


def test_a_front_too_sharp_for_float32_still_ranks_by_distance(density, brain):
    sharp, wide = (rank_brain(density, brain, width) for width in (0.01, 1.2))
    assert sharp[brain].min() > 0
    np.testing.assert_array_equal(np.argsort(sharp[brain]), np.argsort(wide[brain]))


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), levels=st.integers(1, 4))
def test_sizes_agree_whatever_the_ties(seed, levels):
    """Densities of few values: nothing but ties."""
    rng = np.random.default_rng(seed)
    grid = Grid((9, 8, 7), np.diag([4.0, 4.0, 4.0, 1.0]))
    u = rng.choice(np.linspace(0.25, 1, levels), grid.shape).astype(np.float32)
    brain = rng.random(grid.shape) < 0.8
    core = np.zeros(grid.shape, bool)
    core[4, 4, 3] = brain[4, 4, 3] = True
    found = plan(TumorDensity(u, grid), TumorMasks(core, core, grid), brain, 1.0)
    assert found.standard.sum() == found.model.sum() == found.geodesic.sum()
    assert len(np.unique(found.ranking[brain])) == brain.sum()


def test_without_a_core_the_margin_is_drawn_around_the_whole(density, masks, brain):
    coreless = TumorMasks(np.zeros_like(masks.core), masks.whole, masks.grid)
    found = plan(density, coreless, brain, 1.2)
    assert found.gross == "whole"
    assert found.standard.sum() > masks.whole.sum()


def test_labels_tell_which_volumes_hold_a_voxel_and_count_what_the_row_says(
    density, masks, brain, grid
):
    far_side = np.where(np.indices(SHAPE)[0] < 17, 0.3, 1.0).astype(np.float32)
    terrain = Terrain(masks, brain, np.where(brain, far_side, 0))
    found = plan_volumes(density, terrain, 1.2)
    labels, row = found.labels(), found.row()
    ml = np.bincount(labels.ravel(), minlength=8) * grid.voxel_ml
    assert len(ml) == 8 and ml[7] == pytest.approx(row["all_ml"]) and ml[7] > 0
    for name, label in (("standard", 1), ("model", 2), ("geodesic", 4)):
        np.testing.assert_array_equal((labels & label) > 0, found.by_name[name])
        assert ml[label] == pytest.approx(row[f"{name}_only_ml"])
    assert row["geodesic_only_ml"] > 0


def test_isodensities_are_nested(density):
    labels = isodensity_labels(density, (0.01, 0.1, 0.5))
    for i, level in enumerate((0.01, 0.1, 0.5), start=1):
        np.testing.assert_array_equal(labels >= i, density.u >= level)


def test_arrays_of_another_grid_are_refused(density, masks, brain):
    terrain = Terrain(masks, brain, brain.astype(np.float32))
    with pytest.raises(ValueError, match="one grid"):
        plan_volumes(
            TumorDensity(density.u[1:], Grid(density.u[1:].shape, np.eye(4))), terrain, 1.2
        )
    with pytest.raises(ValueError, match="outside the brain mask"):
        plan(density, masks, ~brain, 1.2)
    with pytest.raises(ValueError, match="needs a density"):
        rank_brain(TumorDensity(np.zeros(SHAPE, np.float32), density.grid), brain, 1.2)
