"""Find the growth through all scans of a patient from that of the first scan."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InputError
from ...query.dice import dice_of_masks
from ...query.index.opening import open_index
from ...solver import Tissue, Treatment, TumorDensity, TumorMasks
from ..fit.anatomy import OwnAnatomy, moved_into
from ..fit.descent import Interior
from ..fit.refinement import NoGrowthError
from ..images.point_map import SAME_WORLD, PointMap
from ..images.resampling import resample_image, resample_masks
from ..scans.dated_outlines import DatedOutlines, in_order
from ..scans.forecast import ForecastDay, Outlook, look_ahead
from ..scans.joint_fit import JointFit, fit_jointly, fit_scans
from ..scans.joint_outlines import JointTarget
from ..scans.later_scans import FollowUp
from ..scans.patient_outlook import Check, PatientDay, PatientOutlook, map_day
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
    in the patient's own anatomy, the joint fit goes on in that; if it finds nothing there, the
    growth on the atlas stands. Of three scans or more, the earlier ones also forecast the last one,
    if they tell a growth. The result's notices say what was not possible.

    Parameters
    ----------
    growth : PatientGrowth
        Growth of the first scan.
    follow_up : FollowUp

    Returns
    -------
    PatientOutlook

    Raises
    ------
    NoGrowthError
        If no growth on the atlas passes through the volumes of all scans.
    InputError
        If the outlines shrink untreated on the atlas, or a treatment does not fit the model.
    """
    on_atlas = _follow(growth.masks, follow_up, growth.database.tissue, growth.transform.to_atlas)
    n_scans = len(on_atlas.scans)
    fit, followed = _fit(growth, on_atlas, n_scans), on_atlas
    failures: list[str] = []
    own = growth.grown_in_patient
    if own is not None:
        try:
            in_patient = _follow(own.target.masks, follow_up, own.tissue)
            fit, followed = _go_on(growth, own, in_patient, n_scans, fit), in_patient
        except (NoGrowthError, InputError) as error:
            own = None
            failures.append(
                "The growth in real days is that on the atlas, because there is none in the "
                f"patient's own anatomy: {error}."
            )
    last = followed.scans[-1].day
    outlook = look_ahead(fit, [last + days for days in follow_up.forecast])
    along = growth.transform.to_patient if own is None else SAME_WORLD
    scans = tuple(_in_patient(growth, outlook, day, along)[0] for day in outlook.scans)
    ahead = [_in_patient(growth, outlook, day, along) for day in outlook.forecast]
    drawn = (growth.patient.outlines, *(scan.outlines for scan in follow_up.later))
    outlined_ml = tuple(masks.whole_ml for masks in drawn)
    check = None
    if n_scans > 2:
        try:
            check = _check(growth, own, on_atlas, followed, along, outlined_ml[-1])
        except (NoGrowthError, InputError) as error:
            failures.append(
                "The last scan does not check the forecast, because the earlier ones tell no "
                f"growth: {error}."
            )
    return PatientOutlook(
        follow_up,
        outlook,
        outlined_ml,
        scans,
        tuple(day for day, _ in ahead),
        tuple(density for _, density in ahead),
        check,
        own is not None,
        along,
        tuple(failures),
    )


def _in_patient(
    growth: PatientGrowth, outlook: Outlook, day: ForecastDay, along: PointMap
) -> tuple[PatientDay, TumorDensity]:
    """A day of an outlook in the patient's world, and its map."""
    patient = growth.patient
    density = map_day(outlook, day, patient.grid, along=along, within=patient.brain_with_tumour)
    return PatientDay.of_map(day, density, growth.database.thresholds), density


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
            one.after(
                follow_up.first_day,
                lambda scan: resample_image(scan, grid, into).values,
                tissue.domain,
            )
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


def _check(
    growth: PatientGrowth,
    own: OwnAnatomy | None,
    on_atlas: _Followed,
    followed: _Followed,
    along: PointMap,
    outlined_ml: float,
) -> Check:
    """How well all scans but the last forecast it: on the atlas, or in the own anatomy if given."""
    n_earlier = len(followed.scans) - 1
    fit = _fit(growth, on_atlas, n_earlier)
    if own is not None:
        fit = _go_on(growth, own, followed, n_earlier, fit)
    outlined = followed.scans[-1]
    outlook = look_ahead(fit, [outlined.day])
    (forecast,) = outlook.forecast
    core, whole = dice_of_masks(
        outlined.masks, forecast.density.outlines(growth.database.thresholds)
    )
    after_days = outlined.day - followed.scans[0].day
    told, _ = _in_patient(growth, outlook, forecast, along)
    return Check(after_days, outlined_ml, told.whole_ml.value, core, whole)
