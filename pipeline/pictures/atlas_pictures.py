"""Pictures of the atlas: how a patient lies on it, and what a tumour in it looks like."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Atlas, load_atlas
from ...solver import TumorDensity, TumorMasks
from ..alignment.transform import AtlasTransform
from ..images.nifti import Scan
from ..patient.patient import Patient
from .drawing import own_style
from .panels import (
    CORE_COLOUR,
    LEVEL_COLOURS,
    LEVELS,
    add_contour,
    add_isolines,
    finish,
    level_lines,
    new_panels,
    show_plane,
    white_level,
)
from .planes import STEP_MM, Plane, centre_of, planes_through

BRAIN_COLOUR, TISSUE_COLOUR = "#ffd34d", "#35d0ff"
CHECKER_MM = 20.0


@own_style()
def draw_registration(
    patient: Patient,
    transform: AtlasTransform,
    masks: TumorMasks | None = None,
    atlas: Atlas | None = None,
) -> bytes:
    """Draw how the patient's brain lies on the atlas, in atlas space.

    Parameters
    ----------
    patient : Patient
    transform : AtlasTransform
    masks : TumorMasks, optional
        The patient's outlines on the atlas, if they have been carried there already.
    atlas : Atlas, optional

    Returns
    -------
    bytes
        A PNG of three rows: the atlas T1 with the patient's brain edge, the patient's T1 carried
        to the atlas with the atlas's brain and white-matter edges, a checkerboard of both.
    """
    atlas = load_atlas() if atlas is None else atlas
    masks = transform.masks_to_atlas(patient.masks, atlas.grid) if masks is None else masks
    brain = (patient.t1.values > 0).astype(np.float32)
    planes = planes_through(centre_of(masks.whole, masks.grid), atlas.t1 > 0, atlas.t1_grid)
    figure, axes = new_panels(3, planes)
    atlas_top, patient_top = white_level(Scan(atlas.t1, atlas.t1_grid)), white_level(patient.t1)
    atlas_brain = (atlas.t1 > 0).astype(np.float32)
    for column, plane in enumerate(planes):
        shape = plane.points_mm.shape[:2]
        flat = transform.patient_from_atlas(plane.points_mm.reshape(-1, 3))
        there = Plane(plane.name, flat.reshape(*shape, 3), plane.position_mm)
        fixed = plane.sample(atlas.t1, atlas.t1_grid) / atlas_top
        moved = there.sample(patient.t1.values, patient.grid) / patient_top
        for row, image in enumerate((fixed, moved, _checkerboard(fixed, moved))):
            show_plane(axes[row][column], image, 1.0, plane)
        moved_brain = there.sample(brain, patient.grid)
        add_contour(axes[0][column], moved_brain, BRAIN_COLOUR, 1.0)
        add_contour(axes[1][column], plane.sample(atlas_brain, atlas.t1_grid), BRAIN_COLOUR, 1.0)
        add_contour(axes[1][column], plane.sample(atlas.wm, atlas.grid), TISSUE_COLOUR, 0.6)
        for row in range(3):
            outlined = plane.sample(masks.whole, masks.grid)
            add_contour(axes[row][column], outlined, LEVEL_COLOURS[-1], 0.9)
    for row, label in enumerate(("atlas", "patient on atlas", "checkerboard")):
        axes[row][0].set_ylabel(label)
    lines = [
        ("brain edge of the other image", BRAIN_COLOUR),
        ("white-matter edge of the atlas", TISSUE_COLOUR),
        ("outlined whole tumour (left out of the metric)", LEVEL_COLOURS[-1]),
    ]
    return finish(figure, lines)


@own_style()
def draw_on_atlas(
    atlas: Atlas, density: TumorDensity | None = None, *, centre: TumorDensity | None = None
) -> bytes:
    """Draw the atlas: T1 and tissue edges, or the isolines of a density on the T1, as PNG.

    The planes go through the middle of the density, or of `centre` where that is given.

    Parameters
    ----------
    atlas : Atlas
    density : TumorDensity, optional
        On the atlas; by default the tissue is drawn.
    centre : TumorDensity, optional
        Where the planes lie.

    Returns
    -------
    bytes
        A PNG.
    """
    scan = Scan(atlas.t1, atlas.t1_grid)
    middle = density if centre is None else centre
    seen = atlas.brain if middle is None else middle.u >= min(LEVELS[2], middle.u.max())
    planes = planes_through(centre_of(seen, atlas.grid), atlas.t1 > 0, atlas.t1_grid)
    figure, axes = new_panels(1, planes)
    for axis, plane in zip(axes[0], planes, strict=True):
        show_plane(axis, plane.sample(scan.values, scan.grid), white_level(scan), plane)
        if density is None:
            add_contour(axis, plane.sample(atlas.wm, atlas.grid), TISSUE_COLOUR, 0.8)
            add_contour(axis, plane.sample(atlas.csf, atlas.grid), CORE_COLOUR, 0.8)
            continue
        u = plane.sample(density.u, density.grid)
        add_isolines(axis, u, LEVELS, 1.1)
    lines = [("white matter", TISSUE_COLOUR), ("cerebrospinal fluid", CORE_COLOUR)]
    if density is not None:
        lines = level_lines(LEVELS)
    return finish(figure, lines)


def _checkerboard(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    square = int(CHECKER_MM / STEP_MM)
    rows, columns = np.indices(a.shape) // square
    return np.where((rows + columns) % 2 == 0, a, b)
