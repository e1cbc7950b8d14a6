"""The forecast of a fitted growth: densities and volumes on later days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...solver import TumorDensity, on_grid
from ...solver.own_settings import own_arithmetic
from .joint_fit import JointFit
from .real_rates import Rate, rate_of, rates_of
from .scan_days import checked_forecast
from .sensitivity_of_volumes import volumes_of


@dataclass(frozen=True, eq=False)
class ForecastDay:
    """A tumour on a day with or without a scan.

    Attributes
    ----------
    after_days : float
        Days after the first scan.
    density : TumorDensity
        Density on the grid of the tissue in which it grew.
    core_ml, whole_ml : Rate
        Volumes of its outlines; an empty core has none.
    """

    after_days: float
    density: TumorDensity
    core_ml: Rate | None
    whole_ml: Rate


@dataclass(frozen=True, eq=False)
class Outlook:
    """The outlook of a growth in real days from several scans.

    Attributes
    ----------
    fit : JointFit
    rates : mapping of str to Rate
        See `real_rates.rates_of`.
    scans, forecast : tuple of ForecastDay
        The growth on the days of the scans, and on the later days of the forecast.
    """

    fit: JointFit
    rates: dict[str, Rate]
    scans: tuple[ForecastDay, ...]
    forecast: tuple[ForecastDay, ...]


@own_arithmetic()
def look_ahead(fit: JointFit, days: Sequence[float] = ()) -> Outlook:
    """Rates of a growth from the scans, and its later days.

    Parameters
    ----------
    fit : JointFit
        As `fit_scans` returns it.
    days : sequence of float
        Days to forecast, counted as those of the scans.

    Returns
    -------
    Outlook

    Raises
    ------
    InputError
        If a day is not after the last scan.
    """
    first_day = fit.joint.scans[0].day
    later = checked_forecast(days, fit.joint.scans[-1].day, first_day)
    after = (*fit.joint.after_days, *(day - first_day for day in later))
    seen = fit.joint.snapshots(fit.growth, after, fit.accuracy)
    volumes = volumes_of(fit, seen, after)
    told = []
    for i, (day, snapshot) in enumerate(zip(after, seen, strict=True)):
        core, whole = (
            rate_of(fit, "volume_ml", float(volumes.ml[i, outline]), volumes.slopes[i, outline])
            for outline in (0, 1)
        )
        told.append(
            ForecastDay(
                after_days=float(day),
                density=on_grid(fit.joint.tissue, snapshot.u),
                core_ml=core if core.value > 0 else None,
                whole_ml=whole,
            )
        )
    n_scans = len(fit.joint.scans)
    return Outlook(fit, rates_of(fit, volumes), tuple(told[:n_scans]), tuple(told[n_scans:]))


@own_arithmetic()
def grown_on(fit: JointFit, n_days: int, last_day: float) -> list[tuple[float, TumorDensity]]:
    """A growth at equal steps of time from its seed.

    Parameters
    ----------
    fit : JointFit
    n_days : int
        Number of densities.
    last_day : float
        The last of these days, after the first scan; > 0.

    Returns
    -------
    list of (float, TumorDensity)
        Days after the first scan, below 0 before it, and the densities then.
    """
    age = fit.growth.days
    days = np.linspace(-age, last_day, n_days + 1)[1:].tolist()
    seen = fit.joint.snapshots(fit.growth, days, fit.accuracy)
    return [
        (day, on_grid(fit.joint.tissue, snapshot.u))
        for day, snapshot in zip(days, seen, strict=True)
    ]
