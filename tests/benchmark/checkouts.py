"""The package of another checkout, to compare with."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
"""This checkout."""

ROOMS = ("atlas", "solver", "dbgen", "query", "pipeline")


def package_of(checkout: Path, folder: Path) -> Path:
    """Make a folder for PYTHONPATH from which Python imports the package of a checkout."""
    package = folder / "glioquery"
    package.mkdir(parents=True)
    for target in [*(checkout / "glioquery").iterdir(), *(checkout / room for room in ROOMS)]:
        (package / target.name).symlink_to(target.absolute())
    return folder
