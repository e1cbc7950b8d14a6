"""How good a registration is, in numbers with stated limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from ...atlas import Atlas, Grid, load_atlas
from ...atlas.regions import bounding_box
from ...query.dice import dice_of
from ...solver import TumorMasks
from ..alignment.transform import AtlasTransform
from ..images.nifti import Scan
from ..images.point_map import inverse
from ..patient.patient import Patient
from .edges import MOVES, measure_edges

BRAIN_STEP = 2
"""Voxels of the atlas from one that is asked whether it is brain to the next. Asking all of them
takes eight times as long and changes the Dice by less than 0.001."""

MIN_BRAIN_DICE = 0.95
"""Affine registration alone reaches 0.93-0.96 on BraTS brains, with SyN 0.97-0.99."""

MIN_EDGE_AGREEMENT = 0.42
"""See `RegistrationQuality.edge_agreement`. Five real cases reach 0.47 to 0.68; with somebody
else's map 0.35 at most (docs/results.md)."""

MIN_EDGE_ADVANTAGE = 0.0
"""See `RegistrationQuality.edge_advantage`. Five real cases have 0.04 to 0.10; registrations
that were then turned by 5 to 20 degrees or shifted by 5 or 10 mm have -0.06 or less (the same)."""

MAX_WARP_TURN_DEG = 1.1
"""See `RegistrationQuality.warp_turn_deg`. Five real cases have 0.2 to 0.5 degrees; where the
affine part was turned by 5 to 20 degrees or shifted by 10 mm, 1.5 to 7.1 (the same)."""

MAX_AFFINE_SHIFT_MM = 3.0
"""Largest shift of an image that the user says is in atlas space: half a gyrus."""

MAX_FOLDING_FRACTION = 1e-3
"""Share of the brain's voxels; a folded map has no inverse there."""

MAX_INVERSE_ERROR_MM = 1.0
"""95th percentile over the brain of the distance from a point to itself, there and back."""

MIN_ROUND_TRIP_DICE = 0.90
MAX_VOLUME_ERROR = 0.05
"""An outline's volume change must be what the map's Jacobian says it is, to this fraction."""

MIN_DEEP_ML = 1.5
"""Smallest `OutlineQuality.deep_ml` that is judged: that of a ball of 3 ml. Of smaller or thinner
outlines, voxels of 2 mm keep so little that rounding alone exceeds the two limits above."""

DEEP_MM = 2.0
"""Depth inside an outline, one voxel of the simulation grid."""


@dataclass(frozen=True)
class OutlineQuality:
    """One outline before and after the registration; Dice and ratio are NaN if it is empty.

    Attributes
    ----------
    patient_ml, atlas_ml : float
        Volume in the patient and on the atlas's simulation grid.
    mean_jacobian : float
        Volume in the patient per volume on the atlas, mean over the outline there.
    volume_ratio : float
        patient_ml / (atlas_ml x mean_jacobian); 1 when the Jacobian explains the change.
    round_trip_dice : float
        Outline against itself, carried to the atlas and back.
    deep_ml : float
        Volume in the patient more than `DEEP_MM` inside the outline.
    """

    patient_ml: float
    atlas_ml: float
    mean_jacobian: float
    volume_ratio: float
    round_trip_dice: float
    deep_ml: float


@dataclass(frozen=True)
class RegistrationQuality:
    """Numbers about one registration.

    Attributes
    ----------
    brain_dice : float
        Dice of the atlas's brain and the patient's (both: T1 > 0), with the patient's carried to
        every second voxel along each axis of the atlas's 1 mm grid by nearest neighbour.
    edge_agreement : float
        Mean cosine of the angle between the gradients of both T1s at the atlas's tissue edges
        (see `EDGE_SHARE`), deep inside and away from the lesion: 1 if every edge lies and faces as
        in the atlas, 0 if edges meet by chance. NaN if the patient's image has none.
    edge_advantage : float
        `edge_agreement` minus the best one after any of twelve moves of the patient (see `MOVES`):
        rotations about its axes and shifts along them. Negative if a move would help.
    warp_turn_deg : float
        Rotation of the brain by the deformation alone, in degrees: the rotation in the best linear
        fit of its displacements. It is near 0 if the affine part is right.
    jacobian_min, jacobian_mean, jacobian_max : float
        Jacobian over the atlas's brain; see `AtlasTransform.jacobian`.
    folding_fraction : float
        Share of the brain's voxels where the Jacobian is not positive.
    inverse_error_mm : float
        95th percentile over the patient's brain of ``|p' - p|``, where p' is p mapped to the
        atlas and back.
    core, whole : OutlineQuality
    affine_shift_mm : float or None
        If nothing was registered, the median distance by which an affine registration would move
        the brain.
    """

    brain_dice: float
    edge_agreement: float
    edge_advantage: float
    warp_turn_deg: float
    jacobian_min: float
    jacobian_mean: float
    jacobian_max: float
    folding_fraction: float
    inverse_error_mm: float
    core: OutlineQuality
    whole: OutlineQuality
    affine_shift_mm: float | None = None

    @property
    def misplaced(self) -> list[str]:
        """One sentence for each sign that the brain's inside is misplaced."""
        found = []
        if np.isnan(self.edge_agreement):
            found.append(
                "The patient's image has no tissue edges that could be compared with the atlas's: "
                "whether the inside of the brain is aligned is unknown."
            )
        elif not self.edge_agreement >= MIN_EDGE_AGREEMENT:
            found.append(
                f"The tissue edges of patient and atlas agree to {self.edge_agreement:.2f} "
                f"(expected at least {MIN_EDGE_AGREEMENT}; 1 is perfect, 0 is chance): the inside "
                "of the brain is not aligned."
            )
        elif not self.edge_advantage >= MIN_EDGE_ADVANTAGE:
            found.append(
                f"The tissue edges of patient and atlas would agree better by "
                f"{-self.edge_advantage:.2f} if the patient were moved by {MOVES[0]:g} degrees or "
                f"{MOVES[1]:g} mm: the inside of the brain is not aligned."
            )
        if self.warp_turn_deg > MAX_WARP_TURN_DEG:
            found.append(
                f"The deformation turns the brain by {self.warp_turn_deg:.1f} degrees (expected at "
                f"most {MAX_WARP_TURN_DEG:g}): the affine registration before it went wrong."
            )
        if self.jacobian_mean < 0:  # the atlas is nearly its own mirror image: no edge tells it
            found.append("The map exchanges left and right: the registration is mirrored.")
        return found

    @property
    def problems(self) -> list[str]:
        """One sentence for each limit that is broken; empty when all hold."""
        found = self.misplaced
        if not self.brain_dice >= MIN_BRAIN_DICE:
            found.append(
                f"The brain outlines of patient and atlas overlap with Dice {self.brain_dice:.3f} "
                f"(expected at least {MIN_BRAIN_DICE}): look at the registration pictures and at "
                "the brain extraction."
            )
        if self.affine_shift_mm is not None and self.affine_shift_mm > MAX_AFFINE_SHIFT_MM:
            found.append(
                f"The image was assumed to be in atlas space, but an affine registration would "
                f"move the brain by {self.affine_shift_mm:.1f} mm in the median (expected at most "
                f"{MAX_AFFINE_SHIFT_MM:g} mm): let it be registered."
            )
        if self.folding_fraction > MAX_FOLDING_FRACTION:
            found.append(
                f"The map folds in {self.folding_fraction:.2%} of the brain (expected at most "
                f"{MAX_FOLDING_FRACTION:.2%})."
            )
        if self.inverse_error_mm > MAX_INVERSE_ERROR_MM:
            found.append(
                f"Points return {self.inverse_error_mm:.2f} mm from where they started (95th "
                f"percentile; expected at most {MAX_INVERSE_ERROR_MM:g} mm)."
            )
        for name, outline in (("core", self.core), ("whole tumour", self.whole)):
            if outline.deep_ml < MIN_DEEP_ML:
                continue
            if outline.atlas_ml == 0:
                found.append(
                    f"The {name}, {outline.patient_ml:.1f} ml, does not lie in the atlas's grid "
                    "after the registration."
                )
                continue
            if not outline.round_trip_dice >= MIN_ROUND_TRIP_DICE:
                found.append(
                    f"The {name} comes back from the atlas with Dice "
                    f"{outline.round_trip_dice:.3f} (expected at least {MIN_ROUND_TRIP_DICE})."
                )
            if not abs(outline.volume_ratio - 1) <= MAX_VOLUME_ERROR:
                found.append(
                    f"The volume of the {name} on the atlas, {outline.atlas_ml:.1f} ml of "
                    f"{outline.patient_ml:.1f} ml, is not what the deformation explains "
                    f"(ratio {outline.volume_ratio:.3f}, expected within {MAX_VOLUME_ERROR:.0%})."
                )
        return found


def assess_registration(
    patient: Patient,
    transform: AtlasTransform,
    masks: TumorMasks | None = None,
    atlas: Atlas | None = None,
) -> RegistrationQuality:
    """Measure a registration (1 s).

    Parameters
    ----------
    patient : Patient
    transform : AtlasTransform
    masks : TumorMasks, optional
        The patient's outlines on the simulation grid, if they have been carried there already.
    atlas : Atlas, optional

    Returns
    -------
    RegistrationQuality
    """
    atlas = load_atlas() if atlas is None else atlas
    masks = transform.masks_to_atlas(patient.outlines, atlas.grid) if masks is None else masks
    own = Scan(atlas.t1, atlas.t1_grid).thinned(BRAIN_STEP)
    brain = transform.image_to_atlas(patient.t1, own.grid, nearest=True).values > 0
    jacobian = transform.jacobian(atlas.grid)
    inside = jacobian[atlas.brain]
    back = transform.masks_to_patient(masks, patient.outlines.grid)
    agreement, advantage = measure_edges(patient, transform, masks, atlas)
    return RegistrationQuality(
        brain_dice=dice_of(brain, own.values > 0, empty_score=float("nan")),
        edge_agreement=agreement,
        edge_advantage=advantage,
        warp_turn_deg=measure_warp_turn_deg(transform, atlas),
        jacobian_min=float(inside.min()),
        jacobian_mean=float(inside.mean(dtype=np.float64)),
        jacobian_max=float(inside.max()),
        folding_fraction=float((inside <= 0).mean()),
        inverse_error_mm=_inverse_error_mm(patient, transform),
        core=_outline(patient, masks, back, jacobian, "core"),
        whole=_outline(patient, masks, back, jacobian, "whole"),
        affine_shift_mm=transform.settings.get("affine_shift_mm"),  # type: ignore[arg-type]
    )


def measure_warp_turn_deg(transform: AtlasTransform, atlas: Atlas) -> float:
    """Rotation of the brain by a deformation; see `RegistrationQuality.warp_turn_deg`."""
    points = atlas.grid.to_world(np.argwhere(atlas.brain)[::50])
    back = inverse(transform.affine)
    moved = transform.patient_from_atlas(points) @ back[:3, :3].T + back[:3, 3]
    linear, *_ = np.linalg.lstsq(points - points.mean(axis=0), moved - moved.mean(axis=0))
    left, _, right = np.linalg.svd(linear.T)
    return float(np.rad2deg(Rotation.from_matrix(left @ right).magnitude()))


def _outline(
    patient: Patient, masks: TumorMasks, back: TumorMasks, jacobian: NDArray[Any], name: str
) -> OutlineQuality:
    drawn = patient.outlines
    own, there, again = (getattr(m, name) for m in (drawn, masks, back))
    patient_ml = float(own.sum() * drawn.grid.voxel_ml)
    atlas_ml = float(there.sum() * masks.grid.voxel_ml)
    mean = float(jacobian[there].mean(dtype=np.float64)) if there.any() else float("nan")
    return OutlineQuality(
        patient_ml=patient_ml,
        atlas_ml=atlas_ml,
        mean_jacobian=mean,
        volume_ratio=patient_ml / (atlas_ml * mean) if there.any() else float("nan"),
        round_trip_dice=dice_of(own, again, empty_score=float("nan")),
        deep_ml=_deep_ml(own, drawn.grid),
    )


def _deep_ml(mask: NDArray[np.bool_], grid: Grid) -> float:
    """See `OutlineQuality.deep_ml`."""
    if not mask.any():
        return 0.0
    depth = ndimage.distance_transform_edt(mask[bounding_box(mask, 1)], grid.spacing_mm)
    return float((depth > DEEP_MM).sum() * grid.voxel_ml)


def _inverse_error_mm(patient: Patient, transform: AtlasTransform) -> float:
    voxels = np.argwhere(patient.t1.values > 0)
    points = patient.grid.to_world(voxels[:: max(1, -(-len(voxels) // 20_000))])
    returned = transform.patient_from_atlas(transform.atlas_from_patient(points))
    return float(np.percentile(np.linalg.norm(returned - points, axis=1), 95))
