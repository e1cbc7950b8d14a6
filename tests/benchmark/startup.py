"""How long help and refusals take: `python tests/benchmark/startup.py`, a minute.

Each command runs in processes of its own, in turn with `python -c "import numpy"`, the measure of
what a user waits for anyway. Told are medians of the processor time, which is what a person waits
for on a machine that does nothing else, and their ratio; more than 5 is a failure.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MOST = 5.0
"""Times of importing NumPy that an answer may take."""

INVERT = ("--seg", "scan.nii", "--labels", "brats2021", "-o", "out")

COMMANDS = {
    "--help": ("--help",),
    "--version": ("--version",),
    "invert --help": ("invert", "--help"),
    "invert, no such file": ("invert", "--t1", "nowhere.nii", *INVERT),
    "invert, no such database": ("invert", "nowhere", "--t1", "scan.nii", *INVERT),
    "invert, options at odds": (
        "invert",
        "--t1",
        "scan.nii",
        *INVERT,
        "--no-refine",
        "--own-anatomy",
    ),
    "cohort, no such table": ("cohort", "nowhere.csv", "-o", "out"),
    "query, no such measure": (
        *("query", "--seg", "scan.nii", "--labels", "brats2021", "--measure", "none"),
    ),
    "generate, no such sampler": ("generate", "DB", "--n", "1", "--sampler", "magic"),
    "simulate, no such model": (
        *("simulate", "--origin", "-150", "100", "60", "--dw", "1", "--rho", "1", "--days", "1"),
        *("-o", "u.nii.gz", "--model", "cubic"),
    ),
    "index, no such folder": ("index", "nowhere"),
    "import glioquery": (),
}
"""What is typed after `glioquery`; the last is the import alone."""


def seconds(arguments: list[str], folder: Path) -> float:
    """Processor time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(arguments, cwd=folder, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Time each command, in turn with NumPy's import; 1 if one takes too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    program = str(Path(sys.executable).with_name("glioquery"))
    too_slow = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        header = bytearray(352)
        header[:4], header[344:348] = (348).to_bytes(4, "little"), b"n+1\0"
        (folder / "scan.nii").write_bytes(header)
        print("| answer | seconds | times `import numpy` |\n|---|---|---|")
        for title, arguments in COMMANDS.items():
            command = [program, *arguments] if arguments else [sys.executable, "-c", f"{title}"]
            numpy = [sys.executable, "-c", "import numpy"]
            pairs = [(seconds(command, folder), seconds(numpy, folder)) for _ in range(repeats)]
            took, least = (statistics.median(times) for times in zip(*pairs, strict=True))
            too_slow += took > MOST * least
            print(f"| {title} | {took:.2f} | {took / least:.1f} |", flush=True)
    return int(too_slow > 0)


if __name__ == "__main__":
    sys.exit(main())
