"""Refinement with the grey/white ratio free, on unseen tumours of random ratio.

    python tests/benchmark/fitted_ratio.py [--n 100] [--rows FILE]

The embedded database, all of whose tumours have the ratio 10, is asked for tumours whose ratio is
drawn from the range in which it is fitted. Some of them set the factor of each interval (as
`glioquery calibrate` does), the others tell how many of the intervals hold the truth: each by all
others, half by half, and halves drawn at random. What is measured is kept in the file, a line a
tumour: the same command goes on from there.
"""

import argparse
from pathlib import Path

import numpy as np
from kept_rows import KeptRows

import glioquery as gq
from glioquery.dbgen.store import embedded_database
from glioquery.dbgen.study.samples import draw_samples
from glioquery.pipeline.fit.answer import N_RANKED
from glioquery.pipeline.fit.coordinates import Coordinates, free_parameters
from glioquery.pipeline.fit.refinement import choose_starts, refine
from glioquery.pipeline.fit.trajectory import Target
from glioquery.pipeline.uncertainty.interval_factors import QUANTITIES
from glioquery.pipeline.uncertainty.intervals import quantities_of, spread
from glioquery.pipeline.uncertainty.members import Member, draw_members
from glioquery.pipeline.virtual.calibration import Reading, find_factors
from glioquery.pipeline.virtual.disturbance import disturb
from glioquery.solver import FisherKolmogorov, GrowthParameters, on_grid

SEED = 424_242
N_HALVES = 400
"""Halves drawn at random."""


def measure(database, index, plan, number, noisy):
    """One tumour: what the refinement found of it, and its ensemble."""
    tissue = database.tissue
    samples = draw_samples(tissue, plan, number)
    truth = samples[number % len(samples)]
    masks = on_grid(tissue, truth.snapshot.u).outlines(plan.thresholds)
    if noisy:
        masks = disturb(masks, tissue.domain, np.random.default_rng([SEED, number]))
    found = gq.search(index, masks, k=N_RANKED)
    free = free_parameters(database, ["ratio"])
    target = Target(masks, tissue, database.model, database.thresholds, free)
    starts = choose_starts(database.growth_parameters(match.sample) for match in found)
    refined = refine(target, starts, accuracy=database.accuracy)
    members = draw_members(target, refined, seed=number).members
    return {
        "truth": truth.parameters.values(),
        "match": found[0].score,
        "score": refined.best.score,
        "found": refined.best.parameters.values(),
        "members": [[member.parameters.values(), member.score] for member in members],
        "runs": refined.n_runs,
    }


def ratios_of(row, coordinates):
    """Error over spread of each quantity of a tumour, (k,): what a factor has to reach."""
    members = [Member(GrowthParameters.of(values), score) for values, score in row["members"]]
    centre, width = spread(members, "refinement", coordinates)
    return np.abs(quantities_of(GrowthParameters.of(row["truth"]), coordinates) - centre) / width


def held(some, others):
    """Share (k,) of the intervals of others that hold the truth by the factors of some."""
    factors = find_factors([Reading(1.0, row, np.ones_like(row)) for row in some])
    return (others <= factors).mean(axis=0)


def tell_coverage(name, ratios):
    """Print how many of the intervals of a quantity hold the truth, each way."""
    n = len(ratios)
    first, last = ratios[: n // 2], ratios[n // 2 :]
    single = [held(np.delete(ratios, i, axis=0), ratios[i : i + 1]) for i in range(n)]
    rng = np.random.default_rng(SEED)
    orders = [rng.permutation(n) for _ in range(N_HALVES)]
    random = [held(ratios[order[: n // 2]], ratios[order[n // 2 :]]) for order in orders]
    print(
        f"interval of {name} holds: by all others {np.mean(single):.0%}, the second half by the "
        f"first {held(first, last).item():.0%}, the first by the second "
        f"{held(last, first).item():.0%}, random halves {np.mean(random):.0%} "
        f"(sd {np.std(random):.0%}); factors {np.quantile(first, 0.9):.2f}, "
        f"{np.quantile(last, 0.9):.2f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=100, help="tumours")
    parser.add_argument("--noisy", action="store_true", help="disturb outlines like segmentations")
    parser.add_argument("--rows", type=Path, default=Path("fitted_ratio.jsonl"))
    arguments = parser.parse_args()
    if arguments.n < 2:
        parser.error("--n is at least 2: a half of the tumours judges the other")
    gq.keep_compiled_programs()
    database = embedded_database()
    index = gq.open_index(database)
    (free,) = free_parameters(database, ["ratio"])
    ratio = {"low": free.low, "high": free.high}
    plan = gq.Plan.of_values({"ratio": ratio}, model=FisherKolmogorov(), seed=SEED)
    kept = KeptRows(arguments.rows, noisy=arguments.noisy)
    for number in range(len(kept.rows), arguments.n):
        kept.add(measure(database, index, plan, number, arguments.noisy))
    rows = kept.rows[: arguments.n]
    axes = [f"origin_{axis}_mm" for axis in "xyz"]
    away = [
        np.linalg.norm([row["found"][axis] - row["truth"][axis] for axis in axes]) for row in rows
    ]
    off = [abs(np.log(row["found"]["ratio"] / row["truth"]["ratio"])) for row in rows]
    scores = [row["score"] for row in rows]
    print(f"{len(rows)} tumours of ratio {free.low:g} to {free.high:g}")
    print(f"sum of Dice: best match {np.mean([row['match'] for row in rows]):.3f}, refined "
          f"{np.mean(scores):.4f}, least {min(scores):.4f}")  # fmt: skip
    print(f"error of the origin, median: {np.median(away):.2f} mm")
    print(f"error of the ratio, median: {np.expm1(np.median(off)):.1%}")
    coordinates = Coordinates(database.model, (free,))
    ratios = np.array([ratios_of(row, coordinates) for row in rows])
    for name, column in zip((*QUANTITIES, "ratio"), ratios.T, strict=True):
        tell_coverage(name, column[:, None])


if __name__ == "__main__":
    main()
