"""The growth of a tumour in a patient, as an animated picture."""

import io

import numpy as np
from PIL import Image

from glioquery.atlas import Grid
from glioquery.pipeline.alignment.transform import AtlasTransform
from glioquery.pipeline.images.nifti import Scan
from glioquery.pipeline.images.point_map import SAME_WORLD
from glioquery.pipeline.patient.patient import Patient
from glioquery.pipeline.pictures import movie
from glioquery.pipeline.pictures.atlas_pictures import draw_on_atlas
from glioquery.pipeline.pictures.movie import draw_movie, draw_patient_movie
from glioquery.solver import GrowthParameters, TumorDensity, TumorMasks, on_grid, simulate

GRID = Grid((40, 40, 40), np.diag([2.0, 2.0, 2.0, 1.0]))


def ball(radius_mm, centre=20):
    away = np.sqrt(((np.indices(GRID.shape) - centre) ** 2).sum(axis=0)) * 2.0
    return away < radius_mm


def read(content, kind):
    """Frames of a movie, (height, width, 3), and how many ms each is shown."""
    shown, pictures, times_ms = Image.open(io.BytesIO(content)), [], []
    assert shown.format == kind and shown.info["loop"] == 0
    for i in range(shown.n_frames):
        shown.seek(i)
        pictures.append(np.asarray(shown.convert("RGB"), int))
        times_ms.append(shown.info["duration"])
    return pictures, times_ms


def frames_of(densities, map_=SAME_WORLD):
    patient = Patient(
        Scan(100 * ball(38).astype(np.float32), GRID), "t1",
        TumorMasks(ball(8), ball(14), GRID), None, None, {}, (),
    )  # fmt: skip
    days = [(f"day {i}", density) for i, density in enumerate(densities)]
    pictures, _ = read(draw_patient_movie(patient, days, map_), "PNG")
    assert len(pictures) == len(days)
    return pictures


def warm(picture):
    """Where an isoline is drawn."""
    return (picture[..., 0] - picture[..., 2]) > 60


def test_each_frame_shows_the_growth_of_its_day():
    small, large = (TumorDensity(0.9 * ball(r).astype(np.float32), GRID) for r in (10, 30))
    first, last = frames_of([small, large])
    assert 0 < warm(first).sum() < 0.6 * warm(last).sum()


def test_the_growth_is_shown_where_the_patient_has_it():
    growth = TumorDensity(0.9 * ball(10).astype(np.float32), GRID)
    motion = np.eye(4)
    motion[0, 3] = -12.0  # the atlas lies to the right of the patient
    there = AtlasTransform.linear(motion).to_patient
    middles = [
        np.argwhere(warm(frames_of([growth, growth], map_)[0])).mean(axis=0)
        for map_ in (SAME_WORLD, there)
    ]
    moved = middles[1] - middles[0]
    assert abs(moved[0]) < 3 and moved[1] > 20  # the patient's left is on the right


def test_a_growth_on_the_atlas_is_shown_at_equal_steps_of_time(atlas, tissue, monkeypatch):
    monkeypatch.setattr(movie, "FRAMES", 3)
    growth = GrowthParameters((-85.0, 125.0, 85.0), 0.2, 0.1, 90.0)
    frames, times_ms = read(draw_movie(atlas, growth), "GIF")
    assert times_ms == [150, 150, 1500]
    run = simulate(tissue, growth, snapshot_days=[30.0, 60.0, 90.0])
    densities = [on_grid(tissue, snapshot.u) for snapshot in run.snapshots]
    drawn = [draw_on_atlas(atlas, density, centre=densities[-1]) for density in densities]
    expected = [np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int) for png in drawn]
    apart = [[np.abs(frame - picture).mean() for picture in expected] for frame in frames]
    np.testing.assert_array_equal(np.argmin(apart, axis=1), range(3))
    assert np.diag(apart).max() < 2  # of 255: a GIF has few colours
