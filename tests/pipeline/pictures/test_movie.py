"""The growth of a tumour in a patient, as an animated picture."""

import io

import numpy as np
from PIL import Image

from glioquery.atlas import Grid
from glioquery.pipeline.alignment.transform import AtlasTransform
from glioquery.pipeline.images.nifti import Scan
from glioquery.pipeline.images.point_map import SAME_WORLD
from glioquery.pipeline.patient.patient import Patient
from glioquery.pipeline.pictures.movie import draw_patient_movie
from glioquery.solver import TumorDensity, TumorMasks

GRID = Grid((40, 40, 40), np.diag([2.0, 2.0, 2.0, 1.0]))


def ball(radius_mm, centre=20):
    away = np.sqrt(((np.indices(GRID.shape) - centre) ** 2).sum(axis=0)) * 2.0
    return away < radius_mm


def frames_of(densities, map_=SAME_WORLD):
    patient = Patient(
        Scan(100 * ball(38).astype(np.float32), GRID), "t1",
        TumorMasks(ball(8), ball(14), GRID), None, None, {}, (),
    )  # fmt: skip
    days = [(f"day {i}", density) for i, density in enumerate(densities)]
    movie = Image.open(io.BytesIO(draw_patient_movie(patient, days, map_)))
    assert movie.format == "PNG" and movie.n_frames == len(days)
    pictures = []
    for i in range(movie.n_frames):
        movie.seek(i)
        pictures.append(np.asarray(movie.convert("RGB"), int))
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
