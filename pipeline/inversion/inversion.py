"""A patient, end to end: register, query, bring the match back, write what was found."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from ...atlas import load_atlas
from ...dbgen import Database
from ...dbgen.machine.files import completed
from ...query import Index, search
from ...query.index.opening import open_index
from ...solver import Tissue
from ...solver.own_settings import own_arithmetic, require_device
from ..alignment.transform import AtlasTransform
from ..fit.anatomy import (
    TissueMaps,
    grow_in_patient,
    require_cover,
    require_own_model,
)
from ..fit.answer import find_answer
from ..fit.matches import DEFAULT_MATCHES, rank_matches
from ..fit.refinement import NoGrowthError
from ..fit.uncertainty import Member
from ..images.nifti import InputError
from ..patient.patient import Patient
from ..prediction.maps import map_to_patient
from ..prediction.planning import DENSITIES
from ..prediction.recurrence import cover_recurrence
from ..registration.placement import judge_placement, require_overlap
from ..registration.registration import Kind, check_registration_options
from ..registration.restart import register_and_assess
from ..report.drawing import drawn
from ..report.pictures import draw_overlays, draw_registration
from ..results.names import DEFAULT_SUBJECT, checked_subject, exceedance_label
from ..results.outputs import write_maps, write_page, write_result
from ..results.result_folder import only_run, replaced
from .result import Inversion

MOST_LEVELS = 20
"""Densities that are mapped at most; each is a file."""

Further = Mapping[str, Callable[[Inversion], bytes | None]]
"""Further files of a result by name, and what makes their contents of an inversion."""

Step = Callable[[str], None]
"""Told the name of each step as it begins."""


def checked_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Densities by rising value.

    Raises
    ------
    InputError
        If one is not between 0 and 1, or has too many decimals to name a file, or there are none
        or too many to be labels.
    """
    if not 1 <= len(set(levels)) <= MOST_LEVELS or not all(0 < level < 1 for level in levels):
        raise InputError(
            f"densities are 1 to {MOST_LEVELS} numbers between 0 and 1, got "
            f"{', '.join(f'{level:g}' for level in levels) or 'none'}"
        )
    for level in levels:
        exceedance_label(level)
    return tuple(sorted(set(levels)))


def checked_k(k: int | None, n_samples: int) -> int:
    """How many matches to list: what is asked for, or 15, or all there are.

    Raises
    ------
    InputError
        If more are asked for than there are, or none.
    """
    if k is None:
        return min(DEFAULT_MATCHES, n_samples)
    if not 1 <= k <= n_samples:
        raise InputError(f"k is 1 to {n_samples}, the number of samples, got {k}")
    return k


@own_arithmetic()
def invert(
    database: Database,
    patient: Patient,
    out: Path,
    *,
    k: int | None = None,
    refined: bool = False,
    thresholds_fitted: bool = False,
    own_anatomy: bool = False,
    tissue: TissueMaps | None = None,
    levels: Sequence[float] = DENSITIES,
    registration: Kind = "syn",
    resolution_mm: float = 2.0,
    seed: int = 1,
    title: str = "Patient",
    subject: str = DEFAULT_SUBJECT,
    further: Further = MappingProxyType({}),
    step: Step = lambda name: None,
) -> Inversion:
    """Find the simulated tumour that is most like a patient's, and bring it to the patient.

    Parameters
    ----------
    database : Database
        With its index beside it.
    patient : Patient
    out : Path
        Folder of the results (see `outputs`). An earlier result there stays as it is until this
        one is complete, and is then replaced (see `result_folder`).
    k : int
        Number of matches to list; 15, or all there are, by default.
    refined : bool
        Whether to improve the growth beyond the matches (see `refinement`).
    thresholds_fitted : bool
        Whether to fit the outlines' thresholds after that (see `visibility`).
    own_anatomy : bool
        Whether to go on with the refinement in the patient's own anatomy (see `anatomy`).
    tissue : TissueMaps, optional
        That anatomy, which is then gone on in; without, it is the atlas's, bent to the patient.
    levels : sequence of float
        Densities whose isolines and probabilities of being exceeded are mapped.
    registration : "syn", "affine", "rigid" or "none"
        How far the patient is bent to the atlas, see `register`.
    resolution_mm : float
        Of the registration.
    seed : int
        Of the registration.
    title : str
        Heads the report.
    subject : str
        BIDS label in the names of the maps: letters and digits.
    further : mapping of str to callable, optional
        Further files of the result by name, and what makes their bytes of the inversion; None for
        no file.
    step : callable
        Told the name of each step as it begins.

    Returns
    -------
    Inversion

    Raises
    ------
    ValueError
        If the index does not fit the database, k the number of samples, or the levels are not
        densities.
    InputError
        If thresholds are to be fitted or another anatomy used without a refinement, the model is
        bound to the atlas, tissue maps do not lie on the brain, the output folder cannot be
        written or another run writes to it, or the subject is no label; later, if the registered
        outline misses the atlas's brain or every stored tumour.
    """
    timings: dict[str, float] = dict(patient.timings_s)

    @contextlib.contextmanager
    def timed(name: str) -> Iterator[None]:
        step(name)
        began = time.perf_counter()
        yield
        timings[name] = round(time.perf_counter() - began, 3)

    checked_subject(subject)
    require_device()
    own_anatomy = own_anatomy or tissue is not None
    levels = checked_levels(levels)
    check_registration_options(kind=registration, resolution_mm=resolution_mm, seed=seed)
    if thresholds_fitted and not refined:
        raise InputError("thresholds are fitted after a refinement: ask for both")
    if own_anatomy:
        if not refined:
            raise InputError("the own anatomy is grown in after a refinement: ask for both")
        require_own_model(database.model)
    if tissue is not None:
        require_cover(tissue, patient)
    _ = database.model  # one that cannot be found is told now
    with timed("open index"):
        index = open_index(database)
    k = checked_k(k, index.n_samples)
    with only_run(out) as out:
        inversion = _find(
            database, index, patient, k=k, refined=refined, thresholds_fitted=thresholds_fitted,
            own_anatomy=own_anatomy, tissue=tissue, levels=levels, registration=registration,
            resolution_mm=resolution_mm, seed=seed, timed=timed, timings=timings,
        )  # fmt: skip
        with replaced(out) as stage:
            with timed("write maps"):
                write_maps(stage, inversion, patient, subject)
            return _present(stage, inversion, patient, database, title, timed, further)


def _find(
    database: Database,
    index: Index,
    patient: Patient,
    *,
    k: int,
    refined: bool,
    thresholds_fitted: bool,
    own_anatomy: bool,
    tissue: TissueMaps | None,
    levels: tuple[float, ...],
    registration: Kind,
    resolution_mm: float,
    seed: int,
    timed: Callable[[str], AbstractContextManager[None]],
    timings: dict[str, float],
) -> Inversion:
    """The way from a patient to what is found; nothing is written."""
    with timed("load atlas"):
        atlas = load_atlas()
    with timed("register"):
        registered = register_and_assess(
            patient,
            atlas,
            database.grid,
            kind=registration,
            resolution_mm=resolution_mm,
            seed=seed,
        )
    transform, masks, quality = registered.transform, registered.masks, registered.quality
    name, remedy = "the registered outline", "see that segmentation and T1 are of one patient"
    placement = judge_placement(masks, name=name, remedy=remedy)
    with timed("query"):
        matches = search(index, masks, k=max(k, DEFAULT_MATCHES))
        require_overlap(matches, name=name, remedy=remedy)
        ranked = rank_matches(database, matches)
        ensemble_of = ranked[:DEFAULT_MATCHES]  # however many are listed
    with timed("refine" if refined else "assess uncertainty"):
        findings = find_answer(
            database,
            index,
            masks,
            [Member(match.parameters, match.match.score) for match in ensemble_of],
            [match.match.sample for match in ensemble_of],
            refined=refined,
            thresholds_fitted=thresholds_fitted,
            levels=levels,
        )
    own = None
    notices = [*patient.notices, *registered.notices, *findings.notices]
    if placement.notice:
        notices.append(placement.notice)
    if own_anatomy and findings.refinement is not None:
        with timed("refine in the own anatomy"):
            try:
                own = grow_in_patient(database, patient, transform, atlas, findings, levels, tissue)
            except NoGrowthError as error:
                notices.append(f"The growth in the patient's own anatomy found nothing: {error}.")
    if own is not None and own.is_better:
        answer, uncertainty = own.grown, own.uncertainty
        chain, domain = AtlasTransform.identity(), own.tissue.domain
    else:
        answer, uncertainty = findings.answer, findings.uncertainty
        chain, domain = transform, Tissue.from_atlas(atlas).domain
    with timed("map to the patient"):
        maps = map_to_patient(
            answer, uncertainty, chain, domain, patient.masks, patient.brain_with_tumour
        )
        there = None
        if patient.drawn is not None:
            # On the moved grid, so that atlas, motion and voxels make one chain and one lookup.
            brain = patient.brain_on(patient.drawn.grid)
            there = map_to_patient(answer, uncertainty, chain, domain, patient.drawn, brain)
    notices += uncertainty.notices
    notices += doubts_of_core(patient, database.core_min_ml)
    return Inversion(
        matches=ranked[:k],
        masks=masks,
        thresholds=database.thresholds,
        findings=findings,
        own=own,
        answer=answer,
        uncertainty=uncertainty,
        maps=maps,
        maps_on_segmentation=there,
        levels=levels,
        coverage=()
        if patient.recurrence is None
        else cover_recurrence(maps.planning, patient.recurrence),
        transform=transform,
        quality=quality,
        options={
            "k": k,
            "refined": refined,
            "thresholds_fitted": thresholds_fitted,
            "own_anatomy": own_anatomy,
            "levels": levels,
        },
        checksums={**patient.checksums, **({} if tissue is None else tissue.checksums)},
        notices=tuple(notices),
        timings_s=timings,
    )


def _present(
    out: Path,
    inversion: Inversion,
    patient: Patient,
    database: Database,
    title: str,
    timed: Callable[[str], AbstractContextManager[None]],
    further: Further = MappingProxyType({}),
) -> Inversion:
    """Draw and write what people look at, then `result.json`, whatever of the first fails.

    Returns the inversion with a notice for each picture that is missing.
    """
    failures: list[str] = []
    with timed("draw pictures"):
        overlays = draw_overlays(
            patient, inversion.density, inversion.shown_levels, failures=failures
        )
        aligned = drawn(
            "The picture of the registration",
            lambda: draw_registration(patient, inversion.transform, inversion.masks),
            failures,
        )
    with timed("write report"):
        drawn(
            "The report",
            lambda: write_page(
                out, inversion, patient, database, title, overlays, aligned, failures
            ),
            failures,
        )
    inversion = replace(inversion, notices=(*inversion.notices, *failures))
    for name, make in further.items():
        content = make(inversion)
        if content is not None:
            with completed(out / name) as temporary:
                temporary.write_bytes(content)
    write_result(out, inversion, patient, database)
    return inversion


def doubts_of_core(patient: Patient, least_ml: float) -> list[str]:
    """What to tell of a core that is smaller than that of any stored tumour."""
    core_ml = float(patient.outlines.core.sum() * patient.outlines.grid.voxel_ml)
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
