"""Where the brain is in a head with its skull: by the atlas.

First the head is made to look like a brain alone: its bias field is taken out, and fat, on a T1
far brighter than white matter, becomes as dark as bone. A stripped brain, the atlas's or the same
person's, is then laid into it by correlation, from many poses. There counts the brain and a shell
around it, which is dark on a stripped image and, being fluid and bone, in the head as well.

The atlas's brain, laid so, is bent into place (affine, SyN), and what is tissue inside its outline
is the head's brain. A learned extraction does better: see `learned_brain`, or give its mask.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize
from scipy.spatial.transform import Rotation

from ..atlas import Atlas, load_atlas
from ..dbgen.files import scratch_folder
from .ants_worker import correct_bias, run_registration
from .foreground import foreground
from .nifti import Scan
from .resampling import coarsen, even_out
from .transform import AtlasTransform, read_itk_affine, read_itk_warp, write_itk_affine

SHELL_MM = 8.0
"""Fluid and bone around a brain; the scalp begins farther out."""

POSE_MM = 6.0
"""Resolution of the search over poses."""

WARP_MM = 3.0
"""Resolution of the registrations."""

DEEP_MM = 25.0
"""Below the skin of a head is little but its brain."""

FAT = 1.6
"""Intensity, in units of the head's deep inside, from which on it is none of the brain's."""

TISSUE = 0.6
"""Intensity, in the same units, from which on it is tissue and no fluid or bone."""

BRIDGE_MM = 6.0
"""Dura, vessels and marrow that touch the brain are thinner than this."""

CROWN_MM = 130.0
"""From the top of the head down to the base of its brain."""

PITCHES, YAWS, SHIFTS_Y, SHIFTS_Z = (-30, -15, 0, 15, 30), (-15, 0, 15), (-15, 0, 15), (-25, 0, 25)
"""Poses to start from, in degrees and mm."""

N_STARTS = 4
"""The best of them are improved."""

SIMPLEX = np.array([8, 8, 8, 10, 10, 10.0])
"""First steps of the improvement, in degrees and mm."""


def extract_brain(head: Scan, atlas: Atlas | None = None, *, seed: int = 1) -> NDArray[np.bool_]:
    """Find the brain in a T1-weighted image of a whole head (15-20 s on two cores).

    Parameters
    ----------
    head : Scan
        With or without contrast, any grid.
    atlas : Atlas, optional
    seed : int
        Of ANTs' random sampling.

    Returns
    -------
    bool array of the head's shape

    Raises
    ------
    RegistrationError
        If ANTs fails.
    """
    atlas = load_atlas() if atlas is None else atlas
    alike = make_brainlike(head)
    template = Scan(atlas.t1, atlas.t1_grid)
    transform = _warp(alike, template, find_pose(alike, template), seed)
    brain = ndimage.binary_fill_holes(atlas.t1 > 0).astype(np.float32)
    prior = transform.image_to_patient(Scan(brain, atlas.t1_grid), alike.grid).values >= 0.5
    found = Scan(_cut(alike, prior).astype(np.float32), alike.grid)
    return AtlasTransform.identity().image_to_patient(found, head.grid).values >= 0.5


def make_brainlike(head: Scan) -> Scan:
    """Intensities of about 1 where a brain may lie and 0 in fat, on voxels of `WARP_MM`."""
    even = even_out(head, WARP_MM)
    shown = foreground(even.values)
    values = correct_bias(even, shown).values
    depth = ndimage.distance_transform_edt(shown, even.grid.spacing_mm)
    values = values / np.median(values[depth > min(DEEP_MM, 0.8 * depth.max())])
    fat = ndimage.binary_dilation(values > FAT)
    return Scan(np.where(fat, 0, np.clip(values, 0, FAT)).astype(np.float32), even.grid)


def find_pose(alike: Scan, stripped: Scan) -> NDArray[np.float64]:
    """Lay a stripped brain into a head by correlation.

    Parameters
    ----------
    alike : Scan
        The head, see `make_brainlike`.
    stripped : Scan
        The same person's brain or another's.

    Returns
    -------
    (4, 4) float array
        Rigid motion from the stripped image's world to the head's.
    """
    image = even_out(alike, POSE_MM)
    model = coarsen(stripped, POSE_MM)
    brain = foreground(model.values)
    shell = ndimage.distance_transform_edt(~brain, model.grid.spacing_mm) <= SHELL_MM
    points = model.grid.to_world(np.argwhere(shell)).T
    expected = np.where(brain, model.values, 0)[shell].astype(np.float64)
    expected = np.minimum(expected, np.percentile(expected, 98))
    centre = model.grid.to_world(np.argwhere(brain)).mean(axis=0)
    to_voxel = np.linalg.inv(image.grid.affine)

    def motion(pose: NDArray[np.float64]) -> NDArray[np.float64]:
        affine = np.eye(4)
        affine[:3, :3] = Rotation.from_euler("xyz", pose[:3], degrees=True).as_matrix()
        affine[:3, 3] = pose[3:] - affine[:3, :3] @ centre
        return affine

    def loss(pose: NDArray[np.float64]) -> float:
        matrix = to_voxel @ motion(pose)
        at = matrix[:3, :3] @ points + matrix[:3, 3:]
        found = ndimage.map_coordinates(image.values, at, order=1)
        return -float(np.corrcoef(found, expected)[0, 1]) if found.any() else 1.0

    seen = image.grid.to_world(np.argwhere(image.values > 0.1))
    crown = seen[seen[:, 2] > np.percentile(seen[:, 2], 99.5) - CROWN_MM].mean(axis=0)
    starts = [
        np.array([pitch, 0, yaw, crown[0], crown[1] + y, crown[2] + z])
        for pitch, yaw, y, z in itertools.product(PITCHES, YAWS, SHIFTS_Y, SHIFTS_Z)
    ]
    found = [
        optimize.minimize(
            loss,
            start,
            method="Nelder-Mead",
            options={
                "initial_simplex": np.vstack([start, start + np.diag(SIMPLEX)]),
                "maxfev": 500,
                "xatol": 0.2,
                "fatol": 1e-4,
            },
        )
        for start in sorted(starts, key=loss)[:N_STARTS]
    ]
    return motion(min(found, key=lambda result: result.fun).x)


def _cut(alike: Scan, prior: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Part the brain from what clings to it inside the outline that came from the atlas.

    What is as bright as brain and hangs together after everything thinner than `BRIDGE_MM` on
    either side is worn off; then sulci and ventricles, closed over, are taken back in.
    """

    def grow(mask: NDArray[np.bool_], by_mm: float) -> NDArray[np.bool_]:
        return ndimage.distance_transform_edt(~mask, alike.grid.spacing_mm) <= by_mm

    tissue = prior & (alike.values > TISSUE)
    worn = ndimage.distance_transform_edt(tissue, alike.grid.spacing_mm) > BRIDGE_MM
    components, n = ndimage.label(worn)
    if n == 0:
        return prior
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    brain = grow(components == sizes.argmax(), BRIDGE_MM + WARP_MM / 2) & prior
    closed = ~grow(~grow(brain, BRIDGE_MM), BRIDGE_MM)
    return ndimage.binary_fill_holes(closed | brain) & prior


def _warp(alike: Scan, template: Scan, pose: NDArray[np.float64], seed: int) -> AtlasTransform:
    """Bend a stripped brain from its pose into a head."""
    fixed = coarsen(template, WARP_MM)
    brain = foreground(fixed.values)
    scale = np.median(fixed.values[brain])
    shell = ndimage.distance_transform_edt(~brain, fixed.grid.spacing_mm) <= SHELL_MM
    images = {
        "fixed": Scan(np.clip(fixed.values / scale, 0, FAT).astype(np.float32), fixed.grid),
        "moving": alike,
        "near": Scan(shell.astype(np.float32), fixed.grid),
    }
    with scratch_folder() as folder:
        write_itk_affine(folder / "pose.mat", pose)
        arguments = ["-d", "3", "-r", "[{out}pose.mat]", "-o", "[{out}]"]
        arguments += ["-m", "GC[{fixed},{moving},1,1,Regular,0.5]", "-t", "Affine[0.1]"]
        arguments += ["-c", "[200x100,1e-6,10]", "-s", "1x0", "-f", "2x1", "-x", "[{near},NA]"]
        arguments += ["-m", "CC[{fixed},{moving},1,2]", "-t", "SyN[0.2,3,0]"]
        arguments += ["-c", "[40x20,1e-6,8]", "-s", "1x0", "-f", "2x1", "-x", "[{near},NA]"]
        arguments += ["--random-seed", str(seed), "--float", "1", "-u", "0", "-z", "1"]
        run_registration(folder, images, arguments, n_threads=2)
        affine = read_itk_affine(folder / "0GenericAffine.mat")
        warp, grid = read_itk_warp(folder / "1Warp.nii.gz")
        inverse_warp, _ = read_itk_warp(folder / "1InverseWarp.nii.gz")
    return AtlasTransform(affine, warp, inverse_warp, grid)
