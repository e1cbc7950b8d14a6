"""The atlas: T1 at 1 mm, tissue probabilities on the 2 mm simulation grid.

It is SRI24, which ships with the package, or another brain in SRI24's frame: the environment
variable GLIOQUERY_ATLAS names a folder with the same four files (see `sri24/README.md`). A database
records its atlas's checksum and cannot be read with another atlas.

References
----------
T. Rohlfing, N. M. Zahr, E. V. Sullivan, A. Pfefferbaum, "The SRI24 multichannel atlas of normal
adult human brain structure", Human Brain Mapping 31(5):798-819, 2010. CC BY-SA 3.0.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from .grid import SIMULATION_GRID, Grid
from .regions import mean_of_blocks

FOLDER = Path(__file__).parent / "sri24"
ATLAS_VARIABLE = "GLIOQUERY_ATLAS"
"""Variable of the environment that names the folder of another atlas."""

TISSUES = ("wm", "gm", "csf")
FRAME = Grid(
    (240, 240, 155), np.array([[1, 0, 0, -239], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
)
"""SRI24's voxels, 1 mm, RAS: what the simulation grid is made of."""

SRI24_SHA256 = "5963977375617f8c47109a0e2c8ee8316205717eaf0ba44bbcbef6821e707b45"
"""`Atlas.checksum` of SRI24 as it comes with the package; its licence is that of this content."""

PADDING = ((8, 8), (8, 8), (50, 51))
"""1 mm voxels added before and after each axis of SRI24 to make the 256 mm simulation cube."""


@dataclass(frozen=True, eq=False)
class Atlas:
    """The standard brain in which tumours are simulated.

    The T1 is read on first use: simulations do not need its 36 MB.

    Attributes
    ----------
    folder : Path
        Where its files lie.
    t1_grid : Grid
        1 mm, RAS.
    wm, gm, csf : (128, 128, 128) float32 array
        Probabilities in [0, 1] of white matter, grey matter and cerebrospinal fluid on `grid`:
        means over the eight 1 mm voxels of each 2 mm voxel.
    grid : Grid
        The simulation grid, 2 mm, RAS.
    checksum : str
        SHA-256 over the image files; two databases fit together only if it agrees.
    """

    folder: Path
    t1_grid: Grid
    wm: NDArray[np.float32]
    gm: NDArray[np.float32]
    csf: NDArray[np.float32]
    grid: Grid
    checksum: str

    @cached_property
    def t1(self) -> NDArray[np.float32]:
        """Skull-stripped T1 (240, 240, 155) on `t1_grid`: intensities, 0 outside the brain."""
        return _read_only(_values(self.folder, "t1"))

    @property
    def name(self) -> str:
        """SRI24, or what the folder of another atlas is called; see `atlas_name`."""
        return atlas_name(self.folder)

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
    return mean_of_blocks(np.pad(image, PADDING), (2, 2, 2))


def load_probabilities() -> dict[str, NDArray[np.float32]]:
    """Tissue probabilities at 1 mm, on `Atlas.t1_grid`.

    Returns
    -------
    dict of (240, 240, 155) float32 array
        Under 'wm', 'gm' and 'csf', values in [0, 1].
    """
    folder = atlas_folder()
    return {name: _values(folder, name) for name in TISSUES}


def atlas_folder() -> Path:
    """Where the files of the atlas in use lie.

    Returns
    -------
    Path
        The package's own folder, or the one that `ATLAS_VARIABLE` names.
    """
    return Path(os.environ.get(ATLAS_VARIABLE) or FOLDER).absolute()


def atlas_name(folder: Path) -> str:
    """SRI24, wherever its files lie, or what the folder of another atlas is called.

    Parameters
    ----------
    folder : Path
        As `atlas_folder` gives it.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If one of its files is missing.
    """
    if _checksum(folder) == SRI24_SHA256:
        return "SRI24"
    name = folder.resolve().name
    return f"{name}, altered" if name == "SRI24" else name  # which has another licence


def atlas_checksum() -> str:
    """SHA-256 over the image files of the atlas in use, without reading the images.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    InputError
        If one of them is missing.
    """
    return _checksum(atlas_folder())


def load_atlas() -> Atlas:
    """Load the atlas in use (about 1 s; cached, arrays read-only).

    Returns
    -------
    Atlas

    Raises
    ------
    InputError
        If a file is missing or damaged, lies in another frame than SRI24's, or holds no tissue
        probabilities.
    """
    return _load(atlas_folder())


@functools.cache
def _load(folder: Path) -> Atlas:
    checksum = _checksum(folder)
    wm, gm, csf = (_read_only(block_mean(_probabilities(folder, name))) for name in TISSUES)
    return Atlas(folder, _grid(folder, "t1"), wm, gm, csf, SIMULATION_GRID, checksum)


@functools.cache
def _checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in ("t1", *TISSUES):
        try:
            digest.update(_file(folder, name).read_bytes())
        except OSError as error:
            raise InputError(
                f"{ATLAS_VARIABLE}: an atlas is a folder with t1, wm, gm and csf.nii.gz, "
                f"{_file(folder, name)} cannot be read ({error.strerror})"
            ) from None
    return digest.hexdigest()


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.nii.gz"


def _image(folder: Path, name: str) -> Any:
    import nibabel as nib  # here: who only wants grids can spare it

    with _damage_told(folder, name):
        return nib.load(_file(folder, name))


@contextlib.contextmanager
def _damage_told(folder: Path, name: str) -> Iterator[None]:
    """Say of a file that cannot be read that it cannot."""
    try:
        yield
    except Exception as error:  # nibabel, gzip and NumPy have many for it
        raise InputError(
            f"{ATLAS_VARIABLE}: {_file(folder, name)} is missing or no NIfTI image, or damaged "
            f"({error}): put it there again"
        ) from None


def _grid(folder: Path, name: str) -> Grid:
    image = _image(folder, name)
    try:
        grid = Grid(image.shape, image.affine)
    except InputError as error:
        raise InputError(f"{ATLAS_VARIABLE}: {_file(folder, name)}: {error}") from None
    if grid != FRAME:
        raise InputError(
            f"{_file(folder, name)}: expected SRI24's frame, {FRAME}, got {grid}; register the "
            "atlas to SRI24 and resample it"
        )
    return grid


def _values(folder: Path, name: str) -> NDArray[np.float32]:
    image = _image(folder, name)
    with _damage_told(folder, name):
        return np.asarray(image.dataobj, dtype=np.float32)


def _probabilities(folder: Path, name: str) -> NDArray[np.float32]:
    _grid(folder, name)
    values = _values(folder, name)
    if not (values.min() >= 0 and 0.5 <= values.max() <= 1):
        raise InputError(
            f"{_file(folder, name)}: expected probabilities from 0 to 1, got values from "
            f"{values.min():g} to {values.max():g}"
        )
    return values


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.setflags(write=False)
    return array
