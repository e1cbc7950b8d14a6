"""What benchmarks measured at which commit: small JSON files in `history/`, to compare with."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from glioquery.dbgen.machine.cores import processor

HISTORY = Path(__file__).parent / "history"


def commit_of(folder: Path) -> str:
    """Short name of the commit that a checkout stands at; "+" says that files differ from it."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        ).stdout.strip()

    name = git("rev-parse", "--short", "HEAD") or "unknown"
    return f"{name}+" if git("status", "--porcelain", "--untracked-files=no") else name


def record(benchmark: str, figures: dict[str, Any]) -> Path:
    """Write a benchmark's figures with the date, the commit and the machine.

    Parameters
    ----------
    benchmark : str
        Name of the benchmark.
    figures : dict
        Figures by name, in terms of JSON; a name ends with the figure's unit.

    Returns
    -------
    Path
        The file, `history/BENCHMARK-DATE-COMMIT.json`.
    """
    HISTORY.mkdir(exist_ok=True)
    date, commit = time.strftime("%Y-%m-%d"), commit_of(HISTORY)
    path = HISTORY / f"{benchmark}-{date}-{commit.rstrip('+')}.json"
    content = {
        "benchmark": benchmark,
        "date": date,
        "commit": commit,
        "processor": processor(),
        "n_cores": os.cpu_count(),
        "figures": figures,
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path
