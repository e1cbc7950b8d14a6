"""Beyond the nearest match, on tumours of known growth: `python tests/benchmark/inversion.py`.

    refine --n 50                     refinement of unseen tumours: Dice, error of the origin
    refine --n 50 --jitter            the same, and what jittered parameters find in the same time
    coverage --n 300 --first 200      how often the intervals hold the truth, and their widths

The database is the embedded one, unless one is named after the verb; its intervals are those that
`glioquery calibrate` made. `--refined` tests those of a refinement instead of those of the matches;
with `--rows FILE` the same command resumes. The tumours are drawn from the database's own space
with another seed; what is asked for are their outlines on the atlas, exact for `refine`, disturbed
like segmentations for `coverage`. No patient, and so no registration, takes part.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from glioquery.atlas import load_atlas
from glioquery.dbgen import Database
from glioquery.dbgen.store.opening import open_database
from glioquery.pipeline.fit.answer import N_RANKED
from glioquery.pipeline.fit.coordinates import Coordinates
from glioquery.pipeline.fit.descent import Interior
from glioquery.pipeline.fit.refinement import choose_starts, refine
from glioquery.pipeline.fit.trajectory import Target, follow
from glioquery.pipeline.terminal.progress import progress_bar
from glioquery.pipeline.uncertainty.interval_factors import (
    LEVEL,
    QUANTITIES,
    SEED,
    Calibrated,
    read_calibration,
)
from glioquery.pipeline.uncertainty.intervals import LOGARITHMIC, quantities_of
from glioquery.pipeline.virtual.calibration import draw_unseen, read_tumours
from glioquery.query import Index, search
from glioquery.query.index.opening import open_index
from glioquery.solver import Accuracy, GrowthParameters, Tissue

JITTER_ACCURACY = Accuracy.for_error(0.05)


def jitter(
    target: Target, starts: Sequence[GrowthParameters], seconds: float, rng: np.random.Generator
) -> tuple[float, GrowthParameters]:
    """The best of jittered growths, found in as much processor time: the baseline of `refine`.

    Every run is stopped where it overlaps the outlines best, so that origin and lambda alone are
    jittered, around the best so far. Their spread grows by half when a draw is better and shrinks
    otherwise, so that one in five is (Rechenberg's rule).
    """
    interior, spread = Interior(target.tissue), 1.0
    until = time.process_time() + seconds
    best, tried = (-math.inf, starts[0]), list(starts)
    while time.process_time() < until:
        growth = tried.pop(0) if tried else None
        if growth is None:
            away = spread * rng.normal(size=4)
            origin = interior.nearest(np.array(best[1].origin_mm) + 5.0 * away[:3])
            dw = best[1].dw * math.exp(2 * 0.3 * away[3])
            growth = replace(best[1], origin_mm=tuple(origin.tolist()), dw=dw)
        run = follow(target, growth, JITTER_ACCURACY)
        score, days = (-math.inf, 0.0) if run is None else run.best()
        if score > best[0]:
            best, spread = (score, replace(growth, days=days)), 1.5 * spread
        else:
            spread *= 1.5**-0.25
    return best


def run_refine(database: Database, index: Index, arguments: argparse.Namespace) -> None:
    """Refine unseen tumours and print what came of each."""
    tissue = Tissue.from_atlas(load_atlas())
    rows, jittered = [], []
    for i in range(arguments.first, arguments.first + arguments.n):
        truth = draw_unseen(database, tissue, arguments.seed, i)
        began, cpu = time.perf_counter(), time.process_time()
        matches = search(index, truth.masks, k=min(N_RANKED, index.n_samples))
        ranked = [database.growth_parameters(match.sample) for match in matches]
        target = Target(truth.masks, tissue, database.model, database.thresholds)
        found = refine(target, choose_starts(ranked), accuracy=database.accuracy)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        p, q = truth.parameters, found.best.parameters
        apart = [math.dist(g.origin_mm, p.origin_mm) for g in (ranked[0], q)]
        rows.append((matches[0].score, found.best.score, *apart, seconds))
        print(
            f"{i:4} {truth.masks.whole.sum() * tissue.grid.voxel_ml:4.0f} ml, lambda "
            f"{p.lambda_mm:4.1f} mm: sum of Dice {matches[0].score:.3f} -> {found.best.score:.3f}, "
            f"origin off by {apart[0]:4.1f} -> {apart[1]:4.1f} mm, lambda {q.lambda_mm:4.1f} mm, "
            f"rho T {p.rho_t:.1f} -> {q.rho_t:.1f}, "
            f"{found.n_runs} runs, {seconds:.1f} s, {cpu:.1f} s of processor time",
            flush=True,
        )
        if arguments.jitter:
            rng = np.random.default_rng([arguments.seed, i])
            score, growth = jitter(target, choose_starts(ranked), cpu, rng)
            off = math.dist(growth.origin_mm, p.origin_mm)
            jittered.append((score, off))
            print(
                f"     jittered: sum of Dice {score:.3f}, origin off by {off:4.1f} mm", flush=True
            )
    before, after, far, near, seconds = np.array(rows).T
    print(
        f"sum of Dice: mean {before.mean():.3f} -> {after.mean():.3f}, least {after.min():.3f}\n"
        f"origin: median error {np.median(far):.1f} -> {np.median(near):.2f} mm, "
        f"at most {near.max():.1f} mm\n"
        f"seconds: median {np.median(seconds):.1f}, at most {seconds.max():.1f}"
    )
    if jittered:
        scores, off = np.array(jittered).T
        print(
            f"jittered: mean {scores.mean():.3f}, least {scores.min():.3f}; origin: median error "
            f"{np.median(off):.2f} mm, at most {off.max():.1f} mm"
        )


def run_coverage(database: Database, index: Index, arguments: argparse.Namespace) -> None:
    """Test the intervals that are stored beside the database."""
    source: Calibrated = "refinement" if arguments.refined else "matches"
    stored = read_calibration(database).factors[source]
    tumours = range(arguments.first, arguments.first + arguments.n)
    with progress_bar(f"coverage: {source}", "tumours") as progress:
        readings = read_tumours(
            database,
            index,
            tumours,
            source,
            seed=arguments.seed,
            rows=arguments.rows,
            progress=progress,
        )
    noise = np.mean([reading.noise_dice for reading in readings])
    print(f"{len(readings)} tumours, mean Dice of disturbed and true outlines {noise:.3f}")
    error = np.array([reading.error for reading in readings])
    width = np.array([reading.spread for reading in readings])
    coordinates = Coordinates(database.model)
    prior = np.array([quantities_of(database.growth_parameters(s), coordinates) for s in database])
    low, high = np.quantile(prior, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    for q, name in enumerate(QUANTITIES):
        half, unit = stored[name] * np.median(width[:, q]), "mm"
        own, whole = 2 * half, high[q] - low[q]
        if name in LOGARITHMIC:
            own, whole, unit = math.exp(own), math.exp(whole), "times"
        print(
            f"{name:12} factor {stored[name]:.2f}: holds the truth in "
            f"{(error[:, q] <= stored[name] * width[:, q]).mean():.1%}; median error "
            f"{np.median(error[:, q]):.3f}; median width {own:.3g} {unit}, the prior's {whole:.3g}"
        )


def main() -> None:
    """Parse the command line and run one benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("refine", "coverage"))
    parser.add_argument("database", nargs="?", type=Path, help="default: the embedded one")
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--refined", action="store_true", help="the intervals of a refinement")
    parser.add_argument("--rows", type=Path, help="file that keeps what is measured, to resume")
    parser.add_argument("--jitter", action="store_true", help="the baseline as well")
    arguments = parser.parse_args()
    database = open_database(arguments.database)
    index = open_index(database)
    if arguments.what == "refine":
        run_refine(database, index, arguments)
    else:
        run_coverage(database, index, arguments)


if __name__ == "__main__":
    main()
