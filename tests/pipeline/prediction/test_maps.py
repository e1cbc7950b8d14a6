"""An answer on several grids of a patient: one agreement, found where voxels are finest."""

from types import SimpleNamespace

import numpy as np
import pytest

from glioquery.atlas import Grid
from glioquery.pipeline.images.point_map import SAME_WORLD
from glioquery.pipeline.images.resampling import resample_masks
from glioquery.pipeline.prediction import GrownAnswer, map_to_patient, maps
from glioquery.pipeline.travel import Terrain
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


@pytest.mark.parametrize("finest", [0, 1])
def test_the_agreement_is_found_once_on_the_finest_grid(monkeypatch, finest):
    fine, coarse = (
        Grid((40, 40, 40), np.diag([2, 2, 2, 1.0])),
        Grid((27,) * 3, np.diag([3] * 3 + [1.0])),
    )
    away = ball(fine, (40, 40, 40), 12)
    u = (1 / (1 + np.exp(away / LAMBDA_MM))).astype(np.float32)
    answer = SimpleNamespace(
        density=TumorDensity(u, fine), growths=[SimpleNamespace(lambda_mm=LAMBDA_MM)]
    )
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
    assert calls == [terrains[finest]]
    for there, expected in zip(found, terrains, strict=True):
        assert there.grid == expected.grid == there.planning.grid
        assert dice_of_masks(expected.outlines, there.density.outlines())[0] > 0.93
        assert there.score.dice_core > there.growth_score.dice_core + 0.1
        assert not there.density.u[~expected.brain].any()
    cells = [there.density.u.sum() * there.grid.voxel_ml for there in found]
    assert cells[0] == pytest.approx(cells[1], rel=0.02)
