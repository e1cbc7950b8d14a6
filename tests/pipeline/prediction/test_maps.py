"""An answer on several grids of a patient: one agreement, found where voxels are finest."""

from types import SimpleNamespace

import numpy as np
import pytest

from glioquery.atlas import Grid
from glioquery.pipeline.images import Field
from glioquery.pipeline.images.point_map import SAME_WORLD
from glioquery.pipeline.images.resampling import resample_masks
from glioquery.pipeline.prediction import GrownAnswer, map_to_patient, maps
from glioquery.pipeline.travel import Terrain
from glioquery.pipeline.travel import terrain as terrains
from glioquery.query import dice_of_masks
from glioquery.solver import TumorDensity, TumorMasks

LAMBDA_MM = 2.5


def ball(grid, centre_mm, radius_mm):
    """Distance from the surface of a ball, negative inside."""
    places = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    return np.linalg.norm(places - centre_mm, axis=-1) - radius_mm


def terrain(grid, masks):
    outlines = masks if masks.grid == grid else resample_masks(masks, grid)
    brain = ball(grid, (40, 40, 40), 34) < 0
    return Terrain(outlines, brain, brain.astype(np.float32))


@pytest.mark.parametrize("voxel_mm", [1.0, 2 * (1 - 1e-7)])
def test_a_cropped_segmentation_of_finer_voxels_does_not_crop_the_map(voxel_mm):
    wide = 4.0
    t1 = Grid((40, 40, 40), np.diag([2, 2, 2, 1.0]))
    u = (1 / (1 + np.exp(ball(t1, (40, 40, 40), 10) / wide))).astype(np.float32)
    answer = SimpleNamespace(density=TumorDensity(u, t1), widest_lambda_mm=wide)
    uncertainty = SimpleNamespace(maps=SimpleNamespace(sd=0.1 * u, grid=t1))
    grown = GrownAnswer(answer, uncertainty, np.ones(t1.shape, bool), SAME_WORLD)
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[:3, 3] = 20
    crop = Grid((int(40 / voxel_mm),) * 3, affine)
    away = ball(crop, (40, 40, 40), 10)
    masks = TumorMasks(away < -2, away < 5, crop)
    there = terrain(t1, masks)
    (alone,) = map_to_patient(grown, [there], levels=(0.01,))
    beside, cropped = map_to_patient(grown, [there, terrain(crop, masks)], levels=(0.01,))
    np.testing.assert_array_equal(beside.density.u, alone.density.u)
    np.testing.assert_array_equal(beside.planning.model, alone.planning.model)
    assert dice_of_masks(masks, cropped.density.outlines())[0] > 0.9


@pytest.mark.parametrize("finest", [0, 1])
def test_the_agreement_is_found_once_on_the_finest_grid(monkeypatch, finest):
    fine, coarse = (
        Grid((40, 40, 40), np.diag([2, 2, 2, 1.0])),
        Grid((27,) * 3, np.diag([3] * 3 + [1.0])),
    )
    away = ball(fine, (40, 40, 40), 12)
    u = (1 / (1 + np.exp(away / LAMBDA_MM))).astype(np.float32)
    answer = SimpleNamespace(density=TumorDensity(u, fine), widest_lambda_mm=LAMBDA_MM)
    uncertainty = SimpleNamespace(maps=SimpleNamespace(sd=0.1 * u, grid=fine))
    grown = GrownAnswer(answer, uncertainty, np.ones(fine.shape, bool), SAME_WORLD)
    seen = ball(fine, (44, 40, 40), 12)  # 4 mm beside the growth
    masks = TumorMasks(seen < -1, seen < 4, fine)
    calls = []
    agree = maps.agree
    monkeypatch.setattr(maps, "agree", lambda *a, **k: calls.append(a[1]) or agree(*a, **k))
    grids = (fine, coarse) if finest == 0 else (coarse, fine)
    terrains = [terrain(grid, masks) for grid in grids]
    found = map_to_patient(grown, terrains, levels=(0.1,))
    (agreed,) = calls
    assert agreed.grid.spacing_mm == fine.spacing_mm
    for there, expected in zip(found, terrains, strict=True):
        assert there.grid == expected.grid == there.planning.grid
        assert dice_of_masks(expected.outlines, there.density.outlines())[0] > 0.93
        assert there.score.dice_core > there.growth_score.dice_core + 0.1
        assert not there.density.u[~expected.brain].any()
    cells = [there.density.u.sum() * there.grid.voxel_ml for there in found]
    assert cells[0] == pytest.approx(cells[1], rel=0.02)


def test_air_around_the_brain_changes_no_map_and_each_front_is_followed_once(monkeypatch):
    fine = Grid((40, 40, 40), np.diag([2, 2, 2, 1.0]))
    shift = np.diag([2, 2, 2, 1.0])
    shift[:3, 3] = -32
    wide = Grid((72, 72, 64), shift)  # 16 and 8 voxels more on each side
    u = (1 / (1 + np.exp(ball(fine, (40, 40, 40), 12) / LAMBDA_MM))).astype(np.float32)
    u[u < 0.01] = 0
    answer = SimpleNamespace(density=TumorDensity(u, fine), widest_lambda_mm=LAMBDA_MM)
    uncertainty = SimpleNamespace(maps=SimpleNamespace(sd=0.1 * u, grid=fine))
    grown = GrownAnswer(answer, uncertainty, np.ones(fine.shape, bool), SAME_WORLD)
    times = []
    travel_time = terrains.travel_time
    monkeypatch.setattr(
        terrains, "travel_time", lambda *a, **k: times.append(1) or travel_time(*a, **k)
    )
    found = []
    for grid in (fine, wide):
        seen = ball(grid, (44, 40, 40), 12)
        there = terrain(grid, TumorMasks(seen < -1, seen < 4, grid))
        field = Field.around(there.brain, grid)
        part = Terrain(
            field.cut_masks(there.outlines), field.cut(there.brain), field.cut(there.speed)
        )
        (maps_there,) = map_to_patient(grown, [part], levels=(0.1,))
        found.append((maps_there, field))
    assert len(times) == 2 * 4  # from both outlines, and from both isolines of the growth
    (tight, near), (loose, far) = found
    assert far.whole == wide and loose.grid == far.grid and np.prod(loose.grid.shape) == 40**3
    for values in (
        lambda maps: maps.density.u,
        lambda maps: maps.growth.u,
        lambda maps: maps.expected.sd,
        lambda maps: maps.expected.exceedance[0.1],
        lambda maps: maps.planning.ranking,
        lambda maps: maps.planning.geodesic,
    ):
        laid = far.laid(values(loose))
        np.testing.assert_allclose(
            laid[16:56, 16:56, 16:56], near.laid(values(tight)), atol=1e-6, rtol=0
        )
        assert np.count_nonzero(laid) == np.count_nonzero(values(tight))
    for score in ("dice_core", "dice_whole", "residual"):
        assert getattr(loose.score, score) == pytest.approx(getattr(tight.score, score), rel=1e-4)
