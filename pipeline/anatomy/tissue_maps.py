"""Tissue probabilities of a patient from files that another program made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ...errors import InputError
from ...paths import StrPath
from ..images.frames import require_one_world, shared_grid
from ..images.headers import Frames
from ..images.nifti import Scan, read_nifti
from ..images.resampling import image_in_order_of, resample_image
from ..patient.patient import Patient

TISSUES = ("gm", "wm", "csf")

LEAST_COVER = 0.8
"""Share of the brain that given tissue maps must cover."""


@dataclass(frozen=True, eq=False)
class TissueMaps:
    """Tissue probabilities of a patient, in the world of the registered image.

    Attributes
    ----------
    gm, wm, csf : Scan
        Grey matter, white matter, cerebrospinal fluid, in [0, 1].
    checksums : mapping of str to str
        SHA-256 of each file by its role.
    frames : mapping of str to Frames
        What each file's header says about its place.
    """

    gm: Scan
    wm: Scan
    csf: Scan
    checksums: Mapping[str, str]
    frames: Mapping[str, Frames] = field(default_factory=dict)


def read_tissue_maps(gm: StrPath, wm: StrPath, csf: StrPath) -> TissueMaps:
    """Read a patient's tissue maps, each on any grid.

    Parameters
    ----------
    gm, wm, csf : str or os.PathLike
        Probabilities of grey matter, white matter and fluid, from 0 to 1, in NIfTI.

    Returns
    -------
    TissueMaps

    Raises
    ------
    InputError
        If a file cannot be read or holds no probabilities.
    """
    scans, checksums, frames = {}, {}, {}
    for role, path in zip(TISSUES, (gm, wm, csf), strict=True):
        file = read_nifti(path, f"tissue map {role}", of_head=True)
        values = file.values.astype(np.float32)
        low, high = float(values.min()), float(values.max())
        if not (low >= -0.01 and 0.5 <= high <= 1.01):  # rounding may leave [0, 1]
            raise InputError(
                f"tissue map {role} {path}: expected probabilities from 0 to 1, got values from "
                f"{low:g} to {high:g}; scale the map, or give that of a tissue"
            )
        scans[role] = Scan(np.clip(values, 0, 1), file.grid)
        checksums[f"tissue_{role}"] = file.sha256
        frames[role] = file.frames
    return TissueMaps(**scans, checksums=checksums, frames=frames)


def lay_on_image(maps: TissueMaps, patient: Patient) -> tuple[TissueMaps, tuple[str, ...]]:
    """Give tissue maps the grid of the registered image, where they have its voxels.

    Parameters
    ----------
    maps : TissueMaps
    patient : Patient

    Returns
    -------
    TissueMaps
        A grid that differs from the image's by rounding, or by a header's other frame, is replaced
        by it, and the same voxels in another order of axes are put into its order; other maps keep
        their own.
    tuple of str
        Notices for the user, about other frames.

    Raises
    ------
    InputError
        If headers leave open how a map and the image lie; see `frames.PAIR_RULES`.
    """
    image = patient.frames or Frames(patient.grid)
    laid: list[Scan] = []
    notices: list[str] = []
    for role in TISSUES:
        scan, name = getattr(maps, role), f"tissue map {role}"
        frames = maps.frames.get(role) or Frames(scan.grid)
        grid, told = shared_grid(frames, name, image, "registered image")
        notices += told
        if grid is None and patient.frames is not None and role in maps.frames:
            require_one_world(frames, name, patient.frames, "registered image")
        laid.append(
            image_in_order_of(patient.grid, scan) if grid is None else replace(scan, grid=grid)
        )
    gm, wm, csf = laid
    return replace(maps, gm=gm, wm=wm, csf=csf), tuple(notices)


def require_cover(maps: TissueMaps, patient: Patient) -> None:
    """See that tissue maps lie on the patient's brain.

    Raises
    ------
    InputError
        If they do not, or if their headers leave open whether they do.
    """
    laid, _ = lay_on_image(maps, patient)
    found = [resample_image(getattr(laid, role), patient.grid, averaged=True) for role in TISSUES]
    total = np.sum([scan.values for scan in found], axis=0)
    share = float((total[patient.brain_with_tumour] >= 0.5).mean())
    if share < LEAST_COVER:
        raise InputError(
            f"tissue maps: they cover {share:.0%} of the brain of the registered image (at least "
            f"{LEAST_COVER:.0%}); expected maps of this patient in the image's world frame"
        )
