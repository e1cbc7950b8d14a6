"""What the ventricles tell: `python tests/benchmark/ventricles.py DB [--n 200]`.

DB holds tumours that push tissue, and its index. N of its tumours look for the best match among
those of other runs, by core and whole alone and with the ventricles as a third outline. Told are
how far the match's growth is from the tumour's, and the time of both searches.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

from glioquery.dbgen import Database
from glioquery.query import PushedVentricles, outlines_of, search

FAR_ML = 50.0
"""Whole volume from which a tumour counts as large."""


def main() -> None:
    """Search twice for each tumour, and compare the growths."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database")
    parser.add_argument("--n", type=int, default=200, help="tumours that search")
    options = parser.parse_args()
    database = Database.open(options.database)
    index = outlines_of(database).open_index()
    began = time.perf_counter()
    pushed = PushedVentricles.of(database)
    print(f"ventricles of {database.n_samples} tumours read in {time.perf_counter() - began:.2f} s")
    table = database.parameters
    runs, swelling, whole = table.run.values, table.swelling.values, table.whole_ml.values
    longest = int(np.bincount(runs).max())  # tumours of one run
    rng = np.random.default_rng(0)
    chosen = rng.choice(database.n_samples, min(options.n, database.n_samples), replace=False)
    ways: dict[str, list[tuple[float, ...]]] = {"core and whole": [], "with ventricles": []}
    for sample in chosen.tolist():
        masks, ventricles = database.outlines(sample), database.ventricles(sample)
        growth = database.growth_parameters(sample)
        for way, found in ways.items():
            began = time.perf_counter()
            term = pushed.compared(ventricles) if way == "with ventricles" else None
            matches = search(index, masks, k=1 + longest, ventricles=term)
            took = time.perf_counter() - began
            best = next(m for m in matches if runs[m.sample] != runs[sample])
            other = database.growth_parameters(best.sample)
            found.append(
                (
                    abs(swelling[best.sample] - swelling[sample]),
                    math.dist(other.origin_mm, growth.origin_mm),
                    abs(math.log(other.lambda_mm / growth.lambda_mm)),
                    best.dice_core + best.dice_whole,
                    1e3 * took,
                )
            )
    for title, rows in (
        ("all", np.ones(len(chosen), bool)),
        (f"of at least {FAR_ML:g} ml", whole[chosen] >= FAR_ML),
    ):
        for way, found in ways.items():
            off = np.median(np.array(found)[rows], axis=0)
            print(
                f"{title} ({rows.sum()}), {way}: swelling off by {off[0]:.2f}, origin by "
                f"{off[1]:.1f} mm, lambda by {math.expm1(off[2]):.0%}, Dice of core and whole "
                f"{off[3]:.3f}, {off[4]:.1f} ms (medians)"
            )


if __name__ == "__main__":
    main()
