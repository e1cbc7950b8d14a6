"""Find the growth through all scans of a patient from that of the first scan."""

from __future__ import annotations

from collections.abc import Sequence

from ...query.dice import dice_of_masks
from ...query.index.opening import open_index
from ...solver import Treatment
from ..scans.dated_outlines import DatedOutlines
from ..scans.forecast import Outlook, look_ahead
from ..scans.joint_fit import fit_scans
from ..scans.later_scans import FollowUp
from ..scans.patient_outlook import Check, PatientOutlook
from .growth import PatientGrowth


def follow_scans(growth: PatientGrowth, follow_up: FollowUp) -> PatientOutlook:
    """Find the growth in real days that meets all scans, and foretell it.

    It begins from stored runs and from the refined growth of the first scan. The transform of the
    first scan carries the outlines of every scan to the atlas.

    Parameters
    ----------
    growth : PatientGrowth
        Growth of the first scan.
    follow_up : FollowUp

    Raises
    ------
    NoGrowthError
        If no growth passes through the volumes of all scans.
    InputError
        If the outlines shrink on the atlas untreated, or a treatment does not fit the model.
    """
    database, transform = growth.database, growth.transform
    later = [
        DatedOutlines(transform.masks_to_atlas(scan.outlines, database.grid), scan.day)
        for scan in follow_up.later
    ]
    scans = [DatedOutlines(growth.masks, follow_up.first_day), *later]
    treatments = [
        one.after(
            follow_up.first_day, lambda scan: transform.image_to_atlas(scan, database.grid).values
        )
        for one in follow_up.treatments
    ]
    last = scans[-1].day
    outlook = _look(growth, scans, treatments, [last + days for days in follow_up.forecast])
    maps = tuple(
        transform.density_to_patient(
            day.density, growth.patient.grid, tissue=database.tissue.domain
        )
        for day in outlook.forecast
    )
    check = None
    if len(scans) > 2:
        (foretold,) = _look(growth, scans[:-1], treatments, [last]).forecast
        core, whole = dice_of_masks(scans[-1].masks, foretold.density.outlines(database.thresholds))
        check = Check(last, scans[-1].whole_ml, foretold.whole_ml.value, core, whole)
    return PatientOutlook(follow_up, outlook, maps, check)


def _look(
    growth: PatientGrowth,
    scans: Sequence[DatedOutlines],
    treatments: Sequence[Treatment],
    days: Sequence[float],
) -> Outlook:
    refinement = growth.findings.refinement
    also = () if refinement is None else [found for found, _ in refinement.arrivals[:2]]
    index = open_index(growth.database)
    fit = fit_scans(growth.database, index, scans, treatments=treatments, also=also)
    return look_ahead(fit, days)
