"""Registration of a patient to the atlas with ANTs; the one module that imports `ants`.

Reproducible by construction. ANTs' usual Mattes mutual information adds up histograms in the
order in which threads happen to finish, so that two runs differ even under one seed. Here the
linear stages use global correlation and SyN uses neighbourhood cross-correlation plus the mean
square difference of the brain masks, whose gradients are sums in a fixed order once the number of
threads is fixed. ITK reads that number when its library is loaded; therefore the registration
runs in a process of its own, started with the number in its environment. That also keeps
everything ANTs prints away from stdout, its memory out of ours, and turns a crash into an error.

References
----------
B. B. Avants, C. L. Epstein, M. Grossman, J. C. Gee, "Symmetric diffeomorphic image registration
with cross-correlation", Medical Image Analysis 12(1):26-41, 2008.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..atlas import Atlas, Grid, load_atlas
from .nifti import Scan
from .patient import Patient, foreground
from .transform import LPS, AtlasTransform, read_itk_affine, read_itk_warp

__all__ = ["AtlasTransform", "RegistrationError", "from_ants", "register", "to_ants"]

MARGIN_MM = 12.0
"""Kept around the brain: SyN holds the displacement at zero on the border of its domain."""

LESION_MARGIN_MM = 2.0
"""The outline is widened by this before it is left out of the metric: its rim shows as well."""

LINEAR_STAGES = ("Rigid[0.1]", "Affine[0.1]")
LINEAR_SCHEDULE = ("-c", "[500x250x100,1e-6,10]", "-s", "3x2x1", "-f", "4x3x2")
SYN_SCHEDULE = ("-c", "[40x20x0,1e-6,8]", "-s", "2x1x0", "-f", "4x2x1")
"""Iterations, smoothing in voxels and shrink factors. None at full resolution: 10 of them took
four times as long as all others together and gained nothing in brain Dice."""


class RegistrationError(RuntimeError):
    """ANTs failed on images that had passed every check."""


def register(
    patient: Patient,
    atlas: Atlas | None = None,
    *,
    resolution_mm: float = 2.0,
    seed: int = 1,
    n_threads: int = 2,
) -> AtlasTransform:
    """Register a patient's T1 (or T1c) to the atlas's T1: rigid, affine, then SyN.

    The whole tumour is left out of the metric on the patient's side, so that what the atlas does
    not have does not pull healthy tissue along.

    Parameters
    ----------
    patient : Patient
    atlas : Atlas, optional
        The shipped one by default.
    resolution_mm : float
        Voxel size at which the images are compared, 1 to 4; about 12 s at 2 mm on two cores.
    seed : int
        Of ANTs' random sampling.
    n_threads : int
        ITK threads. The result is bit-identical for one number of threads, on any number of
        cores; another number changes sums in their last digits and so the result slightly. The
        default is therefore the same on every machine.

    Raises
    ------
    ValueError
        If an option is out of range.
    RegistrationError
        If ANTs fails.
    """
    if not 1 <= resolution_mm <= 4:
        raise ValueError(f"the registration works at 1 to 4 mm, got {resolution_mm} mm")
    if n_threads < 1:
        raise ValueError(f"at least one thread is needed, got {n_threads}")
    if seed < 1:
        raise ValueError(f"the seed is a positive integer (ANTs takes 0 for none), got {seed}")
    atlas = load_atlas() if atlas is None else atlas
    job = _prepare(patient, atlas, resolution_mm) | {"seed": np.array(seed)}
    with tempfile.TemporaryDirectory(prefix="glioquery-") as folder:
        np.savez(Path(folder, "job.npz"), allow_pickle=False, **job)
        _run_apart(Path(folder), n_threads)
        affine = read_itk_affine(Path(folder, "0GenericAffine.mat"))
        warp, grid = read_itk_warp(Path(folder, "1Warp.nii.gz"))
        inverse_warp, inverse_grid = read_itk_warp(Path(folder, "1InverseWarp.nii.gz"))
    if grid != inverse_grid:
        raise RegistrationError(f"ANTs wrote warps on two grids, {grid} and {inverse_grid}")
    settings = {
        "registration": "rigid + affine + SyN",
        "moving": patient.modality,
        "resolution_mm": resolution_mm,
        "linear_metric": "global correlation",
        "syn_metric": "cross-correlation, radius 2 voxels + mean squares of the brain masks",
        "lesion_masked": True,
        "seed": seed,
        "n_threads": n_threads,
        "antspyx": importlib.metadata.version("antspyx"),
    }
    return AtlasTransform(affine, warp, inverse_warp, grid, settings)


def to_ants(values: NDArray, grid: Grid) -> Any:
    """Make an ANTs image of an array: NIfTI's RAS affine becomes ITK's LPS frame.

    Parameters
    ----------
    values : array of the grid's shape
        Kept in its order of axes; converted to float32.
    grid : Grid
        Without shear, which ITK cannot express.

    Raises
    ------
    ValueError
        If the affine is sheared.
    """
    import ants

    lps = LPS @ grid.affine
    spacing = np.array(grid.spacing_mm)
    direction = lps[:3, :3] / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-3:
        raise ValueError(f"ITK has no sheared grids, and the axes of {grid} are not orthogonal")
    return ants.from_numpy(
        np.ascontiguousarray(values, np.float32),
        origin=lps[:3, 3].tolist(),
        spacing=spacing.tolist(),
        direction=direction,
    )


def from_ants(image: Any) -> Scan:
    """Values and RAS grid of an ANTs image; the inverse of `to_ants`."""
    lps = np.eye(4)
    lps[:3, :3] = np.asarray(image.direction) * np.asarray(image.spacing)
    lps[:3, 3] = image.origin
    values = image.numpy().astype(np.float32)
    return Scan(values, Grid(values.shape, LPS @ lps))


def coarsen(scan: Scan, spacing_mm: float) -> Scan:
    """Average blocks of voxels until they measure about `spacing_mm`; never refine."""
    block = [max(1, round(spacing_mm / s)) for s in scan.grid.spacing_mm]
    padding = [(0, -n % k) for n, k in zip(scan.grid.shape, block, strict=True)]
    values = np.pad(scan.values, padding)
    n = [size // k for size, k in zip(values.shape, block, strict=True)]
    blocks = values.reshape(n[0], block[0], n[1], block[1], n[2], block[2])
    affine = scan.grid.affine.copy()
    affine[:3, 3] = scan.grid.to_world([(k - 1) / 2 for k in block])
    affine[:3, :3] *= block
    mean = blocks.mean(axis=(1, 3, 5), dtype=np.float64).astype(np.float32)
    return Scan(mean, Grid(mean.shape, affine))


def _prepare(patient: Patient, atlas: Atlas, resolution_mm: float) -> dict[str, NDArray]:
    """Everything ANTs needs, as plain arrays: images, brain and lesion masks, affines."""
    job: dict[str, NDArray] = {}
    atlas_brain = ndimage.binary_fill_holes(atlas.t1 > 0)
    sides = {
        "fixed": (Scan(atlas.t1, atlas.t1_grid), atlas_brain),
        "moving": (patient.t1, foreground(patient.t1.values)),
    }
    for side, (scan, brain) in sides.items():
        # Intensities of about 0 to 1 on both sides, so that none outweighs by its unit.
        scale = np.percentile(scan.values[brain], 99)
        values = np.where(brain, np.clip(scan.values / scale, 0, 1.2), 0).astype(np.float32)
        coarse = coarsen(Scan(values, scan.grid), resolution_mm)
        coarse_brain = coarsen(Scan(brain.astype(np.float32), scan.grid), resolution_mm)
        box = _box_around(coarse_brain.values > 0, coarse.grid)
        job[side] = coarse.values[box]
        job[f"{side}_brain"] = coarse_brain.values[box]
        affine = coarse.grid.affine.copy()
        affine[:3, 3] = coarse.grid.to_world([s.start for s in box])
        job[f"{side}_affine"] = affine
        if side == "moving":
            whole = coarsen(
                Scan(patient.masks.whole.astype(np.float32), scan.grid), resolution_mm
            ).values
            distance = ndimage.distance_transform_edt(whole == 0, sampling=coarse.grid.spacing_mm)
            job["moving_mask"] = (distance[box] > LESION_MARGIN_MM).astype(np.float32)
    return job


def _box_around(mask: NDArray[np.bool_], grid: Grid) -> tuple[slice, ...]:
    box = []
    for k in range(3):
        span = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != k)))
        margin = int(np.ceil(MARGIN_MM / grid.spacing_mm[k]))
        box.append(slice(max(0, span[0] - margin), min(grid.shape[k], span[-1] + 1 + margin)))
    return tuple(box)


def _run_apart(folder: Path, n_threads: int) -> None:
    environment = dict(os.environ, ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=str(n_threads))
    # Grid engines' NSLOTS and a chosen threader would change how ITK divides its work.
    for name in ("NSLOTS", "ITK_NUMBER_OF_THREADS_ENV_LIST", "ITK_GLOBAL_DEFAULT_THREADER"):
        environment.pop(name, None)
    command = [sys.executable, "-m", __name__, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RegistrationError(
            f"ANTs ended with status {done.returncode}: {' | '.join(lines[-3:]) or 'no message'}"
        )


def _run_job(folder: Path) -> None:
    """Call antsRegistration on a prepared folder (in a process of its own)."""
    from ants.internal import get_lib_fn, get_pointer_string

    with np.load(folder / "job.npz", allow_pickle=False) as job:
        content = dict(job)
    grids = {side: content[side].shape for side in ("fixed", "moving")}
    images = {
        name: to_ants(
            content[name], Grid(grids[name.split("_")[0]], content[f"{name.split('_')[0]}_affine"])
        )
        for name in ("fixed", "moving", "fixed_brain", "moving_brain", "moving_mask")
    }
    p = {name: get_pointer_string(image) for name, image in images.items()}
    pair, brains = f"{p['fixed']},{p['moving']}", f"{p['fixed_brain']},{p['moving_brain']}"
    mask = ["-x", f"[NA,{p['moving_mask']}]"]
    arguments = ["-d", "3", "-r", f"[{pair},1]", "-o", f"[{folder}{os.sep}]"]
    for transform in LINEAR_STAGES:
        arguments += ["-m", f"GC[{pair},1,1,Regular,0.25]", "-t", transform]
        arguments += [*LINEAR_SCHEDULE, *mask]
    arguments += ["-m", f"CC[{pair},1,2]", "-m", f"MeanSquares[{brains},1,0]"]
    arguments += ["-t", "SyN[0.2,3,0]", *SYN_SCHEDULE, *mask]
    arguments += ["--random-seed", str(int(content["seed"])), "--float", "1", "-u", "0", "-z", "1"]
    status = get_lib_fn("antsRegistration")(arguments)
    if status != 0:
        sys.exit(f"antsRegistration returned {status}")


if __name__ == "__main__":
    _run_job(Path(sys.argv[1]))
