"""One patient's way: from files and a database to maps, as values. Nothing is written here."""

from __future__ import annotations

import dataclasses

from ...dbgen import Database
from ...dbgen.store.embedded import embedded_database
from ...errors import InputError
from ...solver.own_settings import own_arithmetic
from ...solver.treated_state import require_treatable
from ..anatomy.tissue_maps import TissueMaps
from ..fit.refinement import NoGrowthError
from ..patient.patient import Patient
from ..prediction.maps import GrownAnswer, map_to_patient
from ..prediction.recurrence import Coverage, cover_recurrence, doubts_of_coverage
from ..scans.later_scans import FollowUp
from ..steps import Step, Steps, silent
from ..uncertainty.assessment import assess, assess_in_patient
from .growth import PatientGrowth, find_growth
from .options import InversionOptions
from .result import Inversion
from .several_scans import follow_scans


@own_arithmetic()
def invert(
    patient: Patient,
    database: Database | None = None,
    options: InversionOptions = InversionOptions(),
    *,
    tissue: TissueMaps | None = None,
    follow_up: FollowUp | None = None,
    step: Step = silent,
) -> Inversion:
    """Find the growth that is most like a patient's tumour, and map it in the patient.

    Parameters
    ----------
    patient : Patient
        As `load_patient` returns it.
    database : Database, optional
        Database with its index beside it; by default the embedded one.
    options : InversionOptions
        What to compute; the defaults suit most patients.
    tissue : TissueMaps, optional
        The patient's own anatomy, in which the refinement continues. If `options` ask for the own
        anatomy and none is given, it comes from the T1, or from the atlas, bent to the patient.
    follow_up : FollowUp, optional
        Later scans of the patient, and the days to forecast. The result then holds the growth in
        real days as `outlook`. The maps are those of the first scan.
    step : callable
        Called with the name of each step as it begins.

    Returns
    -------
    Inversion
        `write_inversion` makes a folder of it.

    Raises
    ------
    InputError
        If the index is damaged or of another state of the database, the database does not support
        the options, its model not the treatments, tissue maps do not lie on the brain or are given
        without a refinement; later, if the registered outline misses the atlas's brain or every
        stored tumour.
    MissingError
        If the database has no index.
    FailedError
        If there is no place for the index of the embedded database.
    DeviceError
        If JAX finds no device, or refuses one of its settings.
    RegistrationError
        If ANTs fails.
    """
    steps = Steps(step, patient.timings_s)
    if tissue is not None:
        if not options.refine:
            raise InputError(
                "tissue maps are given, but growths are not refined in them: switch the refinement "
                "on, or leave the maps out"
            )
        options = dataclasses.replace(options, own_anatomy=True)
    source = embedded_database() if database is None else database
    if follow_up is not None and follow_up.treatments:
        require_treatable(source.model, [one.listed for one in follow_up.treatments])
    growth = find_growth(patient, source, options, tissue=tissue, steps=steps)
    inversion = map_growth(growth, steps)
    return inversion if follow_up is None else _with_outlook(inversion, follow_up, steps)


def _with_outlook(inversion: Inversion, follow_up: FollowUp, steps: Steps) -> Inversion:
    """The inversion with the outlook of all scans."""
    notices = follow_up.notices
    outlook = None
    with steps("follow the scans"):
        try:
            outlook = follow_scans(inversion, follow_up)
            notices += outlook.notices
        except (NoGrowthError, InputError) as error:  # the first scan's maps stand
            notices.append(f"The scans tell no growth in real days: {error}.")
    return dataclasses.replace(
        inversion,
        outlook=outlook,
        checksums={**inversion.checksums, **follow_up.checksums},
        notices=(*inversion.notices, *notices),
        timings_s=steps.seconds,
    )


def map_growth(growth: PatientGrowth, steps: Steps) -> Inversion:
    """Measure the uncertainty of a growth, and map both on the patient's grids.

    Parameters
    ----------
    growth : PatientGrowth
        As `find_growth` returns it.
    steps : Steps
        Measures each step and names it as it begins.

    Returns
    -------
    Inversion
    """
    own = growth.grown_in_patient
    with steps("assess uncertainty"):
        if own is None:
            uncertainty = assess(growth.database, growth.findings)
        else:
            uncertainty = assess_in_patient(growth.database, own)
    patient = growth.patient
    with steps("map to the patient"):
        shown = [(patient.field, patient.masks, patient.brain_with_tumour)]
        if patient.drawn is not None:
            # On the moved grid, so that atlas, motion and voxels form one chain with one lookup.
            shown.append((patient.field_as_drawn, patient.drawn, patient.brain_as_drawn))
        terrains = [
            growth.patient_tissue.terrain(field.cut_masks(outlines), field.cut(brain))
            for field, outlines, brain in shown
        ]
        maps, *there = map_to_patient(
            GrownAnswer(growth.answer, uncertainty, growth.answer_tissue, growth.answer_map),
            terrains,
            thresholds=growth.thresholds,
            levels=growth.options.densities,
        )
    notices = [*growth.notices, *uncertainty.notices]
    coverage: tuple[Coverage, ...] = ()
    if patient.recurrence is not None:
        recurrence = patient.field.cut_masks(patient.recurrence)
        coverage = cover_recurrence(maps.planning, recurrence, terrains[0].speed)
        notices += doubts_of_coverage(coverage)
        if patient.checksums.get("recurrence") == patient.checksums.get("seg"):
            notices.append("The recurrence is the segmentation itself: its figures say nothing.")
    found = {field.name: getattr(growth, field.name) for field in dataclasses.fields(PatientGrowth)}
    return Inversion(
        **found
        | {
            "notices": tuple(notices),
            "timings_s": steps.seconds,
        },
        uncertainty=uncertainty,
        maps=maps,
        maps_on_segmentation=there[0] if there else None,
        coverage=coverage,
    )
