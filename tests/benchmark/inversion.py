"""Beyond the nearest match, on tumours of known growth: `python tests/benchmark/inversion.py`.

    refine DB --n 50          refinement of unseen tumours: sum of the Dice, error of the origin
    calibrate DB --n 200      factors of the intervals, to be stored in pipeline/uncertainty.py
    coverage DB --n 300       how often the 90 % intervals hold the truth, and how wide they are

The tumours are drawn from the database's own space with another seed; what is asked for are their
outlines on the atlas, exact for `refine`, with noise at their boundaries for the other two (see
`disturb`). No patient, and so no registration, takes part.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from glioquery.atlas import load_atlas
from glioquery.dbgen import Database, Plan
from glioquery.dbgen.plan import draw_samples
from glioquery.pipeline.refinement import choose_starts, refine
from glioquery.pipeline.trajectory import Target
from glioquery.query import Index, search
from glioquery.solver import GrowthParameters, Tissue, TumorMasks, on_grid

UNSEEN_SEED = 20_220
N_RANKED = 60


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


def run_refine(database: Database, index: Index, n: int, seed: int, first: int) -> None:
    """Refine n unseen tumours and print what came of each."""
    tissue = Tissue.from_atlas(load_atlas())
    rows = []
    for i in range(first, first + n):
        truth = draw_unseen(database.plan, tissue, seed, i)
        began, cpu = time.perf_counter(), time.process_time()
        matches = search(index, truth.masks, k=min(N_RANKED, index.n_samples))
        ranked = [database.growth_parameters(match.sample) for match in matches]
        target = Target(truth.masks, tissue, database.plan.model, database.thresholds)
        found = refine(target, choose_starts(ranked), accuracy=database.plan.accuracy)
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
    before, after, far, near, seconds = np.array(rows).T
    print(
        f"sum of Dice: mean {before.mean():.3f} -> {after.mean():.3f}, least {after.min():.3f}\n"
        f"origin: median error {np.median(far):.1f} -> {np.median(near):.2f} mm, "
        f"at most {near.max():.1f} mm\n"
        f"seconds: median {np.median(seconds):.1f}, at most {seconds.max():.1f}"
    )


def main() -> None:
    """Parse the command line and run one benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("refine",))
    parser.add_argument("database", type=Path)
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=UNSEEN_SEED)
    arguments = parser.parse_args()
    database = Database.open(arguments.database)
    index = Index.open(arguments.database / "index")
    run_refine(database, index, arguments.n, arguments.seed, arguments.first)


if __name__ == "__main__":
    main()
