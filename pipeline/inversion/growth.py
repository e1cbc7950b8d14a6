"""Find the growth that is most like a patient's tumour: register, query, refine."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...dbgen import Database
from ...errors import InputError
from ...query import search
from ...query.index.opening import open_index
from ...solver import Thresholds, TumorMasks
from ...solver.own_settings import own_arithmetic, require_device
from ..alignment.transform import AtlasTransform
from ..anatomy.patient_tissue import PatientTissue, find_tissue
from ..anatomy.tissue_maps import TissueMaps, require_cover
from ..fit.anatomy import OwnAnatomy, grow_in_patient
from ..fit.answer import Answer, Findings, find_answer
from ..fit.matches import DEFAULT_MATCHES, RankedMatch, rank_matches
from ..fit.refinement import NoGrowthError
from ..images.point_map import SAME_WORLD, PointMap
from ..patient.patient import Patient
from ..registration.placement import judge_placement, require_overlap
from ..registration.quality import RegistrationQuality
from ..registration.restart import register_and_assess
from ..steps import Steps
from .options import InversionOptions


@dataclass(frozen=True, eq=False)
class PatientGrowth:
    """The growth that was found for a patient, and the way to it.

    Attributes
    ----------
    patient : Patient
    database : Database
        In which the matches were found.
    options : InversionOptions
    matches : tuple of RankedMatch
        The listed matches, best first.
    masks : TumorMasks
        The patient's outlines on the atlas.
    findings : Findings
        The answer on the atlas, and the way to it.
    own : OwnAnatomy or None
        The growth in the patient's own anatomy, if `options` ask for it.
    transform : AtlasTransform
        Between the patient and the atlas.
    patient_tissue : PatientTissue
        On the grid of the registered image.
    quality : RegistrationQuality
    checksums : mapping of str to str
        SHA-256 of each input file by its role, tissue maps included.
    notices : tuple of str
        Notices about the result, the patient's own first.
    timings_s : mapping of str to float
        Seconds of each step.
    """

    patient: Patient
    database: Database
    options: InversionOptions
    matches: tuple[RankedMatch, ...]
    masks: TumorMasks
    findings: Findings
    own: OwnAnatomy | None
    transform: AtlasTransform
    patient_tissue: PatientTissue
    quality: RegistrationQuality
    checksums: Mapping[str, str]
    notices: tuple[str, ...]
    timings_s: Mapping[str, float]

    @property
    def grown_in_patient(self) -> OwnAnatomy | None:
        """The growth in the patient's own anatomy, if it overlaps the outlines better."""
        return self.own if self.own is not None and self.own.is_better else None

    @property
    def answer(self) -> Answer:
        """The growth that the maps show: in the patient's own anatomy, or on the atlas."""
        own = self.grown_in_patient
        return self.findings.answer if own is None else own.grown

    @property
    def answer_tissue(self) -> NDArray[np.bool_]:
        """Where the answer could grow, and the fluid that it has pushed away, on its grid."""
        own = self.grown_in_patient
        tissue = self.database.tissue if own is None else own.tissue
        return tissue.domain | (self.answer.density.u > 0)

    @property
    def answer_map(self) -> PointMap:
        """Where points of the patient lie in the world in which the answer grew."""
        return self.transform.to_patient if self.answer.is_on_atlas else SAME_WORLD

    @property
    def thresholds(self) -> Thresholds:
        """Densities at which a simulated tumour is outlined."""
        return self.database.thresholds

    @property
    def mean_dice(self) -> float:
        """Mean Dice of the answer over the patient's non-empty outlines."""
        n_outlines = int(self.answer.dice_core is not None) + int(self.masks.whole.any())
        return self.answer.score / n_outlines


@own_arithmetic()
def find_growth(
    patient: Patient,
    database: Database,
    options: InversionOptions,
    *,
    tissue: TissueMaps | None = None,
    steps: Steps,
) -> PatientGrowth:
    """Find the growth; `invert` also maps it.

    Given tissue replaces the segmentation of the T1. The growth is refined in it if `options` ask
    for the own anatomy.

    Parameters
    ----------
    patient : Patient
    database : Database
        The simulated tumours.
    options : InversionOptions
    tissue : TissueMaps, optional
        Known tissue of the patient.
    steps : Steps
        Measures each step and names it as it begins.

    Returns
    -------
    PatientGrowth

    Raises
    ------
    InputError
        If tissue maps do not lie on the brain, the index is damaged or of another state of the
        database, or the database does not support the options; later, if the registered outline
        misses the atlas's brain or every stored tumour.
    MissingError
        If the database has no index.
    FailedError
        If there is no place for the index of the embedded database.
    DeviceError
        If JAX finds no device, or refuses one of its settings.
    RegistrationError
        If ANTs fails.
    """
    require_device()
    if tissue is not None:
        require_cover(tissue, patient)
    _ = database.model  # fail now if it cannot be found
    with steps("open index"):
        index = open_index(database)
    options.require_fit(database, index.n_samples)
    with steps("load atlas"):
        atlas = database.atlas
    with steps("register"):
        registered = register_and_assess(
            patient,
            atlas,
            database.grid,
            kind=options.registration,
            resolution_mm=options.resolution_mm,
            seed=options.seed,
        )
    transform, masks = registered.transform, registered.masks
    name, remedy = "the registered outline", "see that segmentation and T1 are of one patient"
    placement = judge_placement(masks, atlas, name=name, remedy=remedy)
    with ThreadPoolExecutor(1) as beside:  # the growth on the atlas does not need it
        segmented = beside.submit(
            find_tissue, patient, transform, atlas, way=options.tissue_from, given=tissue
        )
        with steps("query"):
            n_listed = options.n_listed(index.n_samples)
            found = search(index, masks, k=max(n_listed, DEFAULT_MATCHES))
            require_overlap(found, masks, name=name, remedy=remedy)
            ranked = rank_matches(database, found, has_core=bool(masks.core.any()))
        with steps("refine" if options.refine else "compare"):
            findings = find_answer(
                database,
                index,
                masks,
                ranked[:DEFAULT_MATCHES],  # however many are listed
                refined=options.refine,
                thresholds_fitted=options.fit_thresholds,
                fitted_parameters=options.fit,
            )
        with steps("segment tissue"):
            own_tissue = segmented.result()
    own = None
    notices = [*patient.notices, *registered.notices, *own_tissue.notices, *findings.notices]
    if placement.notice:
        notices.append(placement.notice)
    if options.own_anatomy and findings.refinement is not None:
        with steps("refine in the own anatomy"):
            try:
                own = grow_in_patient(database, patient, transform, atlas, findings, own_tissue)
            except (NoGrowthError, InputError) as error:  # that on the atlas stands
                notices.append(f"The growth in the patient's own anatomy found nothing: {error}.")
    notices += doubts_of_core(patient, database.core_min_ml)
    return PatientGrowth(
        patient=patient,
        database=database,
        options=options,
        matches=ranked[:n_listed],
        masks=masks,
        findings=findings,
        own=own,
        transform=transform,
        patient_tissue=own_tissue,
        quality=registered.quality,
        checksums={**patient.checksums, **({} if tissue is None else tissue.checksums)},
        notices=tuple(notices),
        timings_s=steps.seconds,
    )


def doubts_of_core(patient: Patient, least_ml: float) -> list[str]:
    """Notices about a core that is smaller than that of any stored tumour."""
    core_ml = patient.outlines.core_ml
    if core_ml > 0 and not patient.masks.core.any():
        return [
            "The outlined core is too small for the voxels of the registered image: the standard "
            "planning volume is drawn around the whole tumour."
        ]
    if 0 < core_ml < least_ml:
        return [
            f"The outlined core measures {core_ml:.2g} ml, less than that of any stored tumour "
            f"({least_ml:g} ml): its Dice says little, and the standard planning volume is drawn "
            "around it alone. If it is no tumour core, outline it as whole tumour."
        ]
    return []
