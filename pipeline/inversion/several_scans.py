"""Find the growth through all scans of a patient from that of the first scan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...query.dice import dice_of_masks
from ...query.index.opening import open_index
from ...solver import Tissue, Treatment, TumorDensity, TumorMasks
from ..fit.anatomy import OwnAnatomy, moved_into
from ..fit.descent import Interior
from ..images.point_map import SAME_WORLD, PointMap
from ..images.resampling import resample_image, resample_in_tissue, resample_masks
from ..scans.dated_outlines import DatedOutlines, in_order
from ..scans.forecast import Outlook, look_ahead
from ..scans.joint_fit import JointFit, fit_jointly, fit_scans
from ..scans.joint_outlines import JointTarget
from ..scans.later_scans import FollowUp
from ..scans.patient_outlook import Check, PatientOutlook
from .growth import PatientGrowth


@dataclass(frozen=True, eq=False)
class _Followed:
    """All scans and treatments, on the grid of a tissue.

    Attributes
    ----------
    tissue : Tissue
        The atlas's or the patient's.
    scans : tuple of DatedOutlines
    treatments : tuple of Treatment
        Their days count from the first scan.
    """

    tissue: Tissue
    scans: tuple[DatedOutlines, ...]
    treatments: tuple[Treatment, ...]


def follow_scans(growth: PatientGrowth, follow_up: FollowUp) -> PatientOutlook:
    """Find the growth in real days that meets all scans, and forecast it.

    It begins on the atlas, from stored runs and from the refined growth of the first scan. The
    transform of the first scan carries the outlines of every scan there. If the maps show a growth
    in the patient's own anatomy, the joint fit goes on in that.

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
        If the outlines shrink untreated on the grid of the growth, or a treatment does not fit the
        model.
    """
    database, own = growth.database, growth.grown_in_patient
    into = growth.transform.to_atlas
    on_atlas = _follow(growth.masks, follow_up, database.tissue, into)
    placed = on_atlas if own is None else _follow(own.target.masks, follow_up, own.tissue)
    last = placed.scans[-1].day

    def outlook_of(n_scans: int, days: Sequence[float]) -> Outlook:
        fit = _fit(growth, on_atlas, n_scans)
        if own is not None:
            fit = _go_on(growth, own, placed, n_scans, fit)
        return look_ahead(fit, days)

    n_scans = len(placed.scans)
    outlook = outlook_of(n_scans, [last + days for days in follow_up.forecast])
    back = growth.transform.to_patient if own is None else SAME_WORLD
    maps = []
    for day in outlook.forecast:
        (u,) = resample_in_tissue(
            [day.density.u],
            day.density.grid,
            growth.patient.grid,
            placed.tissue.domain | (day.density.u > 0),  # and the fluid that is pushed away
            back,
            within=growth.patient.brain_with_tumour,
        )
        maps.append(TumorDensity(u, growth.patient.grid))
    check = None
    if n_scans > 2:
        (at_last,) = outlook_of(n_scans - 1, [last]).forecast
        outlined = placed.scans[-1]
        core, whole = dice_of_masks(outlined.masks, at_last.density.outlines(database.thresholds))
        after_days = last - placed.scans[0].day
        check = Check(after_days, outlined.whole_ml, at_last.whole_ml.value, core, whole)
    return PatientOutlook(follow_up, outlook, tuple(maps), check, own is not None)


def _follow(
    first: TumorMasks, follow_up: FollowUp, tissue: Tissue, into: PointMap = SAME_WORLD
) -> _Followed:
    """The outlines of the first scan with what follows it, carried to a tissue's grid."""
    grid = tissue.grid
    later = (
        DatedOutlines(resample_masks(scan.outlines, grid, into), scan.day)
        for scan in follow_up.later
    )
    return _Followed(
        tissue,
        (DatedOutlines(first, follow_up.first_day), *later),
        tuple(
            one.after(follow_up.first_day, lambda scan: resample_image(scan, grid, into).values)
            for one in follow_up.treatments
        ),
    )


def _fit(growth: PatientGrowth, followed: _Followed, n_scans: int) -> JointFit:
    """The growth through the first scans on the atlas."""
    refinement = growth.findings.refinement
    extra_starts = () if refinement is None else [found for found, _ in refinement.arrivals[:2]]
    index = open_index(growth.database)
    scans = followed.scans[:n_scans]
    return fit_scans(
        growth.database, index, scans, treatments=followed.treatments, extra_starts=extra_starts
    )


def _go_on(
    growth: PatientGrowth, own: OwnAnatomy, followed: _Followed, n_scans: int, found: JointFit
) -> JointFit:
    """The growth through the first scans in the patient's own tissue."""
    first_day = followed.scans[0].day
    scans = in_order(followed.scans[:n_scans], [first_day + one.day for one in followed.treatments])
    database = growth.database
    joint = JointTarget(
        scans, followed.tissue, database.model, database.thresholds, followed.treatments
    )
    start = moved_into(Interior(followed.tissue), found.growth, growth.transform)
    extra_starts = [growth for growth, _ in own.refinement.arrivals[:2]]
    return fit_jointly(joint, [start, *extra_starts], accuracy=database.accuracy)
