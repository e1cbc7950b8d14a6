"""The package of another checkout, to compare with."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""This checkout."""


def package_of(checkout: Path, folder: Path) -> Path:
    """Make a folder for PYTHONPATH from which Python imports the package of a checkout.

    It is the package as it would be installed, with what is compiled.
    """
    with tempfile.TemporaryDirectory(prefix="glioquery-wheel-") as out:
        build = [sys.executable, "-m", "build", "--outdir", out, checkout]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = Path(out).glob("*.whl")
        with zipfile.ZipFile(wheel) as file:
            file.extractall(folder)
    return folder
