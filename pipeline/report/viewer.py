"""Slices that a reader moves through: nilearn's viewer, one piece of HTML that loads nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas import Grid
from ...atlas.regions import corners_mm
from ...solver import TumorDensity
from ..images.nifti import Scan
from ..patient.patient import Patient
from .drawing import own_style
from .pictures import LEVELS, density_colours, white_level
from .planes import MARGIN_MM, centre_of

STEP_MM = 1.0
WIDTH = 960
"""Of the three planes side by side, in pixels of the page."""

STYLE = """
body { margin: 0; background: #000; color: #ddd; font: 13px system-ui, Arial, sans-serif; }
p { margin: .5rem 0 .5rem .75rem; }
canvas { display: block; }
"""

FIT = """
const fit = () => { frameElement.style.height = document.body.offsetHeight + "px"; };
if (window.frameElement) {
  new ResizeObserver(() => setTimeout(fit)).observe(document.body);
}
"""
"""Gives the frame in the report the height of what it holds."""


@own_style()
def view_density(patient: Patient, density: TumorDensity, levels: Sequence[float] = LEVELS) -> str:
    """HTML of three planes through a density on the registered image, moved by clicks.

    Both are sampled on a grid of 1 mm along the world's axes that holds the whole brain, so that
    oblique and anisotropic scans are shown as they lie. Radiological convention, as in `pictures`.

    Parameters
    ----------
    patient : Patient
    density : TumorDensity
        In the patient's world, on any grid.
    levels : sequence of float
        Rising densities that the colours tell; below the first nothing is shown.
    """
    from nilearn.plotting import view_img  # here: it looks for a backend that works

    grid = _upright_grid(patient.brain, patient.grid)
    top = white_level(patient.t1)
    background = np.clip(_sample(patient.t1, grid) / top, 0, 1)
    u = np.clip(_sample(Scan(density.u, density.grid), grid), 0, 1)
    view = view_img(
        nib.Nifti1Image(np.where(u > levels[0], u, 0), grid.affine),
        bg_img=nib.Nifti1Image(background, grid.affine),
        cut_coords=tuple(centre_of(patient.masks.whole, patient.grid)),
        threshold=levels[0],
        cmap=density_colours(levels),
        symmetric_cmap=False,
        vmin=0,
        vmax=1,
        black_bg=True,
        dim=0,
        annotate=True,
        radiological=True,
        resampling_interpolation="nearest",
        width_view=WIDTH,
        title="",
    )
    return _dressed(_mirrored(str(view.html), grid))


def _mirrored(html: str, grid: Grid) -> str:
    """Let the viewer's voxels run as its picture does.

    In radiological view nilearn mirrors the picture from left to right but neither the first slice
    nor the affine, so that the cross and the x it tells would be those of the other side.
    """
    call = re.search(r"brainsprite\((\{.*\})\);", html)
    if call is None:
        raise RuntimeError("nilearn's viewer is built otherwise than it was: check its version")
    settings = json.loads(call[1])
    n = grid.shape[0]
    settings["numSlice"]["X"] = n - 1 - settings["numSlice"]["X"]
    # The viewer counts slices from 1 when it tells where they are: x = low + step (n - i).
    low = grid.affine[0, 3]
    settings["affine"][0] = [-STEP_MM, 0.0, 0.0, float(low + n * STEP_MM)]
    return html[: call.start(1)] + json.dumps(settings) + html[call.end(1) :]


def _dressed(html: str) -> str:
    """Without nilearn's icon, which lies on another server, and in the report's clothes."""
    html = re.sub(r'<link rel="icon".*?/>', "", html, flags=re.DOTALL)
    dress = f"<style>{STYLE}</style>"
    return html.replace("</head>", f"{dress}</head>", 1).replace(
        "</body>", f"<script>{FIT}</script></body>", 1
    )


def _upright_grid(brain: NDArray[np.bool_], grid: Grid) -> Grid:
    world = corners_mm(brain, grid)
    low = np.floor(world.min(axis=0) - MARGIN_MM / 2)
    shape = np.ceil((world.max(axis=0) + MARGIN_MM / 2 - low) / STEP_MM).astype(int) + 1
    affine = np.diag([STEP_MM, STEP_MM, STEP_MM, 1.0])
    affine[:3, 3] = low
    nx, ny, nz = map(int, shape)
    return Grid((nx, ny, nz), affine)


def _sample(scan: Scan, grid: Grid) -> NDArray[np.float32]:
    voxels = np.linalg.inv(scan.grid.affine) @ grid.affine
    sampled: NDArray[np.float32] = ndimage.affine_transform(
        np.asarray(scan.values, np.float32), voxels, output_shape=grid.shape, order=1
    )
    return sampled
