"""The factors of a database's intervals: a small file beside it, which `calibration` makes.

    DB/calibration.json    factors by kind of ensemble and quantity, and what they rest on

They hold for one state of one database and for one way to make ensembles of it. Where there are
none, no interval is claimed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from ...dbgen import Database
from ...dbgen.machine.files import write_json
from ...errors import InputError

FILE = "calibration.json"
SCHEMA = "glioquery-calibration"

METHOD = 1
"""Number of the way that ensembles and their spreads are made (`uncertainty`): another way has
another number, and other factors."""

N_TUMOURS, SEED = 200, 20_220
"""How many simulated tumours a calibration takes by default, and the seed of their draws."""

LEVEL = 0.9
"""Share of the intervals that are to hold the truth."""

SEGMENTATION_NOISE = (
    "each outline's boundary displaced by a smooth random field of standard deviation 2 mm, "
    "correlated over 8 mm, core and whole tumour independently"
)
"""What disturbed the outlines of the calibration."""

QUANTITIES = ("origin_x_mm", "origin_y_mm", "origin_z_mm", "lambda_mm", "rho_t")

Source = Literal["matches", "refinement", "own anatomy"]
"""Where an ensemble comes from: the best matches, or a refinement on the atlas or in the patient's
own anatomy. The last has the constants of the second."""

Calibrated = Literal["matches", "refinement"]
CALIBRATED: tuple[Calibrated, ...] = ("matches", "refinement")

RESTS_ON: Mapping[Source, str] = {
    "matches": "{n} simulated tumours of the database's own space",
    "refinement": "{n} simulated tumours of the database's own space, refined on the atlas",
    "own anatomy": "{n} simulated tumours refined on the atlas; none in an anatomy of their own",
}
"""Said with every interval."""


class CalibrationError(InputError):
    """A database has no calibration that holds; the message is a sentence with the remedy."""


@dataclass(frozen=True)
class Calibration:
    """What makes intervals hold the truth.

    Attributes
    ----------
    factors : mapping of Calibrated to mapping of str to float
        For each of `QUANTITIES` and of `fitted` the factor f of `uncertainty`; both kinds, or the
        first alone.
    n_tumours : mapping of Calibrated to int
        Simulated tumours that each kind rests on.
    seed : int
        Of their draws.
    fitted : tuple of str
        Parameters of the model that were fitted as well (see `coordinates.Coordinates.more`).
    """

    factors: Mapping[Calibrated, Mapping[str, float]]
    n_tumours: Mapping[Calibrated, int]
    seed: int
    fitted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reach:
    """How far the intervals of an ensemble reach.

    Attributes
    ----------
    factors : mapping of str to float, or None
        For each of `QUANTITIES`; None where no interval is claimed.
    said : str
        What the factors rest on, or why there are none and how to get them.
    """

    factors: Mapping[str, float] | None
    said: str


def kind_of(source: Source) -> Calibrated:
    """The kind of ensemble whose constants a source has."""
    return "matches" if source == "matches" else "refinement"


def reach_of(database: Database, source: Source, fitted: Sequence[str] = ()) -> Reach:
    """How far the intervals of an ensemble reach that was found with a database.

    Parameters
    ----------
    database : Database
    source : Source
    fitted : sequence of str
        Parameters of the model that were fitted besides `QUANTITIES`.
    """
    kind = kind_of(source)
    try:
        calibration = read_calibration(database)
    except CalibrationError as error:
        return Reach(None, str(error))
    if kind not in calibration.factors:
        return Reach(
            None,
            "The calibration of this database was ended before it came to refined growths: finish "
            "it with `glioquery calibrate DB`.",
        )
    if calibration.fitted != tuple(fitted):
        options = "".join(f" --fit {name}" for name in fitted)
        return Reach(
            None,
            "The calibration of this database was made with other parameters fitted "
            f"({', '.join(calibration.fitted) or 'none'}): make it with "
            f"`glioquery calibrate DB{options}`.",
        )
    n = calibration.n_tumours[kind]
    return Reach(calibration.factors[kind], RESTS_ON[source].format(n=n))


def read_calibration(database: Database) -> Calibration:
    """Read the calibration beside a database.

    Raises
    ------
    CalibrationError
        If there is none, or it was made of another state of the database or in another way, or
        does not hold what it should.
    """
    path = database.path / FILE
    again = "make it again with `glioquery calibrate DB`."
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CalibrationError(
            "This database was not calibrated: do that once with `glioquery calibrate DB`."
        ) from None
    except (OSError, ValueError) as error:
        raise CalibrationError(
            f"The calibration of this database cannot be read ({error}): {again}"
        ) from None
    try:
        made_of = (stored["schema"], stored["method"], stored["level"], stored["database_checksum"])
        fitted = tuple(map(str, stored.get("fitted", ())))
        calibration = Calibration(
            factors={
                kind: {
                    name: float(stored["factors"][kind][name]) for name in (*QUANTITIES, *fitted)
                }
                for kind in CALIBRATED
                if kind in stored["factors"]
            },
            n_tumours={kind: int(stored["n_tumours"][kind]) for kind in stored["factors"]},
            seed=int(stored["seed"]),
            fitted=fitted,
        )
        values = [value for kind in calibration.factors.values() for value in kind.values()]
        if not values or not all(0 < value < math.inf for value in values):
            raise ValueError("factors are positive numbers")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CalibrationError(
            f"The calibration of this database was altered ({error!r}): {again}"
        ) from None
    if made_of[:3] != (SCHEMA, METHOD, LEVEL):
        raise CalibrationError(
            f"The calibration of this database was made by another version of glioquery: {again}"
        )
    if made_of[3] != database.checksum:
        raise CalibrationError(
            f"The calibration of this database was made of another state of it: {again}"
        )
    return calibration


def write_calibration(database: Database, calibration: Calibration) -> Path:
    """Write a calibration beside its database, complete or not at all."""
    path = database.path / FILE
    write_json(
        path,
        {
            "schema": SCHEMA,
            "method": METHOD,
            "package_version": version("glioquery"),
            "database_checksum": database.checksum,
            "level": LEVEL,
            "noise": SEGMENTATION_NOISE,
            "seed": calibration.seed,
            **({"fitted": list(calibration.fitted)} if calibration.fitted else {}),
            "n_tumours": dict(calibration.n_tumours),
            "factors": {kind: dict(values) for kind, values in calibration.factors.items()},
        },
    )
    return path
