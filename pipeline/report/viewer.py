"""A viewer of slices: nilearn's, one piece of HTML that loads nothing.

In radiological view nilearn 0.14 mirrors the picture from left to right, but neither the first
slice nor the affine: cross and x are those of the other side. Both are mended here. Any other
version of the viewer is refused, because it might show the wrong side.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas import Grid
from ...atlas.regions import corners_mm
from ...errors import FailedError
from ...solver import TumorDensity
from ..ahead import ahead
from ..images.nifti import Scan
from ..patient.patient import Patient
from ..pictures.drawing import own_style
from ..pictures.panels import LEVELS, density_colours, white_level
from ..pictures.planes import MARGIN_MM, centre_of

STEP_MM = 1.0
WIDTH = 960
"""Width of the three planes side by side, in pixels of the page."""

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
"""Script that gives the report's frame the height of its content."""


@own_style()
def view_density(patient: Patient, density: TumorDensity, levels: Sequence[float] = LEVELS) -> str:
    """HTML of three planes through a density on the registered image, moved by clicks.

    Both are sampled on a grid of 1 mm along the world's axes that holds the whole brain, so that
    oblique and anisotropic scans are shown upright. Radiological convention, as in `pictures`.

    Parameters
    ----------
    patient : Patient
    density : TumorDensity
        In the patient's world, on any grid.
    levels : sequence of float
        Rising densities that the colours show; below the first nothing is shown.

    Returns
    -------
    str
        A piece of a page, with its script.

    Raises
    ------
    FailedError
        If nilearn builds its viewer in an unknown way.
    """
    from nilearn.plotting import view_img  # here: it looks for a backend that works

    grid = _upright_grid(patient.brain, patient.grid)
    centre = centre_of(patient.masks.whole, patient.grid)
    scans = (patient.t1, Scan(density.u, density.grid))
    with ThreadPoolExecutor(2) as pool:
        shown, u = pool.map(lambda scan: _sample(scan, grid), scans)
    background = np.clip(shown / white_level(patient.t1), 0, 1)
    u = np.clip(u, 0, 1)
    view = view_img(
        nib.Nifti1Image(np.where(u > levels[0], u, 0), grid.affine),
        bg_img=nib.Nifti1Image(background, grid.affine),
        cut_coords=tuple(centre),
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
    first = round(float(grid.to_voxel(centre)[0]))
    return _dressed(_radiological(str(view.html), grid, first))


def load_viewer() -> threading.Thread:
    """Import nilearn in a thread, beside work that waits for another process (1 s of a processor).

    Returns
    -------
    Thread
        At work; nobody need wait for it.
    """

    def load() -> None:
        with own_style():
            import nilearn.plotting  # noqa: F401

    return ahead(load)


def _radiological(html: str, grid: Grid, first: int) -> str:
    """The viewer with first slice and affine of its mirrored picture.

    Parameters
    ----------
    html : str
    grid : Grid
        Grid of the shown images.
    first : int
        Voxel along x of the first slice that is shown.
    """
    call = re.search(r"brainsprite\((\{.*\})\);", html)
    if call is None:
        raise _unknown("calls no brainsprite")
    try:
        settings: dict[str, Any] = json.loads(call[1])
        shown, along_x = settings["numSlice"]["X"], settings["affine"][0]
        # The viewer counts slices from 1 when it tells where they are.
        told = [along_x[0] * (i + 1) + along_x[3] for i in (0, grid.shape[0] - 1)]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise _unknown(f"has other settings ({error!r})") from error
    off, off_mirrored = abs(shown - first), abs(shown - (grid.shape[0] - 1 - first))
    if min(off, off_mirrored) > 1:
        raise _unknown(f"begins at slice {shown} of {grid.shape[0]}")
    if off < off_mirrored:
        settings["numSlice"]["X"] = grid.shape[0] - 1 - shown
    low, high = (float(grid.affine[0, 3]) + STEP_MM * i for i in (0, grid.shape[0] - 1))
    if not np.allclose(told, (high, low), rtol=0, atol=STEP_MM):
        if not np.allclose(told, (low, high), rtol=0, atol=STEP_MM):
            raise _unknown(f"tells x from {told[0]:g} to {told[1]:g} mm")
        settings["affine"][0] = [-STEP_MM, 0.0, 0.0, high + STEP_MM]
    return html[: call.start(1)] + json.dumps(settings) + html[call.end(1) :]


def _unknown(what: str) -> FailedError:
    return FailedError(
        f"the viewer of nilearn {version('nilearn')} {what}, unlike that of 0.14: install "
        "`nilearn>=0.14.1,<0.15`"
    )


def _dressed(html: str) -> str:
    """The viewer in the report's style, without nilearn's icon, which lies on another server."""
    html = re.sub(r'<link rel="icon".*?/>', "", html, flags=re.DOTALL)
    loaded = re.search(r"<(?:link|script|img|iframe)\b[^>]*(?:src|href)=[\"']?(?:https?:)?//", html)
    if loaded is not None:
        raise _unknown("loads from another server")
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
