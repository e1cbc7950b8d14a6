"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...query.index.source import NORMALISATIONS
from ..images.nifti import InputError

DatabaseFolder = Annotated[Path, typer.Argument(metavar="DB", help="The database's folder.")]
OptionalDatabase = Annotated[
    Path | None,
    typer.Argument(
        metavar="[DB]", help="The database's folder; default: the one that comes along."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Labels = Annotated[
    str | None, typer.Option(help="Label convention of the segmentation: brats2021, brats2023.")
]
LabelList = Annotated[
    str | None, typer.Option(metavar="L,L,...", help="Labels, instead of a convention.")
]
Matches = Annotated[int | None, typer.Option("-k", help="Number of matches to list; default: 15.")]
KeepIslands = Annotated[
    bool,
    typer.Option(
        "--keep-islands",
        help="Keep small components of the outlines far from the rest; default: leave them out.",
    ),
]
Address = Annotated[
    str | None, typer.Option(metavar="RAY", help="Address of a Ray cluster; default: a local one.")
]
CoreThreshold = Annotated[
    float | None, typer.Option(help="Density of the core outline; default: as stored.")
]
WholeThreshold = Annotated[
    float | None, typer.Option(help="Density of the whole outline; default: as stored.")
]
Normalise = Annotated[
    str, typer.Option(help=f"What thresholds are a share of: {' or '.join(NORMALISATIONS)}.")
]
ModelName = Annotated[str, typer.Option("--model", help="Growth model: a name or module:Class.")]
DatabaseModel = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="MODULE:CLASS", help="Class of the database's growth model, if your own."
    ),
]
ModelSettings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Setting of the model, a TOML value; repeats."),
]


def decimals(text: str) -> list[float]:
    """Numbers given as 0.01,0.1.

    Raises
    ------
    InputError
        If they are not numbers.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"numbers with commas are expected, as in 0.01,0.1; got {text!r}"
        ) from None


def numbers(text: str | None) -> list[int] | None:
    """Labels given as 1,2,4.

    Raises
    ------
    InputError
        If they are not whole numbers.
    """
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"labels are whole numbers with commas, as in 1,2,4; got {text!r}"
        ) from None
