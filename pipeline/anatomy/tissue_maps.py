"""Tissue probabilities of a patient from files that another program made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ...errors import InputError
from ...paths import StrPath
from ..images.frames import require_one_world
from ..images.headers import Frames
from ..images.nifti import Scan, read_nifti
from ..images.resampling import resample_image
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


def require_cover(maps: TissueMaps, patient: Patient) -> None:
    """See that tissue maps lie on the patient's brain.

    Raises
    ------
    InputError
        If they do not, or if their headers leave open whether they do.
    """
    if patient.frames is not None:
        for role, frames in maps.frames.items():
            require_one_world(frames, f"tissue map {role}", patient.frames, "registered image")
    found = [resample_image(getattr(maps, role), patient.grid, averaged=True) for role in TISSUES]
    total = np.sum([scan.values for scan in found], axis=0)
    share = float((total[patient.brain_with_tumour] >= 0.5).mean())
    if share < LEAST_COVER:
        raise InputError(
            f"tissue maps: they cover {share:.0%} of the brain of the registered image (at least "
            f"{LEAST_COVER:.0%}); expected maps of this patient in the image's world frame"
        )
