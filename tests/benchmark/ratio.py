"""Search and index against another commit: `python tests/benchmark/ratio.py BEFORE [--n 50000]`.

BEFORE is a checkout of the other commit, such as `git worktree add ../before COMMIT` makes. Each
side runs in a process of its own. Both build the index of the embedded database, extend it to N
tumours by shifted copies, and then answer the same queries in turn: unseen tumours, and the cases
in `--cases`. The times are processor time, so that other work on the machine matters little.
Differing matches end the benchmark. `--record` keeps the figures in `history/`.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from checkouts import ROOT, package_of
from history import commit_of, record


def serve(work: Path, n: int) -> None:
    """Build an index, then answer the queries whose numbers come in."""
    from shapes import Replicated

    from glioquery.dbgen.store import open_database
    from glioquery.query import build_index, search_counted

    start = time.process_time()
    index = build_index(open_database(), work / "embedded", n_workers=1)
    building = time.process_time() - start
    if n > index.n_samples:
        index = build_index(Replicated(index, n), work / "replicated", n_workers=1)
    print(json.dumps(building), flush=True)
    queries = pickle.loads((work.parent / "queries.pickle").read_bytes())
    for line in sys.stdin:
        start = time.thread_time()
        result = search_counted(index, queries[int(line)])
        taken = 1e3 * (time.thread_time() - start)
        matches = [(match.sample, match.score) for match in result.matches]
        print(json.dumps([taken, result.n_scored, matches]), flush=True)


def start(side: str, checkout: Path, work: Path, n: int) -> subprocess.Popen[str]:
    """A process of one side, with the package of its checkout before the installed one."""
    package = package_of(checkout, work / f"path-{side}")
    (work / side).mkdir()
    return subprocess.Popen(
        [sys.executable, __file__, "--serve", str(work / side), "--n", str(n)],
        env={**os.environ, "PYTHONPATH": str(package)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str], line: str = "") -> Any:
    """What a side says, to a query if one is asked."""
    assert process.stdin is not None and process.stdout is not None
    if line:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
    return json.loads(process.stdout.readline())


def compare(before: Path, arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Figures of both sides, and the ratios of their medians."""
    from shapes import real_cases, unseen_tumors

    from glioquery.dbgen.store import open_database

    queries = unseen_tumors(open_database(), arguments.queries)
    if arguments.cases:
        queries += real_cases(arguments.cases, arguments.labels)
    (work / "queries.pickle").write_bytes(pickle.dumps(queries))
    sides = {
        side: start(side, checkout, work, arguments.n)
        for side, checkout in (("before", before), ("now", ROOT))
    }
    n_tumours = arguments.n or len(open_database())
    figures: dict[str, Any] = {"n": n_tumours, "before": commit_of(before)}
    for side, process in sides.items():
        figures[f"build_embedded_{side}_s"] = round(answer(process), 2)
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(1 + arguments.turns):
        for i in range(len(queries)):
            order = list(sides) if (turn + i) % 2 else list(sides)[::-1]
            said = {side: answer(sides[side], str(i)) for side in order}
            if said["before"][2] != said["now"][2]:
                raise SystemExit(f"query {i}: the two sides find different matches")
            if turn:  # the first one maps what is read
                for side in sides:
                    taken[side].append(said[side][0])
    for side, process in sides.items():
        process.communicate()
        figures[f"query_median_{side}_ms"] = round(float(np.median(taken[side])), 2)
        figures[f"query_worst_{side}_ms"] = round(max(taken[side]), 2)
    for what, unit in (("build_embedded", "s"), ("query_median", "ms"), ("query_worst", "ms")):
        ratio = figures[f"{what}_now_{unit}"] / figures[f"{what}_before_{unit}"]
        figures[f"{what}_ratio"] = round(ratio, 3)
    return figures


def main() -> None:
    """Compare, print, and keep the figures if so asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", nargs="?", type=Path, help="checkout of the other commit")
    parser.add_argument("--n", type=int, default=0, help="tumours; those embedded by default")
    parser.add_argument("--queries", type=int, default=60, help="unseen tumours to search for")
    parser.add_argument("--turns", type=int, default=3, help="how often each query is asked")
    parser.add_argument("--cases", type=Path, help="folder of segmentations in SRI24 space")
    parser.add_argument("--labels", default="brats2021", help="their label convention")
    parser.add_argument("--record", action="store_true", help="keep the figures in history/")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve, arguments.n)
        return
    if arguments.before is None:
        parser.error("name a checkout of the commit to compare with")
    with tempfile.TemporaryDirectory(prefix="glioquery-ratio-") as work:
        figures = compare(arguments.before, arguments, Path(work))
    print(json.dumps(figures, indent=2))
    if arguments.record:
        print(record("search", figures))


if __name__ == "__main__":
    main()
