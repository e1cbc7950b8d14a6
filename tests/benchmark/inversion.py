"""Beyond the nearest match, on tumours of known growth: `python tests/benchmark/inversion.py`.

    refine --n 50                     refinement of unseen tumours: Dice, error of the origin
    refine --n 50 --jitter            the same, and what jittered parameters find in the same time
    calibrate --n 200                 factors of the intervals, to be stored in uncertainty.py
    coverage --n 300 --first 200      how often the intervals hold the truth, and their widths

The database is the embedded one, unless one is named after the verb. `--refined` calibrates or
tests the intervals of a refinement instead of those of the matches; with `--rows FILE` the same
command resumes. The tumours are drawn from the database's own space with another seed; what is
asked for are their outlines on the atlas, exact for `refine`, disturbed like segmentations for the
other two (see `disturb`). No patient, and so no registration, takes part.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from glioquery.atlas import load_atlas
from glioquery.dbgen import Database, Plan
from glioquery.dbgen.drawing import draw_samples
from glioquery.pipeline.descent import Interior
from glioquery.pipeline.opening import open_database, open_index
from glioquery.pipeline.refinement import choose_starts, refine
from glioquery.pipeline.trajectory import Target, follow
from glioquery.pipeline.uncertainty import (
    FACTORS,
    LEVEL,
    LOGARITHMIC,
    QUANTITIES,
    Calibrated,
    Member,
    draw_members,
    quantities_of,
    spread,
)
from glioquery.query import Index, dice_of_masks, search
from glioquery.solver import Accuracy, GrowthParameters, Tissue, TumorMasks, on_grid

UNSEEN_SEED = 20_220
N_RANKED = 60
N_MATCHES = 15
NOISE_MM = 2.0
JITTER_ACCURACY = Accuracy.for_error(0.05)
NOISE_SD_MM = 8.0


@dataclass(frozen=True, eq=False)
class Unseen:
    """A tumour that is in no database."""

    parameters: GrowthParameters
    masks: TumorMasks


def draw_unseen(plan: Plan, tissue: Tissue, seed: int, i: int) -> Unseen:
    """Tumour i of a seed: one snapshot of a run of its own."""
    samples = draw_samples(tissue, replace(plan, seed=seed), i)
    sample = samples[i % len(samples)]
    return Unseen(sample.parameters, on_grid(tissue, sample.snapshot.u).outlines(plan.thresholds))


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
        truth = draw_unseen(database.plan, tissue, arguments.seed, i)
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


def disturb(masks: TumorMasks, tissue: Tissue, rng: np.random.Generator) -> TumorMasks:
    """Move each outline's boundary in and out by a smooth random field, inside the tissue.

    The field has a standard deviation of `NOISE_MM`; it is white noise under a Gaussian of
    standard deviation `NOISE_SD_MM` / 2, so that it is correlated over `NOISE_SD_MM`.
    """
    spacing = np.array(masks.grid.spacing_mm)

    def moved(mask: np.ndarray) -> np.ndarray:
        inside = ndimage.distance_transform_edt(mask, spacing)
        outside = ndimage.distance_transform_edt(~mask, spacing)
        noise = rng.standard_normal(mask.shape).astype(np.float32)
        noise = ndimage.gaussian_filter(noise, NOISE_SD_MM / 2 / spacing, mode="wrap")
        return (inside - outside + NOISE_MM * noise / noise.std() > 0) & tissue.domain

    whole = moved(masks.whole)
    return TumorMasks(moved(masks.core) & whole, whole, masks.grid)


def seen_through_noise(
    database: Database, index: Index, tissue: Tissue, arguments: argparse.Namespace, i: int
) -> tuple[np.ndarray, list[Member], float]:
    """The true quantities of a tumour, the ensemble found for it, and the Dice of its noise."""
    truth = draw_unseen(database.plan, tissue, arguments.seed, i)
    masks = disturb(truth.masks, tissue, np.random.default_rng([arguments.seed, i]))
    noise = float(np.mean(dice_of_masks(truth.masks, masks)))
    k = N_RANKED if arguments.refined else N_MATCHES
    matches = search(index, masks, k=min(k, index.n_samples))
    ranked = [database.growth_parameters(match.sample) for match in matches]
    if arguments.refined:
        target = Target(masks, tissue, database.model, database.thresholds)
        found = refine(target, choose_starts(ranked), accuracy=database.accuracy)
        members = [member for member, _ in draw_members(target, found, seed=i)]
    else:
        members = [Member(p, match.score) for p, match in zip(ranked, matches, strict=True)]
    return quantities_of(truth.parameters), members, noise


def read_rows(path: Path) -> dict[int, np.ndarray]:
    """What a file tells by tumour: Dice of the noise, errors, spreads."""
    if not path.exists():
        return {}
    rows = np.loadtxt(path, ndmin=2)
    return {int(row[0]): row[1:] for row in rows}


def run_intervals(database: Database, index: Index, arguments: argparse.Namespace) -> None:
    """Calibrate the intervals' factors, or test those that are stored."""
    tissue = Tissue.from_atlas(load_atlas())
    source: Calibrated = "refinement" if arguments.refined else "matches"
    known = {} if arguments.rows is None else read_rows(arguments.rows)
    for done, i in enumerate(range(arguments.first, arguments.first + arguments.n), start=1):
        if i not in known:
            truth, members, noise = seen_through_noise(database, index, tissue, arguments, i)
            centre, width = spread(members, source)
            known[i] = np.array([noise, *np.abs(truth - centre), *width])
            if arguments.rows is not None:
                with arguments.rows.open("a", encoding="utf-8") as file:
                    print(i, *known[i].tolist(), file=file)
        if done % 10 == 0:
            print(f"{done} of {arguments.n} tumours", file=sys.stderr, flush=True)
    rows = np.array([known[arguments.first + i] for i in range(arguments.n)])
    noises, error, width = np.split(rows, [1, 1 + len(QUANTITIES)], axis=1)
    n = len(error)
    print(f"{n} tumours, mean Dice of disturbed and true outlines {noises.mean():.3f}")
    ratio = error / width
    # The ceil((n + 1) 0.9)-th smallest ratio: split conformal calibration.
    conformal = np.sort(ratio, axis=0)[min(math.ceil((n + 1) * LEVEL), n) - 1]
    stored = np.array([FACTORS[source][name] for name in QUANTITIES])
    factors = conformal if arguments.what == "calibrate" else stored
    prior = np.array([quantities_of(database.growth_parameters(s)) for s in database])
    low, high = np.quantile(prior, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    for q, name in enumerate(QUANTITIES):
        half, unit = factors[q] * np.median(width[:, q]), "mm"
        own, whole = 2 * half, high[q] - low[q]
        if name in LOGARITHMIC:
            own, whole, unit = math.exp(own), math.exp(whole), "times"
        print(
            f"{name:12} factor {factors[q]:.2f}: holds the truth in "
            f"{(ratio[:, q] <= factors[q]).mean():.1%}; median error {np.median(error[:, q]):.3f}; "
            f"median width {own:.3g} {unit}, the prior's {whole:.3g}"
        )
    if arguments.what == "calibrate":
        rounded = {name: round(float(f), 2) for name, f in zip(QUANTITIES, factors, strict=True)}
        print(f'FACTORS["{source}"] = {rounded}')


def main() -> None:
    """Parse the command line and run one benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("refine", "calibrate", "coverage"))
    parser.add_argument("database", nargs="?", type=Path, help="default: the embedded one")
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=UNSEEN_SEED)
    parser.add_argument("--refined", action="store_true", help="the intervals of a refinement")
    parser.add_argument("--rows", type=Path, help="file that keeps what is measured, to resume")
    parser.add_argument("--jitter", action="store_true", help="the baseline as well")
    arguments = parser.parse_args()
    database = open_database(arguments.database)
    index = open_index(database)
    if arguments.what == "refine":
        run_refine(database, index, arguments)
    else:
        run_intervals(database, index, arguments)


if __name__ == "__main__":
    main()
