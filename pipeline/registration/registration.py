"""Registration of a patient to the atlas: rigid and affine (`linear`), then SyN by ANTs.

It is reproducible, bit for bit, on any number of cores. ANTs' usual Mattes mutual
information adds up histograms in the order in which threads happen to finish, so that two runs
differ even under one seed. Here the linear stages compute in one thread; SyN uses neighbourhood
cross-correlation plus the mean square difference of the brain masks, whose updates are made voxel
by voxel, so that it may use every core. (Another processor or version of ITK may round
differently.)

References
----------
B. B. Avants, C. L. Epstein, M. Grossman, J. C. Gee, "Symmetric diffeomorphic image registration
with cross-correlation", Medical Image Analysis 12(1):26-41, 2008.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas import Atlas, load_atlas
from ...atlas.regions import Box, bounding_box, without_holes
from ...dbgen.machine.cores import available_threads
from ...errors import InputError
from ...query.dice import dice_of
from ..alignment.ants_worker import RegistrationError
from ..alignment.linear import LinearKind, find_pose, fit_linear
from ..alignment.syn import bend
from ..alignment.transform import AtlasTransform
from ..images.coarsening import coarsen
from ..images.nifti import Scan
from ..images.resampling import resample_image
from ..patient.patient import Patient
from .options import Kind, check_registration_options

__all__ = ["AtlasTransform", "RegistrationError", "register"]

MARGIN_MM = 12.0
"""Margin around the brain: SyN holds the displacement at zero on the border of its domain. With
8 mm the outlined tumour of a case lost a tenth of its volume on the atlas."""

LESION_MARGIN_MM = 2.0
"""Margin by which the outline is widened before it is left out of the metric, for its rim shows as
well."""

METRICS = ("-m", "CC[{fixed},{moving},1,2]", "-m", "MeanSquares[{fixed_brain},{moving_brain},1,0]")
MASKS = ("-x", "[NA,{moving_mask}]")
"""What SyN compares, and where: not in the lesion."""

MIN_OVERLAP = 0.8
"""Brain Dice without any registration below which an image is not in atlas space. BraTS images,
which are affinely in it, have about 0.9."""


def register(
    patient: Patient,
    atlas: Atlas | None = None,
    *,
    kind: Kind = "syn",
    resolution_mm: float = 2.0,
    seed: int = 1,
    n_threads: int | None = None,
    anyhow: bool = False,
) -> AtlasTransform:
    """Register a patient's T1 (or T1c) to the atlas's T1.

    The whole tumour is left out of the metric on the patient's side: the atlas has no tumour, and a
    match to it would displace healthy tissue.

    Parameters
    ----------
    patient : Patient
    atlas : Atlas, optional
        By default the one in use.
    kind : "syn", "affine", "rigid" or "none"
        How far to go. "none" uses the patient's world as the atlas's; a quick affine registration
        then measures how far the two differ (`affine_shift_mm` in the settings).
    resolution_mm : float
        Voxel size at which the images are compared, 1 to 4.
    seed : int
        Seed of ANTs' random sampling.
    n_threads : int, optional
        ITK threads of SyN, which do not change the result: by default OMP_NUM_THREADS, which
        Ray sets for its workers, or else the cores that this process may use.
    anyhow : bool
        Whether the image may be turned by any angle in its header's frame, see `find_pose`.

    Returns
    -------
    AtlasTransform
        Between the patient's world and the atlas's.

    Raises
    ------
    InputError
        If an option is out of range, or the kind is "none" for an image that is not in atlas space.
    RegistrationError
        If ANTs fails.
    """
    check_registration_options(kind=kind, resolution_mm=resolution_mm, seed=seed)
    n_threads = available_threads() if n_threads is None else n_threads
    if n_threads < 1:
        raise InputError(f"expected 1 thread or more, got {n_threads}")
    atlas = load_atlas() if atlas is None else atlas
    settings: dict[str, object] = {"registration": kind, "moving": patient.modality}
    if kind == "none":
        require_atlas_space(patient, atlas)
        shift_mm = _affine_shift_mm(patient, atlas)
        return AtlasTransform.linear(np.eye(4), settings | {"affine_shift_mm": shift_mm})
    settings |= {
        "resolution_mm": float(resolution_mm),
        "linear_metric": "correlation",
        "lesion_masked": True,
        "seed": int(seed),
        "any_turn": anyhow,
        "antspyx": importlib.metadata.version("antspyx"),
    }
    affine = align_linearly(patient, atlas, "rigid" if kind == "rigid" else "affine", anyhow=anyhow)
    if kind != "syn":
        return AtlasTransform.linear(affine, settings)
    images = _prepare(patient, atlas, resolution_mm)
    found = bend(images, affine, syn_stage(resolution_mm), seed=seed, n_threads=n_threads)
    settings["syn_metric"] = "cross-correlation, radius 2 voxels + mean squares of the brain masks"
    return dataclasses.replace(found, settings=settings)


def syn_stage(resolution_mm: float) -> tuple[str, ...]:
    """Metrics and schedule of SyN, as antsRegistration takes them.

    It goes through blocks of 4 and of 2 voxels, smoothed by as much as half of a block. The ten
    iterations on blocks of 4 mm take most of the time: ten more gain 0.01 in the agreement of
    tissue edges and nothing in brain Dice, nor do any on single voxels (docs/results.md). On larger
    blocks, where an iteration is cheaper, there are more.
    """
    step, iterations = (0.25, "40x10") if resolution_mm <= 2 else (0.2, "60x20")
    schedule = ("-t", f"SyN[{step},3,0]", "-c", f"[{iterations},1e-6,8]", "-s", "2x1", "-f", "4x2")
    return (*METRICS, *schedule, *MASKS)


def require_atlas_space(patient: Patient, atlas: Atlas) -> None:
    """Check that a patient's brain already lies where the atlas's does.

    Raises
    ------
    InputError
        If it does not.
    """
    brain = Scan(patient.brain.astype(np.float32), patient.grid)
    there = resample_image(brain, atlas.grid).values >= 0.5
    dice = dice_of(there, atlas.brain)
    if not dice >= MIN_OVERLAP:
        raise InputError(
            "registration none: expected images in SRI24 space, but the brain overlaps the "
            f"atlas's with Dice {dice:.2f} (at least {MIN_OVERLAP}); let it be registered (syn, "
            "affine or rigid)"
        )


def align_linearly(
    patient: Patient, atlas: Atlas, kind: LinearKind = "affine", *, anyhow: bool = False
) -> NDArray[np.float64]:
    """Find the affine or rigid map of atlas coordinates to a patient's; the tumour does not count.

    Returns
    -------
    (4, 4) float array
    """
    template = Scan(atlas.t1, atlas.t1_grid)
    brain = Scan(np.where(patient.brain, patient.t1.values, np.float32(0)), patient.grid)
    counts = 1 - patient.masks.whole.astype(np.float32)
    pose = find_pose(template, brain, anyhow=anyhow)
    return fit_linear(template, brain, pose, kind=kind, counts=counts)


def _affine_shift_mm(patient: Patient, atlas: Atlas) -> float:
    """Median distance by which an affine registration would move the atlas's brain."""
    affine = align_linearly(patient, atlas)
    points = atlas.grid.to_world(np.argwhere(atlas.brain))
    moved = points @ affine[:3, :3].T + affine[:3, 3]
    return float(np.median(np.linalg.norm(moved - points, axis=1)))


def _prepare(patient: Patient, atlas: Atlas, resolution_mm: float) -> dict[str, Scan]:
    """Everything ANTs needs: images, brain masks, and where the metric counts."""
    template = Scan(atlas.t1, atlas.t1_grid)
    with ThreadPoolExecutor(1) as beside:
        fixed = beside.submit(
            lambda: _prepared(template, without_holes(template.values > 0), resolution_mm)
        )
        image, brain, box = _prepared(patient.t1, patient.brain, resolution_mm)
        whole = coarsen(Scan(patient.masks.whole.astype(np.float32), patient.grid), resolution_mm)
        near = np.ceil(LESION_MARGIN_MM / np.array(whole.grid.spacing_mm)) + 1
        around = bounding_box(whole.values > 0, near)
        counts = np.ones(whole.grid.shape, np.float32)
        distance = ndimage.distance_transform_edt(
            whole.values[around] == 0, sampling=whole.grid.spacing_mm
        )
        counts[around] = distance > LESION_MARGIN_MM
        template, template_brain, _ = fixed.result()
    return {
        "fixed": template,
        "fixed_brain": template_brain,
        "moving": image,
        "moving_brain": brain,
        "moving_mask": Scan(counts, whole.grid).part(box),
    }


def _prepared(scan: Scan, brain: NDArray[np.bool_], resolution_mm: float) -> tuple[Scan, Scan, Box]:
    """An image and its brain in coarse voxels, cut to the brain with a margin, and the cut.

    Intensities go from 0 to about 1 on both sides, so that none outweighs by its unit.
    """
    scale = np.percentile(scan.values[brain], 99)
    values = np.where(brain, np.clip(scan.values / scale, 0, 1.2), 0).astype(np.float32)
    coarse = coarsen(Scan(values, scan.grid), resolution_mm)
    coarse_brain = coarsen(Scan(brain.astype(np.float32), scan.grid), resolution_mm)
    margin = np.ceil(MARGIN_MM / np.array(coarse.grid.spacing_mm))
    box = bounding_box(coarse_brain.values > 0, margin)
    return coarse.part(box), coarse_brain.part(box), box
