"""Two scans of one tumour whose growth is known: `python tests/benchmark/two_scans.py [--n 100]`.

Each tumour is drawn from the embedded database's space with another seed. It grows on until its
whole volume is 1.2 to 3 times as large, in 30 to 365 days; its outlines on both days are disturbed
by 1 mm. What is measured is kept in the file of `--rows`, a line a pair: the same command goes on
from there. `--report` prints what the rows say. Pairs of another `--seed` may be added to a file;
`--calibrate` finds the factors of the intervals on all of its pairs.

`--treated` gives each tumour one treatment between its scans, in turn a course of radiotherapy and
the resection of most of its core.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from kept_rows import KeptRows
from scipy import ndimage

import glioquery as gq
from glioquery.dbgen import Database
from glioquery.dbgen.store import embedded_database
from glioquery.pipeline.scans.dated_outlines import DatedOutlines
from glioquery.pipeline.scans.forecast import look_ahead
from glioquery.pipeline.scans.joint_fit import fit_scans
from glioquery.pipeline.scans.real_rates import (
    DAYS_IN_A_YEAR,
    FACTORS,
    FACTORS_TREATED,
    LEAST_DEVIATION,
    QUANTITIES,
)
from glioquery.pipeline.virtual.calibration import draw_unseen
from glioquery.pipeline.virtual.disturbance import disturb
from glioquery.query import Index, dice_of_masks
from glioquery.solver import (
    GrowthParameters,
    Radiotherapy,
    Resection,
    Treatment,
    on_grid,
    simulate,
)

SEED = 202_618
TIMES_AS_LARGE = (1.2, 3.0)
APART_DAYS = (30.0, 365.0)
NOISE_MM = 1.0
USUAL_RHO = (0.002, 0.2)
MOST_ML = 300.0
"""Largest whole volume at which a forecast is judged: the largest of the database."""


EVENT_SHARES = (0.1, 0.4)
"""Of the days between the scans after which a treatment begins."""

ALPHA = (0.01, 0.04)
"""Radiosensitivity in 1/Gy of 30 fractions of 2 Gy: they leave 49 to 6 % of the cells."""

RESECTED_MM = 2.0
"""Rim of the core that a resection leaves."""

LEAST_ML = 3.0
"""Whole volume that a treatment must leave at the second scan."""


def draw_pair(
    database: Database, seed: int, number: int
) -> tuple[GrowthParameters, tuple[Any, Any], float, np.random.Generator]:
    """A growth in real days, its true outlines at both scans, and the days between."""
    tissue = database.tissue
    rng = np.random.default_rng([seed, number])
    while True:
        drawn = draw_unseen(database, tissue, seed, number)
        first = drawn.parameters
        times = math.exp(rng.uniform(*np.log(TIMES_AS_LARGE)))
        ml = times * drawn.masks.whole.sum() * tissue.grid.voxel_ml
        run = simulate(
            tissue,
            replace(first, days=10 * first.days),
            model=database.model,
            thresholds=database.thresholds,
            snapshot_ml=[ml],
            stop_ml=ml,
            accuracy=database.accuracy,
        )
        if run.snapshots:
            break
        number += 1_000_000  # the tissue holds no tumour as large
    later = run.snapshots[0]
    e_foldings = first.rho * (later.days - first.days)
    shortest, longest = (e_foldings / rho for rho in reversed(USUAL_RHO))
    apart = rng.uniform(max(APART_DAYS[0], shortest), max(min(APART_DAYS[1], longest), shortest))
    growth = first.scaled((later.days - first.days) / apart)
    outlines = drawn.masks, on_grid(tissue, later.u).outlines(database.thresholds)
    return growth, outlines, apart, rng


def draw_treated(
    database: Database, seed: int, number: int
) -> tuple[GrowthParameters, tuple[Any, Any], float, np.random.Generator, Treatment]:
    """As `draw_pair`, with one treatment between the scans."""
    tissue = database.tissue
    attempt = number
    while True:
        growth, (first, _), apart, rng = draw_pair(database, seed, attempt)
        attempt += 1_000_000
        day = apart * rng.uniform(*EVENT_SHARES)
        treatment: Treatment
        if number % 2 == 0:
            treatment = Radiotherapy(day, 2.0, alpha=rng.uniform(*ALPHA), fractions=30)
        else:
            inside = ndimage.distance_transform_edt(first.core, sampling=tissue.grid.spacing_mm)
            treatment = Resection(day, inside > RESECTED_MM)
            if not treatment.cavity.any():
                continue
        later = simulate(
            tissue,
            replace(growth, days=growth.days + apart),
            model=database.model,
            thresholds=database.thresholds,
            accuracy=database.accuracy,
            treatments=[replace(treatment, day=growth.days + day)],
        )
        if LEAST_ML <= later.final.whole_voxels * tissue.grid.voxel_ml <= MOST_ML:
            second = on_grid(tissue, later.final.u).outlines(database.thresholds)
            return growth, (first, second), apart, rng, treatment


def measure(
    database: Database, index: Index, seed: int, number: int, *, treated: bool
) -> dict[str, Any]:
    """What two scans of one tumour tell."""
    tissue = database.tissue
    treatments: tuple[Treatment, ...] = ()
    if treated:
        truth, outlines, apart, rng, treatment = draw_treated(database, seed, number)
        treatments = (treatment,)
    else:
        truth, outlines, apart, rng = draw_pair(database, seed, number)
    scans = []
    for masks, day in zip(outlines, (0.0, apart), strict=True):
        domain = tissue.domain
        for one in treatments:
            if isinstance(one, Resection) and one.day <= day:
                domain = domain & ~one.cavity
        scans.append(DatedOutlines(disturb(masks, domain, rng, noise_mm=NOISE_MM), day))
    began = time.process_time()
    fit = fit_scans(database, index, scans, treatments=treatments, n_threads=1)
    spent = time.process_time() - began
    ahead = (2 * apart, 3 * apart)
    outlook = look_ahead(fit, ahead)
    known = simulate(
        tissue,
        replace(truth, days=truth.days + ahead[-1]),
        model=database.model,
        thresholds=database.thresholds,
        snapshot_days=[truth.days + day for day in ahead],
        accuracy=database.accuracy,
        treatments=[replace(one, day=truth.days + one.day) for one in treatments],
    )
    forecast = []
    for snapshot, told in zip(known.snapshots, outlook.forecast, strict=False):
        there = on_grid(tissue, snapshot.u).outlines(database.thresholds)
        core, whole = dice_of_masks(there, told.density.outlines(database.thresholds))
        forecast.append(
            {
                "true_ml": float(there.whole.sum() * tissue.grid.voxel_ml),
                "ml": told.whole_ml.value,
                "deviation": told.whole_ml.deviation,
                "dice_core": core if there.core.any() else None,
                "dice_whole": whole,
            }
        )
    volumes = [float(masks.whole.sum() * tissue.grid.voxel_ml) for masks in outlines]
    return {
        "number": number,
        "seed": seed,
        "treatment": type(treatments[0]).__name__.lower() if treatments else None,
        "apart": apart,
        "ml": volumes,
        "truth": truths(truth, volumes, apart),
        "found": {name: [r.value, r.deviation] for name, r in outlook.rates.items()},
        "stored": [fit.start.score, fit.start.parameters.rho, fit.start.parameters.dw],
        "score": fit.score,
        "off_mm": math.dist(truth.origin_mm, fit.growth.origin_mm),
        "forecast": forecast,
        "runs": fit.n_runs,
        "processor_s": spent,
    }


def truths(growth: GrowthParameters, ml: list[float], apart: float) -> dict[str, float]:
    """The quantities of a growth that is known."""
    return {
        "rho": growth.rho,
        "dw": growth.dw,
        "lambda_mm": growth.lambda_mm,
        "velocity_mm_per_year": 2 * math.sqrt(growth.dw * growth.rho) * DAYS_IN_A_YEAR,
        "age_days": growth.days,
        "doubling_days": apart * math.log(2) / math.log(ml[1] / ml[0]),
    }


def errors(rows: Iterable[dict[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Errors of the logarithms of a quantity, and the deviations that are told of them."""
    if name == "volume_ml":
        pairs = [
            (math.log(day["ml"] / day["true_ml"]), day["deviation"])
            for row in rows
            for day in row["forecast"]
            if day["true_ml"] <= MOST_ML
        ]
    else:
        pairs = [
            (math.log(row["found"][name][0] / row["truth"][name]), row["found"][name][1])
            for row in rows
            if name in row["found"]
        ]
    off, told = np.array(pairs).T
    return off, np.hypot(told, LEAST_DEVIATION)


def told_in(rows: list[dict[str, Any]]) -> list[str]:
    """Quantities that the rows tell of: no doubling time under treatment."""
    return [
        name
        for name in QUANTITIES
        if name == "volume_ml" or any(name in row["found"] for row in rows)
    ]


def factor_of(off: np.ndarray, told: np.ndarray) -> float:
    """The factor with which 90 % of intervals hold the truth (split conformal calibration)."""
    ratios = np.sort(np.abs(off) / told)
    return float(ratios[min(math.ceil(0.9 * (len(ratios) + 1)), len(ratios)) - 1])


def report(rows: list[dict[str, Any]]) -> None:
    """Print what the rows say."""
    print(f"{len(rows)} pairs, mean sum of the four Dice {np.mean([r['score'] for r in rows]):.3f}")
    print("quantity | median error | 90 % of errors below | intervals that hold the truth")
    for name in told_in(rows):
        off, told = errors(rows, name)
        factor = (FACTORS_TREATED if rows[0].get("treatment") else FACTORS)[name]
        print(
            f"{name} | {np.median(np.abs(np.expm1(off))):.1%} | "
            f"{np.quantile(np.abs(np.expm1(off)), 0.9):.0%} | "
            f"{(np.abs(off) <= factor * told).mean():.0%}"
        )
    for place, when in enumerate(("one interval", "two intervals")):
        days = [r["forecast"][place] for r in rows if len(r["forecast"]) > place]
        days = [day for day in days if day["true_ml"] <= MOST_ML]
        near = [abs(day["ml"] / day["true_ml"] - 1) <= 0.2 for day in days]
        cores = [day["dice_core"] for day in days if day["dice_core"] is not None]
        print(
            f"{when} after the last scan ({len(days)} tumours of at most {MOST_ML:.0f} ml): volume "
            f"within 20 % in {np.mean(near):.0%}, mean Dice of the whole "
            f"{np.mean([day['dice_whole'] for day in days]):.3f}, of the core "
            f"{np.mean(cores):.3f} (of {len(cores)} that have one)"
        )
    seconds = [row["processor_s"] for row in rows]
    print(f"processor time of a fit: median {np.median(seconds):.1f} s, at most {max(seconds):.1f}")


def calibrate(rows: list[dict[str, Any]]) -> None:
    """Print the factors of the intervals, and what such factors of the other pairs hold."""
    print(f"{len(rows)} pairs; each tenth of them judged by the factors of all others:")
    for name in told_in(rows):
        held = []
        for tenth in range(10):
            factor = factor_of(*errors([r for i, r in enumerate(rows) if i % 10 != tenth], name))
            off, told = errors(rows[tenth::10], name)
            held += (np.abs(off) <= factor * told).tolist()
        print(f'    "{name}": {factor_of(*errors(rows, name)):.2f},  # {np.mean(held):.0%}')


def main() -> None:
    """Measure the pairs that are missing, or report on those that there are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100, help="pairs")
    parser.add_argument("--first", type=int, default=0, help="number of the first pair")
    parser.add_argument("--rows", type=Path, default=Path("two_scans.jsonl"))
    parser.add_argument("--seed", type=int, default=SEED, help="of the tumours")
    parser.add_argument("--treated", action="store_true", help="with a treatment between")
    parser.add_argument("--report", action="store_true", help="measure nothing more")
    parser.add_argument("--calibrate", action="store_true", help="print factors of intervals")
    arguments = parser.parse_args()
    kept = KeptRows(arguments.rows, treated=arguments.treated)
    if not (arguments.report or arguments.calibrate):
        gq.keep_compiled_programs()
        database = embedded_database()
        index = gq.open_index(database)
        measured = {row["number"] for row in kept.rows if row["seed"] == arguments.seed}
        numbers = range(arguments.first, arguments.first + arguments.n)
        for number in sorted(set(numbers) - measured):
            kept.add(measure(database, index, arguments.seed, number, treated=arguments.treated))
    if not kept.rows:
        parser.error(f"no pair was measured yet, and {arguments.rows} holds none")
    if arguments.calibrate:
        calibrate(kept.rows)
    else:
        report(kept.rows)


if __name__ == "__main__":
    main()
