"""ANTs, in a process of its own; the one module that imports `ants`.

ITK reads the number of its threads when its library is loaded, so that each job gets a fresh
process with the number in its environment. That also keeps everything ANTs prints away from
stdout, its memory out of ours, and turns a crash into an error. A job is a folder: images as plain
arrays and antsRegistration's arguments go in, transforms come out; nothing is pickled.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ..atlas import Grid
from .nifti import Scan
from .transform import LPS

JOB_FILE = "job.npz"


class RegistrationError(RuntimeError):
    """ANTs failed on images that had passed every check."""


def run_registration(
    folder: Path, images: Mapping[str, Scan], arguments: Sequence[str], *, n_threads: int
) -> None:
    """Call antsRegistration and wait for it.

    Parameters
    ----------
    folder : Path
        Existing; gets the job and what ANTs writes, whose names begin where `-o [{out}]` puts
        them.
    images : mapping of str to Scan
        By name; the grids without shear.
    arguments : sequence of str
        Of antsRegistration, with `{name}` for the image of that name and `{out}` for the folder.
    n_threads : int
        ITK threads.

    Raises
    ------
    RegistrationError
        If ANTs fails.
    """
    _run_apart(folder, "antsRegistration", images, arguments, n_threads)


def correct_bias(scan: Scan, mask: NDArray[np.bool_]) -> Scan:
    """Even out the coil's sensitivity by N4, seen where the mask is true (1-3 s).

    By one thread, so that the result depends on the input alone.

    Raises
    ------
    RegistrationError
        If ANTs fails.

    References
    ----------
    N. J. Tustison et al., "N4ITK: improved N3 bias correction", IEEE Transactions on Medical
    Imaging 29(6):1310-1320, 2010.
    """
    images = {"scan": scan, "mask": Scan(mask.astype(np.float32), scan.grid)}
    arguments = ["-d", "3", "-i", "{scan}", "-x", "{mask}", "-o", "{out}n4.nii"]
    arguments += ["-s", "2", "-c", "[50x50x30,1e-4]", "-b", "[160]"]
    with tempfile.TemporaryDirectory(prefix="glioquery-") as name:
        _run_apart(Path(name), "N4BiasFieldCorrection", images, arguments, n_threads=1)
        values = np.asarray(nib.load(Path(name, "n4.nii")).dataobj, np.float32)
    return Scan(values, scan.grid)


def _run_apart(
    folder: Path,
    function: str,
    images: Mapping[str, Scan],
    arguments: Sequence[str],
    n_threads: int,
) -> None:
    arrays: dict[str, NDArray] = {}
    for name, scan in images.items():
        arrays[name], arrays[f"{name}.affine"] = scan.values, scan.grid.affine
    job = {"function": function, "images": list(images), "arguments": list(arguments)}
    np.savez(folder / JOB_FILE, allow_pickle=False, job=np.array(json.dumps(job)), **arrays)
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


def to_ants(scan: Scan) -> Any:
    """Make an ANTs image of a scan: NIfTI's RAS affine becomes ITK's LPS frame.

    Raises
    ------
    ValueError
        If the affine is sheared, which ITK cannot express.
    """
    import ants

    lps = LPS @ scan.grid.affine
    spacing = np.array(scan.grid.spacing_mm)
    direction = lps[:3, :3] / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-3:
        raise ValueError(
            f"ITK has no sheared grids, and the axes of {scan.grid} are not orthogonal"
        )
    return ants.from_numpy(
        np.ascontiguousarray(scan.values, np.float32),
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


def _run_job(folder: Path) -> None:
    """Call one of ANTs' programs on a prepared folder (in the process of its own)."""
    from ants.internal import get_lib_fn, get_pointer_string

    with np.load(folder / JOB_FILE, allow_pickle=False) as content:
        job = json.loads(str(content["job"]))
        images = {
            name: to_ants(Scan(content[name], Grid(content[name].shape, content[f"{name}.affine"])))
            for name in job["images"]
        }
    places = {name: get_pointer_string(image) for name, image in images.items()}
    places["out"] = f"{folder}{os.sep}"
    status = get_lib_fn(job["function"])([text.format_map(places) for text in job["arguments"]])
    if status != 0:
        sys.exit(f"{job['function']} returned {status}")


if __name__ == "__main__":
    _run_job(Path(sys.argv[1]))
