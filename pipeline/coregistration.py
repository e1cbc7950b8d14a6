"""Bringing a patient's own images together, rigidly.

Images of one head differ by where it lay: x_fixed = R x_moving. R goes into the moving image's
affine, so that nothing is resampled here: whatever looks an image up later does so once, through
the whole chain.

Contrasts differ from image to image, hence mutual information, computed by one thread: its
histograms are then summed in one order, and a result depends on nothing but its input and seed.

References
----------
D. Mattes, D. R. Haynor, H. Vesselle, T. K. Lewellen, W. Eubank, "PET-CT image registration in the
chest using free-form deformations", IEEE Transactions on Medical Imaging 22(1):120-128, 2003.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..atlas import Grid
from ..dbgen.files import scratch_folder
from .ants_worker import run_registration
from .brain import find_pose, make_brainlike
from .foreground import foreground, shows_head
from .nifti import Scan
from .resampling import even_out
from .transform import inverse, read_itk_affine, write_itk_affine

SPACING_MM = 2.0
"""At which images are compared; a rigid motion needs no finer one."""

SCHEDULE = ("-c", "[200x100x20,1e-6,10]", "-s", "2x1x0", "-f", "4x2x1")
SAMPLING = "32,Regular,0.25"
"""Histogram bins and the share of voxels that is looked at."""

MIN_OVERLAP = 0.6
"""Dice of the two foregrounds from which on the headers' frames are believed as a start; below,
the centres of mass are."""

SURFACE_MM = 4.0
"""Around a stripped brain, whose surface is information too."""

BINS = 32


def align(moving: Scan, fixed: Scan, *, seed: int = 1) -> NDArray[np.float64]:
    """Find the rigid motion that lays one image of a head on another (5-10 s).

    Parameters
    ----------
    moving, fixed : Scan
        Of one patient, of any contrast and grid, with skull or without.
    seed : int
        Of ANTs' random sampling.

    Returns
    -------
    (4, 4) float array
        R, from the moving image's world to the fixed one's.

    Raises
    ------
    RegistrationError
        If ANTs fails.
    """
    heads = shows_head(moving), shows_head(fixed)
    if heads == (False, True):
        start = find_pose(make_brainlike(fixed), moving)
        return _improve(fixed, moving, start, seed, mask=True)
    if heads == (True, False):
        start = find_pose(make_brainlike(moving), fixed)
        return inverse(_improve(moving, fixed, start, seed, mask=True))
    return inverse(_improve(moving, fixed, _guess(moving, fixed), seed, mask=False))


def move(grid: Grid, motion: NDArray[np.float64]) -> Grid:
    """Voxels of a grid in another world: the motion enters the affine."""
    return Grid(grid.shape, motion @ grid.affine)


def measure_agreement(a: Scan, b: Scan) -> float:
    """Normalised mutual information of two images that share a world, 0 (none) to 1 (all).

    (H(a) + H(b)) / H(a, b) - 1, over the points where both have foreground; 0 where there are
    none.

    References
    ----------
    C. Studholme, D. L. G. Hill, D. J. Hawkes, "An overlap invariant entropy measure of 3D medical
    image alignment", Pattern Recognition 32(1):71-86, 1999.
    """
    x, y = even_out(a, SPACING_MM), even_out(b, SPACING_MM)
    at = y.grid.to_voxel(x.grid.to_world(np.argwhere(foreground(x.values)))).T
    both = ndimage.map_coordinates(foreground(y.values).astype(np.float32), at, order=1) > 0.5
    if not both.any():
        return 0.0
    ours = _binned(x.values[foreground(x.values)][both])
    theirs = _binned(ndimage.map_coordinates(y.values, at[:, both], order=1))
    joint = np.bincount(ours * BINS + theirs, minlength=BINS**2).reshape(BINS, BINS) / both.sum()
    h_a, h_b, h_ab = (_entropy(p) for p in (joint.sum(axis=0), joint.sum(axis=1), joint))
    return float((h_a + h_b) / h_ab - 1) if h_ab > 0 else 0.0


def _binned(values: NDArray[np.floating]) -> NDArray[np.intp]:
    top = max(float(np.percentile(values, 99)), 1e-9)
    return np.minimum(np.clip(values / top, 0, 1) * BINS, BINS - 1).astype(np.intp)


def _entropy(p: NDArray[np.float64]) -> float:
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


def _guess(moving: Scan, fixed: Scan) -> NDArray[np.float64]:
    """Where the search begins: fixed world to moving world by the headers or the centres."""
    one, other = even_out(fixed, 2 * SPACING_MM), even_out(moving, 2 * SPACING_MM)
    ours, theirs = foreground(one.values), foreground(other.values)
    points = one.grid.to_world(np.argwhere(ours))
    at = other.grid.to_voxel(points).T
    both = ndimage.map_coordinates(theirs.astype(np.float32), at, order=0).sum()
    volumes = ours.sum() * one.grid.voxel_ml, theirs.sum() * other.grid.voxel_ml
    start = np.eye(4)
    if 2 * both * one.grid.voxel_ml < MIN_OVERLAP * sum(volumes):
        start[:3, 3] = other.grid.to_world(np.argwhere(theirs)).mean(axis=0) - points.mean(axis=0)
    return start


def _improve(
    moving: Scan, fixed: Scan, start: NDArray[np.float64], seed: int, *, mask: bool
) -> NDArray[np.float64]:
    """From a start, the motion from the fixed world to the moving one."""
    images = {"fixed": _prepare(fixed), "moving": _prepare(moving)}
    arguments = ["-d", "3", "-o", "[{out}]", "-r", "[{out}start.mat]"]
    arguments += ["-m", f"Mattes[{{fixed}},{{moving}},1,{SAMPLING}]", "-t", "Rigid[0.1]", *SCHEDULE]
    if mask:
        even = images["fixed"]
        outside = ndimage.distance_transform_edt(~foreground(even.values), even.grid.spacing_mm)
        images["near"] = Scan((outside <= SURFACE_MM).astype(np.float32), even.grid)
        arguments += ["-x", "[{near},NA]"]
    arguments += ["--random-seed", str(seed), "--float", "1", "-u", "0", "-z", "1"]
    with scratch_folder() as folder:
        write_itk_affine(folder / "start.mat", start)
        run_registration(folder, images, arguments, n_threads=1)
        return read_itk_affine(folder / "0GenericAffine.mat")


def _prepare(scan: Scan) -> Scan:
    """Even voxels, the brightest percent cut off."""
    even = even_out(scan, SPACING_MM)
    top = np.percentile(even.values[even.values > 0], 99)
    return Scan(np.clip(even.values / top, 0, 1).astype(np.float32), even.grid)
