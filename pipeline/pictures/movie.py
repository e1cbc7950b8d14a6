"""The growth of a tumour as a movie: on the atlas a GIF, in a patient an animated PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from ...atlas import Atlas
from ...solver import (
    FisherKolmogorov,
    GrowthModel,
    GrowthParameters,
    Tissue,
    Treatment,
    TumorDensity,
    on_grid,
    simulate,
)
from ..images.point_map import PointMap
from ..patient.patient import Patient
from .atlas_pictures import draw_on_atlas
from .drawing import new_figure, own_style, png_of
from .panels import LEVELS, add_isolines, show_plane, white_level
from .planes import Plane, tumour_planes

FRAMES = 24
PATIENT_FRAMES = 16
PATIENT_INCHES = 2.4
FRAME_MS = 150
LAST_FRAME_MS = 1500


def draw_movie(
    atlas: Atlas,
    parameters: GrowthParameters,
    *,
    model: GrowthModel = FisherKolmogorov(),
    treatments: Sequence[Treatment] = (),
) -> bytes:
    """Draw isolines on the atlas T1, at equal steps of time, as an animated GIF.

    Parameters
    ----------
    atlas : Atlas
    parameters : GrowthParameters
        The tumour to grow.
    model : GrowthModel
    treatments : sequence of Treatment
        On days since the seed.

    Returns
    -------
    bytes
        A GIF.
    """
    tissue = Tissue.from_atlas(atlas)
    times = np.linspace(0, parameters.days, FRAMES + 1)[1:]
    run = simulate(
        tissue, parameters, model=model, snapshot_days=times.tolist(), treatments=treatments
    )
    final = on_grid(tissue, run.final.u)
    frames = [
        Image.open(io.BytesIO(draw_on_atlas(atlas, on_grid(tissue, s.u), centre=final)))
        for s in run.snapshots
    ]
    return _movie(frames, "gif")


@own_style()
def draw_patient_movie(
    patient: Patient,
    days: Sequence[tuple[str, TumorDensity]],
    map_: PointMap,
) -> bytes:
    """Draw isolines of a growth on the axial slice of a patient's T1, small, day after day.

    Parameters
    ----------
    patient : Patient
    days : sequence of (str, TumorDensity)
        What each frame is called, and the density then, in the world that the growth is in.
    map_ : PointMap
        From the patient's world to that one.

    Returns
    -------
    bytes
        An animated PNG, which programs without movies show as its first frame.
    """
    plane = tumour_planes(patient)[0]
    height, width = plane.points_mm.shape[:2]
    flat = map_.points(plane.points_mm.reshape(-1, 3))
    there = Plane(plane.name, flat.reshape(height, width, 3), plane.position_mm)
    background, top = plane.sample(patient.t1.values, patient.grid), white_level(patient.t1)
    frames = []
    for name, density in days:
        figure = new_figure(PATIENT_INCHES * width / height, PATIENT_INCHES)
        axis = figure.add_axes((0, 0, 1, 1))
        show_plane(axis, background, top, plane)
        add_isolines(axis, there.sample(density.u, density.grid), LEVELS, 0.8)
        axis.text(0.97, 0.03, name, transform=axis.transAxes, color="white", fontsize=8, ha="right")
        frames.append(Image.open(io.BytesIO(png_of(figure))))
    return _movie(frames, "png")


def _movie(frames: Sequence[Image.Image], kind: str) -> bytes:
    """Frames that follow each other in one palette, the last one longer."""
    palette = frames[-1].convert("RGB").quantize(128)
    images = [f.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE) for f in frames]
    stream = io.BytesIO()
    images[0].save(
        stream,
        format=kind,
        save_all=True,
        append_images=images[1:],
        duration=[FRAME_MS] * (len(images) - 1) + [LAST_FRAME_MS],
        loop=0,
    )
    return stream.getvalue()
