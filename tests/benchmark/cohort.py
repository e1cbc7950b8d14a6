"""Patients an hour: `python tests/benchmark/cohort.py CASE...`.

Each CASE is the folder of a BraTS case with T1, T1c, FLAIR and outlines. All of them are inverted
by one `glioquery cohort`, and by one `glioquery invert` after the other: half of them before the
cohort and half of them after, as a machine may become slower. Settings are the default ones; a
folder that is named twice counts as two patients. Told are the patients an hour of
either way and their ratio; also where the scores of the two ways differ. `--record` writes the
figures to `history/`.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from history import record
from patient import ROLES

GLIOQUERY = [sys.executable, "-m", "glioquery"]


def in_a_loop(cases: dict[str, Path], out: Path) -> float:
    """Invert one case after the other, each by a command of its own; the seconds it takes."""
    began = time.perf_counter()
    for name, case in cases.items():
        files = [f"--{role}={case / (case.name + end)}" for role, end in ROLES.items()]
        run("invert", *files, "--labels", "brats2021", "-o", out / name)
    return time.perf_counter() - began


def as_a_cohort(cases: dict[str, Path], out: Path) -> float:
    """Invert all cases by one command; the seconds it takes."""
    table = out / "cases.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "labels", *ROLES])
        for name, case in cases.items():
            files = [(case / (case.name + end)).resolve() for end in ROLES.values()]
            writer.writerow([name, "brats2021", *files])
    began = time.perf_counter()
    run("cohort", table, "-o", out / "cohort")
    return time.perf_counter() - began


def name_of(number: int, case: Path) -> str:
    """What a patient is called: letters and digits, as the folder of a cohort's patient is."""
    return f"{number}x" + re.sub("[^A-Za-z0-9]", "", case.name)


def run(*arguments: object) -> None:
    """Run a command of glioquery, which is expected to end well."""
    subprocess.run([*GLIOQUERY, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def scores(folder: Path) -> dict[str, float]:
    """The sum of Dice of each result in a folder, by the name of its case."""
    return {
        path.parent.name.removeprefix("sub-"): json.loads(path.read_text())["answer"]["score"]
        for path in sorted(folder.rglob("result.json"))
    }


def main() -> None:
    """Time both ways and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("--record", action="store_true", help="write the figures to history/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        alone, together = Path(scratch) / "alone", Path(scratch) / "together"
        together.mkdir()
        named = [(name_of(number, case), case) for number, case in enumerate(arguments.cases)]
        middle = len(named) // 2
        loop_s = in_a_loop(dict(named[:middle]), alone)
        cohort_s = as_a_cohort(dict(named), together)
        loop_s += in_a_loop(dict(named[middle:]), alone)
        if scores(alone) != scores(together):
            print(f"the two ways disagree: {scores(alone)}, {scores(together)}")
    n = len(arguments.cases)
    figures = {
        "n_patients": n,
        "loop_s": round(loop_s, 1),
        "cohort_s": round(cohort_s, 1),
        "loop_per_hour": round(3600 * n / loop_s, 1),
        "cohort_per_hour": round(3600 * n / cohort_s, 1),
        "ratio": round(loop_s / cohort_s, 2),
    }
    print(json.dumps(figures))
    if arguments.record:
        record("cohort", figures)


if __name__ == "__main__":
    main()
