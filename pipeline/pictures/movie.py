"""The growth of a tumour as an animated GIF."""

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
    on_grid,
    simulate,
)
from .atlas_pictures import draw_on_atlas

FRAMES = 24
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
    palette = frames[-1].convert("RGB").quantize(128)
    images = [f.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE) for f in frames]
    stream = io.BytesIO()
    images[0].save(
        stream,
        format="gif",
        save_all=True,
        append_images=images[1:],
        duration=[FRAME_MS] * (len(images) - 1) + [LAST_FRAME_MS],
        loop=0,
    )
    return stream.getvalue()
