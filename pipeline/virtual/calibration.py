"""Calibrate the intervals of a database on tumours of its own space that it does not hold.

Each tumour is drawn with another seed, its outlines on the atlas are disturbed like segmentations,
and the database's answer is compared with the truth. Let m be the ensemble's mean of a quantity and
s its spread (`uncertainty`). The factor f of the quantity is the ceil(0.9 (n + 1))-th smallest of
the n ratios |truth - m| / s, so that 90 % of the intervals m +- f s hold the truth (split conformal
calibration). First the ensembles of matches are calibrated, in a minute, then those of refined
growths. No patient, and so no registration, takes part.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dbgen import Database
from ...dbgen.machine.lock import HeldError, hold
from ...dbgen.machine.progress import Bars, Progress, silent
from ...dbgen.study.samplers import find_sampler
from ...dbgen.study.samples import draw_samples
from ...errors import InputError
from ...query import Index, dice_of_masks, search
from ...solver import GrowthParameters, Tissue, TumorMasks, on_grid
from ...solver.models import reach_of
from ..fit.answer import N_RANKED
from ..fit.coordinates import Coordinates, Free, free_parameters
from ..fit.matches import DEFAULT_MATCHES
from ..fit.refinement import NoGrowthError, choose_starts, refine
from ..fit.trajectory import Target
from ..uncertainty.interval_factors import (
    CALIBRATED,
    LEVEL,
    METHOD,
    N_TUMOURS,
    QUANTITIES,
    SEED,
    Calibrated,
    Calibration,
    CalibrationError,
    read_calibration,
    write_calibration,
)
from ..uncertainty.intervals import quantities_of, spread
from ..uncertainty.members import Member, draw_members
from .disturbance import disturb

LEAST_TUMOURS = 9
"""Least number of tumours: the smallest with a rank for 90 %."""

FACTOR_STEP = 1e-4
"""Factors are rounded up to whole steps, so that the intervals still hold what they held, also
those of a quantity that the study fixes."""

LOCK_FILE = ".calibration.lock"
"""File that one calibration holds, beside the database."""

ROWS_FILE = ".calibration.jsonl"
"""File of the measurements, one line for each tumour, until the calibration is complete."""


@dataclass(frozen=True, eq=False)
class Unseen:
    """A tumour that is in no database."""

    parameters: GrowthParameters
    masks: TumorMasks


@dataclass(frozen=True, eq=False)
class Reading:
    """An ensemble's answer about a tumour of known growth.

    Attributes
    ----------
    noise_dice : float
        Mean Dice of the disturbed outlines and the true ones.
    error : (k,) float64 array
        |truth - m| of each of `QUANTITIES` and of each further fitted parameter; logarithms where
        they are used.
    spread : (k,) float64 array
        s, likewise.
    """

    noise_dice: float
    error: NDArray[np.float64]
    spread: NDArray[np.float64]


def calibrate(
    database: Database,
    index: Index,
    *,
    n: int = N_TUMOURS,
    seed: int = SEED,
    fit: Sequence[str] = (),
    bars: Bars,
) -> Calibration:
    """Calibrate a database's intervals and write their factors beside it (see `interval_factors`).

    Each measurement is kept at once: the same call resumes a killed one. The factors of matches are
    written as soon as they are known, unless they would replace those of both kinds.

    Parameters
    ----------
    database : Database
    index : Index
        Index of its stored outlines.
    n : int
        Number of tumours, 9 or more.
    seed : int
        Seed of their draws; it differs from the database's.
    fit : sequence of str
        Parameters of the model to fit, beside those that the database's study varies.
    bars : callable(task, unit)
        Makes progress bars.

    Returns
    -------
    Calibration
        The calibration that was written.

    Raises
    ------
    InputError
        If there are too few tumours, none that the database does not hold, its folder cannot be
        written, or another process calibrates it.
    """
    _check(database, n, seed)
    free = free_parameters(database, fit)
    with _only_one(database):
        return _calibrate(database, index, n, seed, free, bars)


@contextlib.contextmanager
def _only_one(database: Database) -> Iterator[None]:
    """Be the only one who calibrates a database."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold(database.path / LOCK_FILE))
        except HeldError as error:
            raise InputError(f"another process calibrates {database.path}, {error}") from None
        except OSError as error:
            raise _unwritable(database.path, error) from None
        yield


def _calibrate(
    database: Database, index: Index, n: int, seed: int, free: tuple[Free, ...], bars: Bars
) -> Calibration:
    """Measure both kinds, and write their factors."""
    coordinates = Coordinates(database.model, free)
    fitted, tried = (
        tuple(one.name for one in some) for some in (coordinates.more, coordinates.tried)
    )
    rows = database.path / ROWS_FILE
    has_both = _has_both(database, fitted, tried)
    factors: dict[Calibrated, dict[str, float]] = {}
    counts: dict[Calibrated, int] = {}
    for source in CALIBRATED:
        with bars(f"calibrate: {source}", "tumours") as progress:
            readings = read_tumours(
                database,
                index,
                range(n),
                source,
                seed=seed,
                free=free,
                rows=rows,
                progress=progress,
            )
        if len(readings) < LEAST_TUMOURS:
            raise InputError(
                f"only {len(readings)} of {n} tumours could be refined, {LEAST_TUMOURS} are "
                "needed: give a larger --n"
            )
        found = find_factors(readings)
        names = (*QUANTITIES, *fitted)
        steps = np.maximum(np.ceil(found / FACTOR_STEP), 1)
        factors[source] = dict(zip(names, np.round(steps * FACTOR_STEP, 4).tolist(), strict=True))
        counts[source] = len(readings)
        calibration = Calibration(dict(factors), dict(counts), seed, fitted, tried)
        if set(factors) == set(CALIBRATED) or not has_both:
            write_calibration(database, calibration)
    rows.unlink(missing_ok=True)
    return calibration


def _has_both(database: Database, fitted: Sequence[str], tried: Sequence[str]) -> bool:
    """Whether a valid calibration has factors of both kinds for these parameters."""
    try:
        found = read_calibration(database)
    except CalibrationError:
        return False
    made = (found.fitted, found.tried) == (tuple(fitted), tuple(tried))
    return made and set(found.factors) == set(CALIBRATED)


def find_factors(readings: Iterable[Reading]) -> NDArray[np.float64]:
    """The factor of each quantity, (k,) float64 array, from at least nine readings."""
    ratios = np.sort([reading.error / reading.spread for reading in readings], axis=0)
    return ratios[math.ceil((len(ratios) + 1) * LEVEL) - 1]


def read_tumours(
    database: Database,
    index: Index,
    tumours: Iterable[int],
    source: Calibrated,
    *,
    seed: int = SEED,
    free: tuple[Free, ...] = (),
    rows: Path | None = None,
    progress: Progress = silent,
) -> list[Reading]:
    """Read a database's answers about tumours that it does not hold, or continue with that.

    Parameters
    ----------
    database : Database
    index : Index
    tumours : iterable of int
        Numbers of the draws.
    source : "matches" or "refinement"
        Kind of the ensembles.
    seed : int
        Seed of the draws.
    free : tuple of Free
        Parameters that are fitted as well.
    rows : Path, optional
        File that keeps the measurements.
    progress : callable(done, total)

    Returns
    -------
    list of Reading
        One for each tumour that a refinement can grow.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    tissue = database.tissue
    state = {"database": database.checksum, "seed": seed, "method": METHOD}
    if free:
        state |= {"fitted": [one.name for one in free]}
    known = {} if rows is None else _begin_rows(rows, state)
    numbers, readings = list(tumours), []
    for done, i in enumerate(numbers, start=1):
        key = f"{source} {i}"
        if key not in known:
            known[key] = _read_tumour(database, index, tissue, source, seed, i, free)
            if rows is not None:
                with rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"tumour": key, "reading": _plain(known[key])}) + "\n")
        reading = known[key]
        if reading is not None:
            readings.append(reading)
        progress(done, len(numbers))
    return readings


def draw_unseen(database: Database, tissue: Tissue, seed: int, i: int) -> Unseen:
    """Tumour i of a seed: one snapshot of a run of its own, in the space of one of the parts.

    Parts are drawn in proportion to their tumours.
    """
    sample = np.random.default_rng([seed, i]).integers(database.n_samples)
    (plan,) = (part.plan for part in database.parts if part.first <= sample < part.last)
    samples = draw_samples(tissue, plan.drawn_anew(seed), i)
    drawn = samples[i % len(samples)]
    return Unseen(drawn.parameters, on_grid(tissue, drawn.snapshot.u).outlines(plan.thresholds))


def _read_tumour(
    database: Database,
    index: Index,
    tissue: Tissue,
    source: Calibrated,
    seed: int,
    i: int,
    free: tuple[Free, ...],
) -> Reading | None:
    """The database's answer about one tumour; None if no refinement grows it."""
    truth = draw_unseen(database, tissue, seed, i)
    reach = reach_of(database.model, tissue).domain
    masks = disturb(truth.masks, reach, np.random.default_rng([seed, i]))
    noise = float(np.mean(dice_of_masks(truth.masks, masks)))
    refined = source == "refinement"
    matches = search(index, masks, k=N_RANKED if refined else DEFAULT_MATCHES)
    ranked = [database.growth_parameters(match.sample) for match in matches]
    if refined:
        target = Target(masks, tissue, database.model, database.thresholds, free)
        try:
            found = refine(target, choose_starts(ranked), accuracy=database.accuracy)
        except NoGrowthError:
            return None
        members = draw_members(target, found, seed=i).members
    else:
        members = [Member(p, match.score) for p, match in zip(ranked, matches, strict=True)]
    coordinates = Coordinates(database.model, free)
    centre, width = spread(members, source, coordinates)
    return Reading(noise, np.abs(quantities_of(truth.parameters, coordinates) - centre), width)


def _check(database: Database, n: int, seed: int) -> None:
    if n < LEAST_TUMOURS:
        raise InputError(
            f"a calibration takes {LEAST_TUMOURS} tumours or more, {N_TUMOURS} by default, got {n}"
        )
    if not 0 <= seed < 2**32:
        raise InputError(f"seed is a whole number from 0 to 2^32 - 1, got {seed}")
    for part in database.parts:
        if find_sampler(part.plan.space.sampler).sweeps:
            raise InputError(
                f"{database.path} holds every point of its sweep: no tumour of its space is left "
                "to calibrate on"
            )
        if part.plan.seed == seed:
            raise InputError(f"{database.path} was drawn with seed {seed}: choose another --seed")


def _begin_rows(path: Path, state: dict[str, Any]) -> dict[str, Reading | None]:
    """The measurements that a file keeps for this state; a file of another state is begun again.

    An incomplete last line comes from a killed process.
    """
    found: dict[str, Reading | None] = {}
    try:
        first, *lines = (path.read_text(encoding="utf-8") if path.exists() else "").split("\n")
        is_ours = _parsed(first) == state
        for row in map(_parsed, lines if is_ours else ()):
            with contextlib.suppress(KeyError, TypeError, ValueError):
                found[row["tumour"]] = _reading(row["reading"])
        kept = [json.dumps(state)]
        kept += [json.dumps({"tumour": k, "reading": _plain(r)}) for k, r in found.items()]
        path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from None
    return found


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path} cannot be written ({error.strerror}): a calibration lies beside its database, "
        "copy that to a folder of yours"
    )


def _parsed(line: str) -> Any:
    """What a line of JSON holds; None where it is none."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def _plain(reading: Reading | None) -> list[Any] | None:
    if reading is None:
        return None
    return [reading.noise_dice, reading.error.tolist(), reading.spread.tolist()]


def _reading(values: list[Any] | None) -> Reading | None:
    if values is None:
        return None
    noise, error, width = values
    return Reading(noise, np.array(error), np.array(width))
