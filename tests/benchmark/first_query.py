"""The first search of a process: `python tests/benchmark/first_query.py [DB] [--repeats N]`.

Each process of its own imports glioquery, opens the database (the embedded one by default) with its
index, and searches twice with the outlines of a stored tumour, moved by two voxels. Told are
medians of the wall time in ms.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

PROCESS = """
import json, sys, time
began = time.perf_counter()
import numpy as np
import glioquery as gq
at = [began, time.perf_counter()]
database = gq.open_database(*sys.argv[2:])
index = gq.open_index(database)
at.append(time.perf_counter())
stored = database.outlines(int(sys.argv[1]) % len(database))
query = gq.TumorMasks(np.roll(stored.core, 2, 0), np.roll(stored.whole, 2, 0), database.grid)
at.append(time.perf_counter())
for _ in range(2):
    gq.search(index, query, k=15)
    at.append(time.perf_counter())
print(json.dumps([1e3 * (b - a) for a, b in zip(at[:-1], at[1:])]))
"""

STEPS = ("import", "open database and index", "read a tumour", "first search", "second search")


def main() -> None:
    """Time the steps in fresh processes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("database", nargs="*", help="folder of the database")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    rows = []
    for number in range(options.repeats + 1):
        command = [sys.executable, "-c", PROCESS, str(37 * number), *options.database]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout))
    for name, taken in zip(STEPS, zip(*rows[1:], strict=True), strict=True):
        print(f"{name}: {statistics.median(taken):.1f} ms, at most {max(taken):.1f}")


if __name__ == "__main__":
    main()
