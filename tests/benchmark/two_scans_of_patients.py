"""Virtual patients with two scans through the whole command, registration and alignment included.

`python tests/benchmark/two_scans_of_patients.py OUT [--n 10]` makes the patients in OUT, runs
`glioquery invert` on each and keeps what it measures in OUT/rows.jsonl, a line a patient: the same
command goes on from there. `--alone N` also inverts the first scan of the first N alone, for the
ratio of processor times; `--own-anatomy`, which takes another OUT, is the command's option.
`--report` prints what the rows say.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from kept_rows import KeptRows

from glioquery.pipeline.images.nifti import read_nifti
from glioquery.pipeline.virtual.followed_patient import make_followed_patient
from glioquery.query import dice_of_masks
from glioquery.solver import TumorDensity

SEED = 202_618
RATES = ("rho", "dw", "velocity_mm_per_year")


def inverted(*arguments: object) -> float:
    """Run the command; processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "glioquery", "invert", *map(str, arguments)],
        check=True,
        capture_output=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(out: Path, number: int, *, alone: bool, own_anatomy: bool) -> dict[str, Any]:
    """What the command tells of one patient."""
    patient = make_followed_patient(SEED, number)
    folder = out / f"patient-{number}"
    first, second = patient.write(folder)
    scans = [
        option for one in (first, second) for option in ("--scan", f"{one.t1},{one.seg},{one.day}")
    ]
    spent = inverted(
        *scans,
        *("--labels", "brats2021", "--forecast", patient.ahead_days, "-o", folder / "two"),
        *(["--own-anatomy"] if own_anatomy else []),
    )
    spent_alone = None
    if alone:
        files = ("--t1", first.t1, "--seg", first.seg, "--labels", "brats2021")
        spent_alone = inverted(*files, "-o", folder / "one")
    result = json.loads((folder / "two" / "result.json").read_text(encoding="utf-8"))
    row: dict[str, Any] = {
        "number": number,
        "apart": patient.apart_days,
        "truth": {
            "rho": patient.rho,
            "dw": patient.dw,
            "velocity_mm_per_year": 730.5 * float(np.sqrt(patient.dw * patient.rho)),
        },
        "processor_s": spent,
        "processor_s_alone": spent_alone,
        "found": None,
    }
    outlook = result["outlook"]
    if outlook is None:
        return row | {"notices": result["notices"]}
    (path,) = (folder / "two").glob("*_desc-day*_density.nii.gz")
    forecast = read_nifti(path, "forecast")
    core, whole = dice_of_masks(
        patient.later.outlines(), TumorDensity(forecast.values, forecast.grid).outlines()
    )
    ml = [float(u.outlines().whole.sum() * u.grid.voxel_ml)
          for u in (patient.later, TumorDensity(forecast.values, forecast.grid))]  # fmt: skip
    return row | {
        "found": {name: outlook["rates"][name] for name in RATES},
        "own_anatomy": outlook["own_anatomy"],
        "scans": outlook["scans"],
        "forecast": {"true_ml": ml[0], "ml": ml[1], "dice_core": core, "dice_whole": whole},
    }


def report(rows: list[dict[str, Any]]) -> None:
    """Print what the rows say."""
    done = [row for row in rows if row["found"]]
    print(f"{len(rows)} patients, {len(rows) - len(done)} without a growth in real days")
    for name in RATES:
        off = [abs(row["found"][name]["value"] / row["truth"][name] - 1) for row in done]
        held = [row["found"][name]["low"] <= row["truth"][name] <= row["found"][name]["high"]
                for row in done]  # fmt: skip
        print(
            f"{name}: median error {np.median(off):.0%}, largest {max(off):.0%}, "
            f"{sum(held)} of {len(done)} intervals hold the truth"
        )
    days = [row["forecast"] for row in done]
    near = sum(abs(day["ml"] / day["true_ml"] - 1) <= 0.2 for day in days)
    print(
        f"forecast: volume within 20 % in {near} of {len(days)}, mean Dice of the whole "
        f"{np.mean([day['dice_whole'] for day in days]):.2f}"
    )
    both = [row for row in rows if row["processor_s_alone"]]
    if both:
        ratios = [row["processor_s"] / row["processor_s_alone"] for row in both]
        print(f"processor time, two scans over one: {', '.join(f'{r:.2f}' for r in ratios)}")


def main() -> None:
    """Measure the patients that are missing, or report on those that there are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--n", type=int, default=10, help="patients")
    parser.add_argument("--first", type=int, default=0, help="number of the first patient")
    parser.add_argument("--alone", type=int, default=2, help="patients also inverted with one scan")
    parser.add_argument("--own-anatomy", action="store_true", help="as the command's option")
    parser.add_argument("--report", action="store_true", help="measure nothing more")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    kept = KeptRows(arguments.out / "rows.jsonl", in_own_anatomy=arguments.own_anatomy)
    if not arguments.report:
        numbers = range(arguments.first, arguments.first + arguments.n)
        for number in sorted(set(numbers) - {row["number"] for row in kept.rows}):
            row = measure(
                arguments.out,
                number,
                alone=number < arguments.alone,
                own_anatomy=arguments.own_anatomy,
            )
            kept.add(row)
    if not kept.rows:
        parser.error(f"no patient was measured yet in {arguments.out}")
    report(kept.rows)


if __name__ == "__main__":
    main()
