"""Growth in the patient's own anatomy instead of the atlas's.

On the atlas a tumour grows in the standard brain and is bent to the patient afterwards, its fronts
with it. Here the tissue is the patient's, and the refinement that began on the atlas continues in
it. The tissue comes from the patient's T1, from given maps, or from the atlas, bent to the patient.
Inside the outlined tumour it always comes from the atlas.

The bent answer and the grown one are compared with the patient's outlines at 2 mm, and the better
one is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Atlas, Grid
from ...dbgen import Database
from ...errors import InputError
from ...solver import GrowthModel, GrowthParameters, Tissue, TumorMasks
from ...solver.models import TensorField
from ..alignment.transform import AtlasTransform
from ..anatomy.patient_tissue import PatientTissue
from ..anatomy.tissue_maps import TISSUES
from ..images.nifti import Scan
from ..images.resampling import resample_image, resample_masks
from ..patient.patient import Patient
from .answer import Answer, AnswerSource, Findings, measure
from .descent import Interior
from .refinement import Refinement, choose_starts, refine
from .trajectory import Target

SPACING_MM = 2.0
"""Voxel size of the grid on which the tumour grows, as in the simulations on the atlas."""

MARGIN_MM = 4.0
"""Margin around the brain."""

N_STARTS = 3
"""Places on the atlas from which descents begin in the patient."""


@dataclass(frozen=True, eq=False)
class OwnAnatomy:
    """The result in the patient's own anatomy.

    Attributes
    ----------
    tissue : Tissue
        The patient's, in the world of the registered image.
    bent, grown : Answer
        The atlas's answer bent to the patient, and the growth refined in its tissue, both on the
        tissue's grid and measured there.
    refinement : Refinement
    target : Target
        The patient's outlines in that tissue.
    """

    tissue: Tissue
    bent: Answer
    grown: Answer
    refinement: Refinement
    target: Target

    @property
    def is_better(self) -> bool:
        """Whether the growth in the patient overlaps the outlines better."""
        return self.grown.score > self.bent.score

    def row(self) -> dict[str, Any]:
        """Plain values by name, as `result.json` shows them.

        Returns
        -------
        dict
        """
        return {
            "bent": self.bent.row(),
            "grown": self.grown.row(),
            "kept": self.is_better,
            "refinement": self.refinement.row(),
        }


def require_own_model(model: GrowthModel) -> None:
    """See that a growth model can be used in another anatomy than the atlas's.

    Raises
    ------
    InputError
        If the model has tensors, which lie on the atlas.
    """
    if any(isinstance(value, TensorField) for value in vars(model).values()):
        raise InputError(
            f"own anatomy: the database's model {model.name} has diffusion tensors that lie on "
            "the atlas; use a database of an isotropic model, or refine on the atlas alone"
        )


def tissue_of(
    patient: Patient, transform: AtlasTransform, atlas: Atlas, own: PatientTissue
) -> Tissue:
    """The patient's tissue on a grid of 2 mm along the axes of the world, around the brain.

    Parameters
    ----------
    patient : Patient
    transform : AtlasTransform
        Between the patient and the atlas.
    atlas : Atlas
        Its bent tissue is used inside the outlined tumour, and everywhere if there is no other.
    own : PatientTissue
    """
    grid = _grid_of(patient)
    brain = patient.brain_on(grid)
    outlined = _outlines(patient, grid).whole
    maps = {}
    for role in TISSUES:
        bent = transform.image_to_patient(Scan(getattr(atlas, role), atlas.grid), grid).values
        seen = _onto(Scan(getattr(own, role), own.grid), grid) if own.is_own else bent
        # Beyond the brain is the skull: no fluid that would yield to a tumour that pushes.
        maps[role] = np.where(brain, np.where(outlined, bent, seen), np.float32(0))
    return Tissue.from_probabilities(maps["wm"], maps["gm"], maps["csf"], grid)


def grow_in_patient(
    database: Database,
    patient: Patient,
    transform: AtlasTransform,
    atlas: Atlas,
    findings: Findings,
    own: PatientTissue,
) -> OwnAnatomy:
    """Go on with a refinement in the patient's own anatomy.

    Parameters
    ----------
    database : Database
    patient : Patient
    transform : AtlasTransform
    atlas : Atlas
    findings : Findings
        Findings on the atlas, with a refinement.
    own : PatientTissue

    Returns
    -------
    OwnAnatomy
        The growth on the grid of the patient's tissue.

    Raises
    ------
    NoGrowthError
        If no start grows to the patient's volume.
    ValueError
        If there was no refinement.
    """
    if findings.refinement is None:
        raise ValueError(
            "expected a refinement, from which the growth in the patient continues, got none"
        )
    tissue = tissue_of(patient, transform, atlas, own)
    target = Target(
        _outlines(patient, tissue.grid),
        tissue,
        database.model,
        database.thresholds,
        findings.target.free,
    )
    found = findings.answer.density
    reached = findings.target.tissue.domain | (found.u > 0)
    bent = transform.density_to_patient(found, tissue.grid, tissue=reached)
    interior = Interior(tissue)
    arrived = [findings.refinement.best.parameters]
    arrived += [growth for growth, _ in findings.refinement.arrivals]
    moved = [moved_into(interior, growth, transform) for growth in arrived]
    refinement = refine(target, choose_starts(moved, N_STARTS), accuracy=database.accuracy)
    growths = (refinement.best.parameters,)
    return OwnAnatomy(
        tissue=tissue,
        bent=measure(target, findings.answer.source, findings.answer.growths, bent),
        grown=measure(target, AnswerSource.OWN_ANATOMY, growths, refinement.density),
        refinement=refinement,
        target=target,
    )


def moved_into(
    interior: Interior, growth: GrowthParameters, transform: AtlasTransform
) -> GrowthParameters:
    """A growth on the atlas as one that begins at the same place of the patient's tissue.

    Parameters
    ----------
    interior : Interior
        Interior of the patient's tissue.
    growth : GrowthParameters
    transform : AtlasTransform
        Between the patient and the atlas.
    """
    there = transform.patient_from_atlas(np.array([growth.origin_mm]))[0]
    x, y, z = interior.nearest(there).tolist()
    return replace(growth, origin_mm=(x, y, z))


def _grid_of(patient: Patient) -> Grid:
    points = patient.grid.to_world(np.argwhere(patient.brain_with_tumour))
    low = np.floor((points.min(axis=0) - MARGIN_MM) / SPACING_MM) * SPACING_MM
    n = np.ceil((points.max(axis=0) + MARGIN_MM - low) / SPACING_MM).astype(int) + 1
    affine = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    affine[:3, 3] = low
    return Grid((int(n[0]), int(n[1]), int(n[2])), affine)


def _outlines(patient: Patient, grid: Grid) -> TumorMasks:
    return resample_masks(patient.outlines, grid)


def _onto(scan: Scan, grid: Grid) -> NDArray[np.float32]:
    """A patient's image as its means over the voxels of another grid."""
    return resample_image(scan, grid, averaged=True).values
