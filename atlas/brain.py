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
from functools import cached_property
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

    The T1 is read when it is asked for: simulations do without its 36 MB.

    Attributes
    ----------
    t1_grid : Grid
        1 mm, RAS.
    wm, gm, csf : (128, 128, 128) float32 array
        Probabilities in [0, 1] of white matter, grey matter and cerebrospinal fluid on `grid`:
        means over the eight 1 mm voxels of each 2 mm voxel.
    grid : Grid
        The simulation grid, 2 mm, RAS.
    checksum : str
        SHA-256 over the shipped image files; two databases fit together only if it agrees.
    """

    t1_grid: Grid
    wm: NDArray[np.float32]
    gm: NDArray[np.float32]
    csf: NDArray[np.float32]
    grid: Grid
    checksum: str

    @cached_property
    def t1(self) -> NDArray[np.float32]:
        """Skull-stripped T1 (240, 240, 155) on `t1_grid`: intensities, 0 outside the brain."""
        return _read_only(_values("t1"))

    @cached_property
    def brain(self) -> NDArray[np.bool_]:
        """Voxels (128, 128, 128) of which at least half lies where `t1` is positive."""
        return _read_only(block_mean((self.t1 > 0).astype(np.float32)) >= 0.5)


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
    return {name: _values(name) for name in TISSUES}


@functools.cache
def load_atlas() -> Atlas:
    """Load the SRI24 atlas that ships with the package (about 1 s; cached, arrays read-only)."""
    wm, gm, csf = (_read_only(block_mean(_values(name))) for name in TISSUES)
    digest = hashlib.sha256()
    for name in ("t1", *TISSUES):
        digest.update(_file(name).read_bytes())
    t1 = nib.load(_file("t1"))
    return Atlas(
        t1_grid=Grid(t1.shape, t1.affine),
        wm=wm,
        gm=gm,
        csf=csf,
        grid=SIMULATION_GRID,
        checksum=digest.hexdigest(),
    )


def _file(name: str) -> Path:
    return FOLDER / f"{name}.nii.gz"


def _values(name: str) -> NDArray[np.float32]:
    return np.asarray(nib.load(_file(name)).dataobj, dtype=np.float32)


def _read_only(array: NDArray) -> NDArray:
    array.setflags(write=False)
    return array
