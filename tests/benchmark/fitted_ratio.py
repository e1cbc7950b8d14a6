"""Refinement with the grey/white ratio free, on unseen tumours of random ratio.

    python tests/benchmark/fitted_ratio.py [--n 50] [--rows FILE]

The embedded database, all of whose tumours have the ratio 10, is asked for tumours whose ratio is
drawn from the range in which it is fitted. One half of them sets the factor of each interval (as
`glioquery calibrate` does), the other half tells how many of the intervals hold the truth. What is
measured is kept in the file, a line a tumour: the same command goes on from there.
"""

import argparse
import json
from pathlib import Path

import numpy as np

import glioquery as gq
from glioquery.dbgen.store import embedded_database
from glioquery.dbgen.study.samples import draw_samples
from glioquery.pipeline.fit.answer import N_RANKED
from glioquery.pipeline.fit.coordinates import free_parameters
from glioquery.pipeline.fit.refinement import choose_starts, refine
from glioquery.pipeline.fit.trajectory import Target
from glioquery.pipeline.uncertainty.ensemble import Interval, find_intervals, quantities_of, spread
from glioquery.pipeline.uncertainty.interval_factors import QUANTITIES
from glioquery.pipeline.uncertainty.members import Member, draw_members
from glioquery.pipeline.virtual.calibration import Reading, find_factors
from glioquery.pipeline.virtual.disturbance import disturb
from glioquery.solver import FisherKolmogorov, GrowthParameters, on_grid

SEED = 424_242


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=50, help="tumours that are judged")
    parser.add_argument("--noisy", action="store_true", help="disturb outlines like segmentations")
    parser.add_argument("--rows", type=Path, default=Path("fitted_ratio.jsonl"))
    arguments = parser.parse_args()
    gq.keep_compiled_programs()
    database = embedded_database()
    index = gq.open_index(database)
    (free,) = free_parameters(database, ["ratio"])
    ratio = {"low": free.low, "high": free.high}
    plan = gq.Plan.of_values({"ratio": ratio}, model=FisherKolmogorov(), seed=SEED)
    rows = (
        [json.loads(line) for line in arguments.rows.read_text().splitlines()]
        if (arguments.rows.exists())
        else []
    )
    for number in range(len(rows), 2 * arguments.n):
        rows.append(measure(database, index, plan, number, arguments.noisy))
        with arguments.rows.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
    target = Target(
        database.outlines(0), database.tissue, database.model, database.thresholds, (free,)
    )
    coordinates = target.coordinates
    names = (*QUANTITIES, "ratio")

    def members_of(row):
        return [Member(GrowthParameters.of(values), score) for values, score in row["members"]]

    readings = []
    for row in rows[: arguments.n]:
        centre, width = spread(members_of(row), "refinement", coordinates)
        truth = quantities_of(GrowthParameters.of(row["truth"]), coordinates)
        readings.append(Reading(1.0, np.abs(truth - centre), width))
    factors = dict(zip(names, find_factors(readings).tolist(), strict=True))
    judged = rows[arguments.n : 2 * arguments.n]
    held, told = {name: 0 for name in names}, 0
    for row in judged:
        intervals = find_intervals(members_of(row), "refinement", factors, coordinates)
        told += intervals["ratio"] != Interval(free.low, free.high)
        truth = GrowthParameters.of(row["truth"])
        values = row["truth"] | {"lambda_mm": truth.lambda_mm, "rho_t": truth.rho_t}
        for name in names:
            held[name] += intervals[name].low <= values[name] <= intervals[name].high
    axes = [f"origin_{axis}_mm" for axis in "xyz"]
    away = [
        np.linalg.norm([row["found"][axis] - row["truth"][axis] for axis in axes]) for row in judged
    ]
    off = [abs(np.log(row["found"]["ratio"] / row["truth"]["ratio"])) for row in judged]
    print(f"{len(judged)} tumours of ratio {free.low:g} to {free.high:g}")
    print(f"sum of Dice: best match {np.mean([row['match'] for row in judged]):.3f}, refined "
          f"{np.mean([row['score'] for row in judged]):.4f}, "
          f"least {min(row['score'] for row in judged):.4f}")  # fmt: skip
    print(f"error of the origin, median: {np.median(away):.2f} mm")
    print(f"error of the ratio, median: {np.exp(np.median(off)) - 1:.0%}")
    for name in names:
        print(
            f"interval of {name}: holds {held[name]} of {len(judged)}, factor {factors[name]:.2f}"
        )
    print(f"the outlines determine the ratio of {told} of {len(judged)}")


if __name__ == "__main__":
    main()
