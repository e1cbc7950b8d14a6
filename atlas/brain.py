"""The SRI24 atlas: T1 at 1 mm, tissue probabilities on the 2 mm simulation grid.

References
----------
T. Rohlfing, N. M. Zahr, E. V. Sullivan, A. Pfefferbaum, "The SRI24 multichannel atlas of normal
adult human brain structure", Human Brain Mapping 31(5):798-819, 2010. CC BY-SA 3.0.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from .grid import SIMULATION_GRID, Grid

FOLDER = Path(__file__).parent / "sri24"
TISSUES = ("wm", "gm", "csf")
PADDING = ((8, 8), (8, 8), (50, 51))
"""1 mm voxels added before and after each axis of SRI24 to make the 256 mm simulation cube."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """The standard brain in which tumours are simulated.

    Attributes
    ----------
    t1 : (240, 240, 155) float32 array
        Skull-stripped T1-weighted intensities, 0 outside the brain, on `t1_grid`.
    t1_grid : Grid
        1 mm, RAS.
    wm, gm, csf : (128, 128, 128) float32 array
        Probabilities in [0, 1] of white matter, grey matter and cerebrospinal fluid on `grid`:
        means over the eight 1 mm voxels of each 2 mm voxel.
    brain : (128, 128, 128) bool array
        Voxels of which at least half lies where `t1` is positive.
    grid : Grid
        The simulation grid, 2 mm, RAS.
    checksum : str
        SHA-256 over the shipped image files; two databases fit together only if it agrees.
    """

    t1: NDArray[np.float32]
    t1_grid: Grid
    wm: NDArray[np.float32]
    gm: NDArray[np.float32]
    csf: NDArray[np.float32]
    brain: NDArray[np.bool_]
    grid: Grid
    checksum: str


def block_mean(image: NDArray[np.floating]) -> NDArray[np.float32]:
    """Bring an image on SRI24's 1 mm RAS grid to the simulation grid, volume conserved.

    Parameters
    ----------
    image : (240, 240, 155) array
        Zero-extended into the 256 mm cube.

    Returns
    -------
    (128, 128, 128) float32 array
        Mean over the 2 x 2 x 2 voxels of 1 mm in each voxel of 2 mm.
    """
    cube = np.pad(image, PADDING)
    n = [size // 2 for size in cube.shape]
    blocks = cube.reshape(n[0], 2, n[1], 2, n[2], 2)
    return blocks.mean(axis=(1, 3, 5), dtype=np.float64).astype(np.float32)


def load_probabilities() -> dict[str, NDArray[np.float32]]:
    """Tissue probabilities at 1 mm, on `Atlas.t1_grid`.

    Returns
    -------
    dict of (240, 240, 155) float32 array
        Under 'wm', 'gm' and 'csf', values in [0, 1].
    """
    return {name: _load(name)[0] for name in TISSUES}


@functools.cache
def load_atlas() -> Atlas:
    """Load the SRI24 atlas that ships with the package (about 1 s; cached, arrays read-only)."""
    t1, t1_grid = _load("t1")
    wm, gm, csf = (block_mean(_load(name)[0]) for name in TISSUES)
    brain = block_mean((t1 > 0).astype(np.float32)) >= 0.5
    for array in (t1, wm, gm, csf, brain):
        array.setflags(write=False)
    digest = hashlib.sha256()
    for name in ("t1", *TISSUES):
        digest.update(_file(name).read_bytes())
    return Atlas(
        t1=t1,
        t1_grid=t1_grid,
        wm=wm,
        gm=gm,
        csf=csf,
        brain=brain,
        grid=SIMULATION_GRID,
        checksum=digest.hexdigest(),
    )


def _file(name: str) -> Path:
    return FOLDER / f"{name}.nii.gz"


def _load(name: str) -> tuple[NDArray[np.float32], Grid]:
    image = nib.load(_file(name))
    return np.asarray(image.dataobj, dtype=np.float32), Grid(image.shape, image.affine)
