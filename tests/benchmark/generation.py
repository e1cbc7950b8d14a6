"""Making a database against another commit: `python tests/benchmark/generation.py BEFORE`.

BEFORE is a checkout of the other commit, such as `git worktree add ../before COMMIT` makes. Both
sides run `glioquery generate` in turn, once for a few tumours and once for many: what the many take
longer is the time of a tumour, without the start of Ray and of its workers. The benchmark says
whether the shards are the same, byte by byte. `--record` keeps the figures in `history/`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from checkouts import ROOT, package_of
from history import commit_of, record

FEW = 32
"""Tumours whose making takes hardly longer than the start."""


def generate(package: Path, database: Path, n: int) -> float:
    """Make a database of outlines with the package in a folder; returns seconds."""
    command = [sys.executable, "-m", "glioquery", "generate", str(database), "--n", str(n)]
    began = time.perf_counter()
    subprocess.run(
        [*command, "--store", "outlines"],
        cwd=database.parent,
        env={**os.environ, "PYTHONPATH": str(package)},
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began


def shards_of(database: Path) -> list[bytes]:
    """The content of a database's shards."""
    return [path.read_bytes() for path in sorted((database / "shards").glob("*.nc"))]


def compare(before: Path, n: int, turns: int, work: Path) -> dict[str, Any]:
    """Times of both sides and their ratio."""
    packages = {
        side: package_of(checkout, work / f"package-{side}")
        for side, checkout in (("before", before), ("now", ROOT))
    }
    seconds: dict[tuple[str, int], list[float]] = {}
    for turn in range(1 + turns):
        for side in list(packages) if turn % 2 else list(packages)[::-1]:
            for size in (FEW, n) if turn else (FEW,):  # the first one compiles
                database = work / f"{side}-{size}-{turn}"
                taken = generate(packages[side], database, size)
                if turn:
                    seconds.setdefault((side, size), []).append(taken)
                    print(f"{side}, {size} tumours: {taken:.1f} s", file=sys.stderr, flush=True)
    figures: dict[str, Any] = {"n": n, "before": commit_of(before)}
    for side in packages:
        few, many = (sum(seconds[side, size]) / turns for size in (FEW, n))
        figures[f"few_{side}_s"], figures[f"many_{side}_s"] = round(few, 1), round(many, 1)
        figures[f"tumours_a_second_{side}"] = round((n - FEW) / (many - few), 1)
    figures["rate_ratio"] = round(
        figures["tumours_a_second_now"] / figures["tumours_a_second_before"], 2
    )
    same = [shards_of(work / f"{side}-{n}-{turns}") for side in packages]
    figures["same_shards"] = sum(a == b for a, b in zip(*same, strict=True))
    figures["shards"] = len(same[0])
    return figures


def main() -> None:
    """Compare, print, and keep the figures if so asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path, help="checkout of the other commit")
    parser.add_argument("--n", type=int, default=2000, help="tumours")
    parser.add_argument("--turns", type=int, default=2, help="how often each side makes them")
    parser.add_argument("--record", action="store_true", help="keep the figures in history/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="glioquery-generation-") as work:
        figures = compare(arguments.before, arguments.n, arguments.turns, Path(work))
    print(json.dumps(figures, indent=2))
    if arguments.record:
        print(record("generation", figures))


if __name__ == "__main__":
    main()
