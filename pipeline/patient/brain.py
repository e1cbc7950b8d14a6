"""Find the brain in a head with its skull by the atlas.

First the head is made to look like a brain alone: its bias field is taken out, and fat, on a T1
far brighter than white matter, becomes as dark as bone. A stripped brain, the atlas's or the same
person's, is then laid into it by correlation, from many poses. The brain counts, and a shell around
it, which is dark on a stripped image and also in the head, where it is fluid and bone.

The atlas's brain is then bent into place (affine, SyN), and the tissue inside its outline is the
head's brain. A learned extraction does better: see `learned_brain`, or give its mask.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas import load_atlas
from ...atlas.regions import largest_component, without_holes
from ..alignment.ants_worker import correct_bias
from ..alignment.comparison import SHELL_MM
from ..alignment.linear import find_pose, fit_linear
from ..alignment.syn import bend
from ..alignment.transform import AtlasTransform
from ..images.coarsening import coarsen, even_out, in_lps
from ..images.foreground import foreground
from ..images.nifti import Scan
from ..images.resampling import resample_image

WARP_MM = 3.0
"""Resolution of the registrations."""

DEEP_MM = 25.0
"""Depth below the skin from which on a head is mostly brain."""

FAT = 1.6
"""Intensity, in units of the head's deep inside, from which on a voxel is too bright for the
brain."""

TISSUE = 0.6
"""Intensity, in the same units, from which on a voxel is tissue instead of fluid or bone."""

BRIDGE_MM = 6.0
"""Thickness below which bright structures (dura, vessels, marrow) are cut off the brain."""

SYN_STAGE = (
    *("-m", "CC[{fixed},{moving},1,2]", "-t", "SyN[0.2,3,0]"),
    *("-c", "[40x20,1e-6,8]", "-s", "1x0", "-f", "2x1", "-x", "[{near},NA]"),
)

SEED = 1
"""Seed of ANTs' random sampling."""


def extract_brain(head: Scan) -> NDArray[np.bool_]:
    """Find the brain in a T1-weighted image of a whole head by the atlas (15-20 s on two cores).

    Parameters
    ----------
    head : Scan
        With or without contrast, any grid.

    Returns
    -------
    bool array of the head's shape

    Raises
    ------
    RegistrationError
        If ANTs fails.
    """
    atlas = load_atlas()
    alike = make_brainlike(head)
    template = Scan(atlas.t1, atlas.t1_grid)
    transform = _warp(alike, template)
    brain = without_holes(atlas.t1 > 0).astype(np.float32)
    prior = transform.image_to_patient(Scan(brain, atlas.t1_grid), alike.grid).values >= 0.5
    found = Scan(_cut(alike, prior).astype(np.float32), alike.grid)
    return resample_image(found, head.grid).values >= 0.5


def make_brainlike(head: Scan) -> Scan:
    """Intensities of about 1 where a brain may lie and 0 in fat, on voxels of `WARP_MM`."""
    even = in_lps(even_out(head, WARP_MM))  # N4 leaves voxels out along an array's axes
    shown = foreground(even.values)
    values = correct_bias(even, shown).values
    depth = ndimage.distance_transform_edt(shown, even.grid.spacing_mm)
    values = values / np.median(values[depth > min(DEEP_MM, 0.8 * depth.max())])
    fat = ndimage.binary_dilation(values > FAT)
    return Scan(np.where(fat, 0, np.clip(values, 0, FAT)).astype(np.float32), even.grid)


def _cut(alike: Scan, prior: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Part the brain from what touches it, inside the outline that came from the atlas.

    The brain is the connected region of its brightness that remains once everything thinner than
    `BRIDGE_MM` is worn off on either side. Sulci and ventricles are then closed over and added.
    """

    def grow(mask: NDArray[np.bool_], by_mm: float) -> NDArray[np.bool_]:
        return ndimage.distance_transform_edt(~mask, alike.grid.spacing_mm) <= by_mm

    tissue = prior & (alike.values > TISSUE)
    worn = ndimage.distance_transform_edt(tissue, alike.grid.spacing_mm) > BRIDGE_MM
    if not worn.any():
        return prior
    brain = grow(largest_component(worn), BRIDGE_MM + WARP_MM / 2) & prior
    closed = ~grow(~grow(brain, BRIDGE_MM), BRIDGE_MM)
    return without_holes(closed | brain) & prior


def _warp(alike: Scan, template: Scan) -> AtlasTransform:
    """Lay a stripped brain into a head, and bend it into place."""
    affine = fit_linear(template, alike, find_pose(template, alike, head=True))
    fixed = coarsen(template, WARP_MM)
    brain = foreground(fixed.values)
    scale = np.median(fixed.values[brain])
    shell = ndimage.distance_transform_edt(~brain, fixed.grid.spacing_mm) <= SHELL_MM
    images = {
        "fixed": Scan(np.clip(fixed.values / scale, 0, FAT).astype(np.float32), fixed.grid),
        "moving": alike,
        "near": Scan(shell.astype(np.float32), fixed.grid),
    }
    return bend(images, affine, SYN_STAGE, seed=SEED, n_threads=2)
