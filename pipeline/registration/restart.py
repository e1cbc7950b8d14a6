"""A registration, its quality, and another start if it went wrong."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from ...atlas import Atlas, Grid
from ...solver import TumorMasks
from ..ahead import ahead
from ..alignment.ants_worker import RegistrationError
from ..alignment.transform import AtlasTransform
from ..patient.patient import Patient
from .edges import deep_gradients
from .quality import RegistrationQuality, assess_registration
from .registration import register


@dataclass(frozen=True, eq=False)
class Registered:
    """A patient's registration to the atlas.

    Attributes
    ----------
    transform : AtlasTransform
    masks : TumorMasks
        The patient's outlines on the simulation grid.
    quality : RegistrationQuality
    restarted : bool
        Whether it was started again, from any rotation, because the first start went wrong.
    failed_restart : str or None
        Why a second start that was tried has no result.
    """

    transform: AtlasTransform
    masks: TumorMasks
    quality: RegistrationQuality
    restarted: bool
    failed_restart: str | None = None

    @property
    def notices(self) -> list[str]:
        """Notices about the registration."""
        if self.failed_restart is not None:
            return [
                "The registration went wrong at first, and a second start from any rotation failed "
                f"({self.failed_restart}): look at the registration pictures."
            ]
        linear = self.transform.affine[:3, :3]
        if not self.restarted or np.linalg.det(linear) < 0:  # mirrored: the quality says so
            return []
        turn = np.rad2deg(Rotation.from_matrix(linear).magnitude())
        return [
            f"The brain lies turned by {turn:.0f} degrees in the frame of its header, in which the "
            "registration went wrong at first: look at the registration pictures. A header that "
            "was lost may also have exchanged left and right, which no picture tells."
        ]


def register_and_assess(patient: Patient, atlas: Atlas, grid: Grid, **options: Any) -> Registered:
    """Register a patient, and again from any rotation if the brain's inside is misplaced.

    The better one is kept: the one with fewer signs of a misplaced inside, and among equals the one
    whose tissue edges agree better.

    Parameters
    ----------
    patient : Patient
    atlas : Atlas
    grid : Grid
        Grid of the outlines on the atlas.
    **options
        Options of `register`.

    Returns
    -------
    Registered
        The transform, its quality and the outlines on the grid.
    """
    ahead(lambda: deep_gradients(atlas))  # which the assessment needs of the atlas
    first = _register_once(patient, atlas, grid, options, anyhow=False)
    if not first.quality.misplaced or options.get("kind") == "none":
        return first
    try:
        second = _register_once(patient, atlas, grid, options, anyhow=True)
    except RegistrationError as error:
        return dataclasses.replace(first, failed_restart=str(error))
    return max(first, second, key=_worth)


def _register_once(
    patient: Patient, atlas: Atlas, grid: Grid, options: dict[str, Any], *, anyhow: bool
) -> Registered:
    transform = register(patient, atlas, anyhow=anyhow, **options)
    masks = transform.masks_to_atlas(patient.outlines, grid)
    return Registered(
        transform, masks, assess_registration(patient, transform, masks, atlas), anyhow
    )


def _worth(registered: Registered) -> tuple[int, float]:
    agreement = registered.quality.edge_agreement
    return -len(registered.quality.misplaced), -1.0 if agreement != agreement else agreement
