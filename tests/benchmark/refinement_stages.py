"""Schedules of a refinement: `python tests/benchmark/refinement_stages.py [OUTLINES...]`.

Each schedule refines `--n` unseen tumours of the embedded database's space, whose outlines are
disturbed by `--noise-mm`, and outlines on the atlas that are given: the files `*_space-SRI24_dseg`
of results. Told are the processor time and the sum of the Dice against those of the first schedule,
which stays on the tissue's own voxels. One thread, so that the times can be compared.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from glioquery.dbgen.store.embedded import embedded_database
from glioquery.pipeline.fit.answer import N_RANKED
from glioquery.pipeline.fit.refinement import N_STARTS, STAGES, Stage, choose_starts, refine
from glioquery.pipeline.fit.trajectory import Target
from glioquery.pipeline.images.nifti import read_nifti
from glioquery.pipeline.virtual.calibration import draw_unseen
from glioquery.pipeline.virtual.disturbance import disturb
from glioquery.query import search
from glioquery.query.index.opening import open_index
from glioquery.solver import Accuracy, TumorMasks
from glioquery.solver.compilation import keep_compiled_programs

COARSE, FINE = Accuracy.for_error(0.05), Accuracy()
SEED = 777

SCHEDULES = {
    "own voxels": (Stage(6, COARSE, 6, N_STARTS), Stage(3, COARSE, 4, 2), Stage(1.5, FINE, 3, 1)),
    "merged, the same steps": (
        Stage(6, COARSE, 6, N_STARTS, voxel_mm=4),
        Stage(3, COARSE, 4, 2),
        Stage(1.5, FINE, 3, 1),
    ),
    "merged in two stages": (
        Stage(6, COARSE, 6, N_STARTS, voxel_mm=4),
        Stage(3, COARSE, 4, 3, voxel_mm=4),
        Stage(3, COARSE, 3, 2),
        Stage(1.5, FINE, 3, 1),
    ),
    "used": STAGES,
}


def targets(arguments: argparse.Namespace) -> Iterator[tuple[str, TumorMasks]]:
    """Names and outlines on the atlas."""
    database = embedded_database()
    for path in arguments.outlines:
        labels = read_nifti(path, "outlines").values
        yield path.name.partition("_")[0], TumorMasks(labels >= 2, labels >= 1, database.grid)
    for i in range(arguments.n):
        rng = np.random.default_rng([SEED, i])
        truth = draw_unseen(database, database.tissue, SEED, i).masks
        yield f"{i}", disturb(truth, database.tissue.domain, rng, noise_mm=arguments.noise_mm)


def main() -> None:
    """Refine each tumour by each schedule and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("outlines", nargs="*", type=Path)
    parser.add_argument("--n", type=int, default=12)
    parser.add_argument("--noise-mm", type=float, default=4.0)
    arguments = parser.parse_args()
    keep_compiled_programs()
    database = embedded_database()
    index = open_index(database)
    rows = []
    for name, masks in targets(arguments):
        target = Target(masks, database.tissue, database.model, database.thresholds)
        found = search(index, masks, k=N_RANKED)
        starts = choose_starts([database.growth_parameters(match.sample) for match in found])
        row = []
        for stages in SCHEDULES.values():
            began = time.process_time()
            score = refine(target, starts, stages=stages, n_threads=1).best.score
            row.append((time.process_time() - began, score))
        rows.append(row)
        seconds, score = row[0]
        told = "; ".join(f"{s / seconds:.2f}, {d - score:+.4f}" for s, d in row[1:])
        print(f"{name}: {seconds:.1f} s, {score:.3f}; {told}", flush=True)
    seconds, scores = np.moveaxis(np.array(rows), 2, 0)
    for i, name in enumerate(SCHEDULES):
        gain = scores[:, i] - scores[:, 0]
        print(
            f"{name}: {seconds[:, i].sum() / seconds[:, 0].sum():.2f} of the time, sum of Dice "
            f"{scores[:, i].mean():.3f}, mean difference {gain.mean():+.4f}, median "
            f"{np.median(gain):+.4f}, least {gain.min():+.4f}"
        )


if __name__ == "__main__":
    main()
