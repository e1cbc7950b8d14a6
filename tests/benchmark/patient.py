"""Where the time of one patient goes: `python tests/benchmark/patient.py CASE...`.

Each CASE, a folder of a BraTS case, is inverted in a process of its own as `glioquery invert` does
it, with T1, T1c, FLAIR and a refinement. Told is, for each step from where it is named to where the
next one is, the time that passes and the processor time of the process and of those it waited for.
The first row, "begin", is the start of Python, all imports and the files. At the end stand the
whole, the peak of the resident memory, and the registration's figures.

`--history FILE` appends one line of JSON for each case, with the version and the processor, for
the next change to be compared with; `-o FOLDER` keeps the results, for `same_maps.py`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROLES = {"t1": "_t1.nii.gz", "t1c": "_t1ce.nii.gz", "flair": "_flair.nii.gz", "seg": "_seg.nii.gz"}


def processor_s() -> float:
    """Processor time of this process so far, and of the processes it has waited for."""
    return sum(os.times()[:4])


def invert_case(case: Path, out: Path) -> dict[str, Any]:
    """Invert a case in this process, which has done nothing else; its row of the history."""
    alive_s = float(Path("/proc/uptime").read_text().split()[0])
    began_s = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    since_begin = alive_s - began_s / os.sysconf("SC_CLK_TCK")
    began = time.perf_counter() - since_begin
    marks = [("begin", began, 0.0)]

    def mark(name: str) -> None:
        marks.append((name, time.perf_counter(), processor_s()))

    from glioquery.dbgen.machine.memory import share_one_heap

    share_one_heap()  # as the command does

    from glioquery.pipeline.ahead import ahead
    from glioquery.pipeline.arguments.opening import open_for
    from glioquery.pipeline.inversion.options import InversionOptions
    from glioquery.solver.compilation import prepare_jax

    options = InversionOptions(refine=True)
    database, _ = open_for(options, None, None)
    ahead(lambda: database.atlas.t1)
    prepare_jax()

    from glioquery.pipeline.inversion.inversion import invert
    from glioquery.pipeline.patient.patient import load_patient
    from glioquery.pipeline.report.viewer import load_viewer
    from glioquery.pipeline.results.outputs import write_inversion

    files = {role: case / (case.name + end) for role, end in ROLES.items()}
    patient = load_patient(**files, labels="brats2021", step=mark)
    load_viewer()
    inversion = invert(patient, database, options, step=mark)
    write_inversion(inversion, out, title=case.name, step=mark)
    mark("end")
    steps = [
        (name, round(end - start, 2), round(used - before, 2))
        for (name, start, before), (_, end, used) in itertools.pairwise(marks)
    ]
    own, children = (
        resource.getrusage(who).ru_maxrss // 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    quality = inversion.quality
    return {
        "case": case.name,
        "steps": steps,
        "wall_s": round(marks[-1][1] - began, 2),
        "processor_s": round(marks[-1][2], 2),
        "peak_mb": max(own, children),
        "brain_dice": round(quality.brain_dice, 4),
        "edge_agreement": round(quality.edge_agreement, 4),
        "round_trip_dice": [round(o.round_trip_dice, 4) for o in (quality.core, quality.whole)],
        "map_dice": [
            round(d, 4) for d in (inversion.maps.score.dice_core, inversion.maps.score.dice_whole)
        ],
        "answer_score": round(inversion.answer.score, 4),
        "status": inversion.status.value,
    }


def main() -> None:
    """Invert each case in a fresh process and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("-o", "--output", type=Path, help="keep the results in this folder")
    parser.add_argument("--history", type=Path, help="append lines of JSON to this file")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        (case,) = arguments.cases
        print(json.dumps(invert_case(case, arguments.output)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        for case in arguments.cases:
            out = (arguments.output or Path(scratch)) / case.name
            command = [sys.executable, __file__, str(case), "--inside", "-o", str(out)]
            row = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            tell(row)
            if arguments.history is not None:
                append(row, arguments.history)


def tell(row: dict[str, Any]) -> None:
    """Print a case's table."""
    print(f"\n{row['case']}\n\n| step | seconds | of a processor |\n|---|---|---|")
    for name, wall, used in [*row["steps"], ("all", row["wall_s"], row["processor_s"])]:
        print(f"| {name} | {wall:.1f} | {used:.1f} |")
    rest = {key: value for key, value in row.items() if key not in ("case", "steps")}
    print(f"\n{json.dumps(rest)}", flush=True)


def append(row: dict[str, Any], history: Path) -> None:
    """Add a line to the history."""
    from glioquery.dbgen.machine.cores import processor

    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    ).stdout.strip()
    made = {"date": f"{datetime.now(UTC):%F}", "commit": commit, "processor": processor()}
    with history.open("a", encoding="utf-8") as file:
        file.write(json.dumps(made | row) + "\n")


if __name__ == "__main__":
    main()
