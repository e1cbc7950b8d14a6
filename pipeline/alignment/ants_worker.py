"""ANTs, in a process of its own.

ITK reads the number of its threads when its library is loaded, so that each job gets a fresh
process with the number in its environment. That also keeps everything that ANTs prints away from
stdout, its memory out of ours, and turns a crash into an error. A job is a folder: images as plain
arrays and antsRegistration's arguments go in, transforms come out; nothing is pickled.

ANTs reads its arguments by a syntax of its own, to which brackets and commas belong. So the process
works in the job's folder and gets names relative to it, never a path of the user's.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.grid import LPS_FROM_RAS
from ...dbgen.machine.files import scratch_folder
from ...errors import FailedError
from ..images.nifti import Scan
from .ants_job import IMAGES_FILE, JOB_FILE

SCRIPT = Path(__file__).with_name("ants_job.py").absolute()

NEEDED = ("antspyx", "numpy")
"""Distributions that a job imports from."""

LIMIT_S = 3600.0
"""Time after which a job is given up. The longest, SyN at 1 mm, takes minutes on one core."""


class RegistrationError(FailedError):
    """ANTs failed on images that had passed every check."""


def run_registration(
    folder: Path, images: Mapping[str, Scan], arguments: Sequence[str], *, n_threads: int
) -> None:
    """Call antsRegistration and wait for it.

    Parameters
    ----------
    folder : Path
        An existing folder. It receives the job and ANTs' files, whose names begin where `-o
        [{out}]` puts them.
    images : mapping of str to Scan
        Images by name, on grids without shear.
    arguments : sequence of str
        Arguments of antsRegistration, with `{name}` for the image of that name and `{out}` for the
        folder. ANTs works in that folder, and all files are named relative to it.
    n_threads : int
        ITK threads.

    Raises
    ------
    RegistrationError
        If ANTs fails, or takes longer than `LIMIT_S`.
    """
    _run_apart(folder, "antsRegistration", images, arguments, n_threads)


def correct_bias(scan: Scan, mask: NDArray[np.bool_]) -> Scan:
    """Even out the coil's sensitivity by N4, seen where the mask is true (1-3 s).

    By one thread, so that the result depends on the input alone.

    Parameters
    ----------
    scan : Scan
    mask : bool array of the scan's shape
        Where the sensitivity is estimated.

    Returns
    -------
    Scan
        The corrected scan on the same grid.

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
    with scratch_folder() as folder:
        _run_apart(folder, "N4BiasFieldCorrection", images, arguments, n_threads=1)
        values = np.asarray(nib.load(folder / "n4.nii").dataobj, np.float32)
    return Scan(values, scan.grid)


def _run_apart(
    folder: Path,
    function: str,
    images: Mapping[str, Scan],
    arguments: Sequence[str],
    n_threads: int,
) -> None:
    job = {
        "function": function,
        "arguments": list(arguments),
        "geometry": {name: itk_geometry(scan.grid) for name, scan in images.items()},
        "path": _further_path(),
        "parent": os.getpid(),
    }
    (folder / JOB_FILE).write_text(json.dumps(job), encoding="utf-8")
    arrays = {name: scan.values for name, scan in images.items()}
    np.savez(folder / IMAGES_FILE, allow_pickle=False, **arrays)
    environment = dict(os.environ, ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=str(n_threads))
    # Grid engines' NSLOTS and a chosen threader would change how ITK divides its work.
    for name in ("NSLOTS", "ITK_NUMBER_OF_THREADS_ENV_LIST", "ITK_GLOBAL_DEFAULT_THREADER"):
        environment.pop(name, None)
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(SCRIPT)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=LIMIT_S,
            process_group=0,  # a terminal's Ctrl-C is for this process, which ends the other
        )
    except subprocess.TimeoutExpired:
        raise RegistrationError(
            f"ANTs was ended after {LIMIT_S / 60:.0f} min, which no registration takes: see "
            "whether the machine is overloaded, then give the same command again"
        ) from None
    if done.returncode < 0:
        raise RegistrationError(
            f"ANTs was ended by {signal.Signals(-done.returncode).name}, usually for lack of "
            "memory or by a fault of ITK's"
        )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise RegistrationError(
            f"ANTs ended with status {done.returncode}: {' | '.join(lines[-3:]) or 'no message'}"
        )


def _further_path() -> list[str]:
    """Folders to import from, for an installation that an isolated Python does not find.

    Without the working folder and that of the user's script, which hold files of any name, unless
    what the job needs is installed there.
    """
    script = getattr(sys.modules["__main__"], "__file__", None)
    left_out = {Path.cwd()} | ({Path(script).resolve().parent} if script else set())
    left_out -= {Path(str(distribution(name).locate_file(""))).resolve() for name in NEEDED}
    return [
        str(Path(place).absolute())
        for place in sys.path
        if Path(place).is_dir() and Path(place).resolve() not in left_out
    ]


def itk_geometry(grid: Grid) -> tuple[list[float], list[float], list[list[float]]]:
    """A grid as ITK takes it: NIfTI's RAS affine becomes ITK's LPS frame.

    Returns
    -------
    origin, spacing : three numbers, mm
    direction : 3 x 3 numbers

    Raises
    ------
    ValueError
        If the affine is sheared, which ITK cannot express.
    """
    lps = LPS_FROM_RAS @ grid.affine
    spacing = np.array(grid.spacing_mm)
    direction = lps[:3, :3] / spacing
    if np.abs(direction.T @ direction - np.eye(3)).max() > 1e-3:
        raise ValueError(f"ITK has no sheared grids, and the axes of {grid} are not orthogonal")
    return lps[:3, 3].tolist(), spacing.tolist(), direction.tolist()
