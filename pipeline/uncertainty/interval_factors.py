"""The factors of a database's intervals: a small file beside it, which `calibration` makes.

    DB/calibration.json    factors by kind of ensemble and quantity, and their basis

They hold for one state of one database and for one way to make ensembles from it. Without factors,
no interval is claimed.
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
from ...dbgen.machine.files import sha256_of, write_json
from ...dbgen.store.embedded import is_embedded
from ...errors import InputError
from ...solver.declarations import PROLIFERATION

FILE = "calibration.json"
SCHEMA = "glioquery-calibration"

METHOD = 3
"""Number of the way that ensembles and their spreads are made (`uncertainty`): another way has
another number, and other factors."""

N_TUMOURS, SEED = 200, 20_220
"""Number of simulated tumours of a calibration by default, and the seed of their draws."""

LEVEL = 0.9
"""Share of the intervals that should hold the truth."""

SEGMENTATION_NOISE = (
    "each outline's boundary displaced by a smooth random field of standard deviation 2 mm, "
    "correlated over 8 mm, core and whole tumour independently"
)
"""The disturbance of the outlines in a calibration."""

QUANTITIES = ("origin_x_mm", "origin_y_mm", "origin_z_mm", "lambda_mm", "rho_t")

Source = Literal["matches", "refinement", "own anatomy"]
"""Where an ensemble comes from: the best matches, or a refinement on the atlas or in the patient's
own anatomy. Own anatomy has the constants of a refinement on the atlas."""

Calibrated = Literal["matches", "refinement"]
CALIBRATED: tuple[Calibrated, ...] = ("matches", "refinement")

RESTS_ON: Mapping[Source, str] = {
    "matches": "{n} simulated tumours of the database's own space",
    "refinement": "{n} simulated tumours of the database's own space, refined on the atlas",
    "own anatomy": "{n} simulated tumours refined on the atlas; none in an anatomy of their own",
}
"""The basis of the intervals by source, which stands with every interval."""


class CalibrationError(InputError):
    """A database has no valid calibration; the message is a sentence with the remedy."""


@dataclass(frozen=True)
class Calibration:
    """The factors with which intervals hold the truth.

    Attributes
    ----------
    factors : mapping of Calibrated to mapping of str to float
        Factor f of `intervals` for each of `QUANTITIES` and of `fitted`; for both kinds, or for
        matches alone.
    n_tumours : mapping of Calibrated to int
        Number of simulated tumours behind each kind.
    seed : int
        Seed of their draws.
    fitted : tuple of str
        Parameters of the model that were fitted as well (see `coordinates.Coordinates.more`).
    tried : tuple of str
        Parameters of which each choice was tried.
    """

    factors: Mapping[Calibrated, Mapping[str, float]]
    n_tumours: Mapping[Calibrated, int]
    seed: int
    fitted: tuple[str, ...] = ()
    tried: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reach:
    """How far the intervals of an ensemble reach.

    Attributes
    ----------
    factors : mapping of str to float, or None
        For each of `QUANTITIES` and of the fitted parameters; None where no interval is claimed.
    said : str
        The basis of the factors, or why there are none and how to get them.
    """

    factors: Mapping[str, float] | None
    said: str


def kind_of(source: Source) -> Calibrated:
    """The kind of ensemble whose constants a source has."""
    return "matches" if source == "matches" else "refinement"


def reach_of(
    database: Database, source: Source, fitted: Sequence[str] = (), tried: Sequence[str] = ()
) -> Reach:
    """How far the intervals of an ensemble from a database reach.

    Parameters
    ----------
    database : Database
    source : Source
    fitted : sequence of str
        Fitted parameters of the model that are not in `QUANTITIES`.
    tried : sequence of str
        Parameters of which each choice is tried.
    """
    kind = kind_of(source)
    try:
        calibration = read_calibration(database)
    except CalibrationError as error:
        return Reach(None, str(error))
    if kind not in calibration.factors:
        return Reach(
            None,
            "The calibration of this database ended before it reached refined growths: finish "
            "it with `glioquery calibrate DB`.",
        )
    made, asked = (*calibration.fitted, *calibration.tried), (*fitted, *tried)
    if made != asked:
        # Without a symmetry, a model's rho is fitted in any case and not to be named.
        options = "".join(f" --fit {name}" for name in asked if name != PROLIFERATION.name)
        make = f"make it with `glioquery calibrate DB{options}`."
        if is_embedded(database):
            make = (
                "make a database of your own, and calibrate it with "
                f"`glioquery calibrate DB{options}`."
            )
        return Reach(
            None,
            "The calibration of this database was made with other parameters fitted "
            f"({', '.join(made) or 'none'}): {make}",
        )
    n = calibration.n_tumours[kind]
    return Reach(calibration.factors[kind], RESTS_ON[source].format(n=n))


def read_calibration(database: Database) -> Calibration:
    """Read the calibration beside a database.

    Raises
    ------
    CalibrationError
        If there is none, or it belongs to another state of the database or another way to make
        ensembles, or is malformed.
    """
    path = database.path / FILE
    again = "make it again with `glioquery calibrate DB`."
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CalibrationError(
            "This database was not calibrated: calibrate it once with `glioquery calibrate DB`."
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
            tried=tuple(map(str, stored.get("tried", ()))),
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
            f"The calibration belongs to another state of this database: {again}"
        )
    return calibration


def calibration_sha256(database: Database) -> str | None:
    """SHA-256 of a database's calibration, on which the intervals of a result rest; None of none.

    Parameters
    ----------
    database : Database

    Returns
    -------
    str or None
    """
    path = database.path / FILE
    return sha256_of(path) if path.is_file() else None


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
            **({"tried": list(calibration.tried)} if calibration.tried else {}),
            "n_tumours": dict(calibration.n_tumours),
            "factors": {kind: dict(values) for kind, values in calibration.factors.items()},
        },
    )
    return path
