"""The outlook from several scans, on the patient's grid."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...solver import Thresholds, TumorDensity
from ...solver.declarations import PROLIFERATION
from ..fit.answer import PLAUSIBLE_MEAN_DICE
from ..images.point_map import SAME_WORLD, PointMap
from ..images.resampling import resample_in_tissue
from .dated_outlines import doubts_of_change
from .forecast import ForecastDay, Outlook
from .later_scans import FollowUp
from .real_rates import LEVEL, Rate, basis_of
from .scan_days import say_day


@dataclass(frozen=True)
class Check:
    """How well the earlier scans forecast the last one.

    Attributes
    ----------
    day : float
        Day of the last scan, counted from the first.
    outlined_ml, forecast_ml : float
        Whole volumes in the patient's world.
    dice_core, dice_whole : float
        Dice of the forecast outlines.
    """

    day: float
    outlined_ml: float
    forecast_ml: float
    dice_core: float
    dice_whole: float


@dataclass(frozen=True, eq=False)
class PatientDay:
    """A tumour on a day, in the patient's world.

    Attributes
    ----------
    after_days : float
        Days after the first scan.
    core_ml, whole_ml : Rate
        Volumes of its outlines; an empty core has none.
    """

    after_days: float
    core_ml: Rate | None
    whole_ml: Rate

    @classmethod
    def of_map(cls, day: ForecastDay, density: TumorDensity, thresholds: Thresholds) -> PatientDay:
        """A day of an outlook and its map; the volumes are the map's.

        The registration makes a tumour larger or smaller than on the atlas. The intervals are
        multiples of the volume and keep their factors.

        Parameters
        ----------
        day : ForecastDay
        density : TumorDensity
            The density of that day in the patient's world.
        thresholds : Thresholds
            Densities at which the outlines lie.

        Returns
        -------
        PatientDay
        """
        outlines = density.outlines(thresholds)
        core = None
        if day.core_ml is not None and outlines.core_ml > 0:
            core = day.core_ml.scaled_to(outlines.core_ml)
        return cls(day.after_days, core, day.whole_ml.scaled_to(outlines.whole_ml))


@dataclass(frozen=True, eq=False)
class PatientOutlook:
    """The growth through all scans of a patient, and where it leads.

    Attributes
    ----------
    follow_up : FollowUp
    outlook : Outlook
        Outlook on the grid of the atlas, or of the patient's own tissue if `in_patient`.
    outlined_ml : tuple of float
        Volume of each scan's whole outline, as it was drawn.
    scans, forecast : tuple of PatientDay
        The growth on the days of the scans, and on the later days of the forecast.
    maps : tuple of TumorDensity
        Map of each forecast day, on the grid of the first scan.
    check : Check or None
        Check of the forecast, if there are three scans or more and the earlier ones tell a growth.
    in_patient : bool
        Whether the growth is in the patient's own anatomy and world.
    along : PointMap
        From the patient's world to that of the growth.
    failures : tuple of str
        Notices about attempts that were not possible.
    """

    follow_up: FollowUp
    outlook: Outlook
    outlined_ml: tuple[float, ...]
    scans: tuple[PatientDay, ...]
    forecast: tuple[PatientDay, ...]
    maps: tuple[TumorDensity, ...]
    check: Check | None = None
    in_patient: bool = False
    along: PointMap = SAME_WORLD
    failures: tuple[str, ...] = ()

    @property
    def notices(self) -> list[str]:
        """Notices about it."""
        fit = self.outlook.fit
        told = list(self.failures)
        if not fit.joint.is_treated:
            days = [scan.day for scan in fit.joint.scans]
            told += doubts_of_change(days, self.outlined_ml)
        for scan, (core, whole) in zip(fit.joint.scans, fit.dice, strict=True):
            mean = (core + whole) / 2 if scan.masks.core.any() else whole
            if scan.masks.whole.any() and mean < PLAUSIBLE_MEAN_DICE:
                told.append(
                    f"The growth through all scans is not like the tumour of day "
                    f"{say_day(scan.day)}: a mean Dice of {mean:.2f} (expected at least "
                    f"{PLAUSIBLE_MEAN_DICE}). Its rates and forecasts are doubtful."
                )
        usual = PROLIFERATION.usual
        if usual is not None and fit.growth.rho > usual[1]:
            told.append(
                f"Between the scans the tumour grows faster than any of the default space: rho is "
                f"{fit.growth.rho:.2g} per day, at most {usual[1]:g} there. See that the days of "
                "the scans are right."
            )
        vague = [name for name, rate in self.outlook.rates.items() if not rate.is_determined]
        if vague:
            told.append(
                "The scans do not determine, to a factor of two, " + ", ".join(sorted(vague)) + "."
            )
        return told

    def row(self) -> dict[str, Any]:
        """Plain values by name, as `result.json` shows them."""
        fit = self.outlook.fit
        return {
            "growth": fit.growth.row(),
            "own_anatomy": self.in_patient,
            "scans": [
                {
                    "day": scan.day - fit.joint.scans[0].day,
                    "outlined_ml": outlined_ml,
                    "grown_ml": told.whole_ml.value,
                    "dice_core": core,
                    "dice_whole": whole,
                    "agreement": agreement,
                }
                for scan, outlined_ml, told, (core, whole), agreement in zip(
                    fit.joint.scans,
                    self.outlined_ml,
                    self.scans,
                    fit.dice,
                    (None, *(later.agreement for later in self.follow_up.later)),
                    strict=True,
                )
            ],
            "treatments": [one.row(self.follow_up.first_day) for one in self.follow_up.treatments],
            "level": LEVEL,
            "rests_on": basis_of(fit),
            "rates": {name: rate_row(rate) for name, rate in self.outlook.rates.items()},
            "forecast": [forecast_row(day) for day in self.forecast],
            "check": None if self.check is None else dataclasses.asdict(self.check),
            "runs": fit.n_runs,
        }


def map_day(
    outlook: Outlook,
    day: ForecastDay,
    grid: Grid,
    *,
    along: PointMap,
    within: NDArray[np.bool_],
) -> TumorDensity:
    """The density of a day of an outlook, on a grid in the patient's world.

    Parameters
    ----------
    outlook : Outlook
    day : ForecastDay
        One of its days, with a scan or without.
    grid : Grid
        In the patient's world.
    along : PointMap
        From the patient's world to that of the growth.
    within : bool array of the grid's shape
        The brain with the tumour; the density is 0 outside it.

    Returns
    -------
    TumorDensity
    """
    grown = day.density
    # The tissue, and the fluid that is pushed away.
    tissue = outlook.fit.joint.tissue.domain | (grown.u > 0)
    (u,) = resample_in_tissue([grown.u], grown.grid, grid, tissue, along, within=within)
    return TumorDensity(u, grid)


def rate_row(rate: Rate) -> dict[str, Any]:
    """Plain values of a quantity with its interval."""
    return {
        "value": rate.value,
        "low": rate.low,
        "high": rate.high,
        "unit": rate.unit,
        "determined": rate.is_determined,
    }


def forecast_row(day: PatientDay) -> dict[str, Any]:
    """Plain values of a forecast day."""
    return {
        "day": day.after_days,
        "whole_ml": rate_row(day.whole_ml),
        "core_ml": None if day.core_ml is None else rate_row(day.core_ml),
    }
