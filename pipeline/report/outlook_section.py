"""The report's section on several scans: rates in real days, volumes by day, the forecast."""

from __future__ import annotations

from ...solver import TumorDensity
from ..patient.patient import Patient
from ..pictures.drawing import drawn
from ..pictures.movie import PATIENT_FRAMES, draw_patient_movie
from ..pictures.patient_pictures import draw_days
from ..pictures.planes import tumour_planes
from ..scans.forecast import grown_on
from ..scans.patient_outlook import PatientOutlook, map_day
from ..scans.real_rates import LEVEL, Rate, basis_of
from .page import number
from .report import Section, Table

RATE_NAMES = {
    "velocity_mm_per_year": "Velocity of the front in white matter, 2 √(Dw ρ)",
    "rho": "Proliferation rate ρ",
    "dw": "Diffusivity in white matter Dw",
    "lambda_mm": "Width of the front λ",
    "doubling_days": "Time in which the whole volume doubled between the scans",
    "age_days": "Age of the tumour at the first scan",
}

MOST_PANELS = 4
"""Days of a forecast that are drawn."""


def describe_outlook(outlook: PatientOutlook, patient: Patient, failures: list[str]) -> Section:
    """The growth through all scans, and where it leads.

    The list receives notices about missing pictures.
    """
    told = outlook.outlook
    last = told.fit.joint.after_days[-1]
    sentences = [
        f"{len(told.scans)} scans within {_days(last)} days tell the growth in real days. The "
        "growth rests on the outlines of all scans, the maps of this page on the first scan alone.",
        f"The intervals of {LEVEL:.0%} rest on {basis_of(told.fit)}. Errors of model, anatomy, "
        "registration and listed treatments come on top: the intervals claim nothing for a real "
        "patient.",
    ]
    treated = [f"{one.listed.kind} on day {_days(one.listed.day - outlook.follow_up.first_day)}"
               for one in outlook.follow_up.treatments]  # fmt: skip
    if treated:
        sentences.append(
            f"The growth is treated as listed ({', '.join(treated)} after the first scan); what "
            "the list says of a dose or a drug is taken for true."
        )
    if outlook.check is not None:
        check = outlook.check
        sentences.append(
            f"From the earlier scans alone, {check.forecast_ml:.1f} ml are forecast for the last "
            f"scan, whose whole tumour measures {check.outlined_ml:.1f} ml (Dice of the whole "
            f"{check.dice_whole:.2f})."
        )
    rates = [
        (
            name,
            f"{number(told.rates[key].value)} {told.rates[key].unit.replace('^2', '²')}",
            _interval(told.rates[key]),
        )
        for key, name in RATE_NAMES.items()
        if key in told.rates
    ]
    days: list[tuple[str | None, ...]] = [
        (_days(day.after_days), f"{outlined_ml:.1f}", f"{day.whole_ml.value:.1f}", None)
        for outlined_ml, day in zip(outlook.outlined_ml, outlook.scans, strict=True)
    ]
    days += [
        (_days(day.after_days), None, f"{day.whole_ml.value:.1f}", _interval(day.whole_ml))
        for day in outlook.forecast
    ]
    tables = [
        Table(("Rate in real days", "Value", f"{LEVEL:.0%} interval"), rates),
        Table(
            ("Days after the first scan", "Outlined whole (ml)", "Growth (ml)",
             f"{LEVEL:.0%} interval"),
            days,
        ),
    ]  # fmt: skip
    last_day = (told.forecast or told.scans)[-1].after_days
    pictures = {
        "The growth from its first cells to the last of these days, on the first scan's T1": drawn(
            "The movie of the growth",
            lambda: draw_patient_movie(
                patient,
                [
                    (f"day {round(day)}", density)
                    for day, density in grown_on(told.fit, PATIENT_FRAMES, last_day)
                ],
                outlook.along,
            ),
            failures,
        )
    }
    if told.forecast:
        caption = (
            "The growth through all scans, at the first one and as it is forecast, on the first "
            "scan's T1"
        )
        if len(outlook.maps) > MOST_PANELS:
            caption += f" (the first {MOST_PANELS} days of the forecast)"
        pictures[caption] = drawn(
            "The picture of the forecast",
            lambda: draw_days(patient, _panels(outlook, patient)),
            failures,
        )
    shown = {caption: picture for caption, picture in pictures.items() if picture}
    return Section("Growth in real days", sentences, tables, shown)


def _panels(outlook: PatientOutlook, patient: Patient) -> list[tuple[str, TumorDensity]]:
    """The growth through all scans at the first one, and its forecasts, by the panels' titles."""
    told = outlook.outlook
    plane = tumour_planes(patient)[0]  # the one that is drawn: a whole map takes a second
    brain = plane.sample(patient.brain_with_tumour, patient.grid) >= 0.5
    at_first = map_day(
        told, told.scans[0], plane.grid, along=outlook.along, within=brain[..., None]
    )
    forecasts = zip(told.forecast, outlook.maps, strict=True)
    later = [(f"day {_days(day.after_days)}", density) for day, density in forecasts]
    return [("first scan", at_first), *later[:MOST_PANELS]]


def _days(value: float) -> str:
    """A number of days, to a tenth."""
    return f"{round(value, 1):.10g}"


def _interval(rate: Rate) -> str:
    ends = f"{number(rate.low)} to {number(rate.high)}"
    return ends if rate.is_determined else f"not determined: {ends}"
