"""Options that several commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, cast

import typer

from ...errors import InputError
from ...query.index.source import NORMALISATIONS
from ..anatomy.tissue_way import TissueWay
from ..inversion.options import DENSITIES, InversionOptions
from ..registration.options import Kind

DatabaseFolder = Annotated[Path, typer.Argument(metavar="DB", help="Folder of the database.")]
OptionalDatabase = Annotated[
    Path | None,
    typer.Argument(metavar="DB", help="Folder of the database; default: the embedded database."),
]
NamedDatabase = Annotated[
    Path | None,
    typer.Option(metavar="DB", help="Folder of the database; default: the embedded database."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Labels = Annotated[
    str | None,
    typer.Option(
        help="Label convention of the segmentation: brats2021, brats2023 or brats2024-post."
    ),
]
CoreLabels = Annotated[
    str | None,
    typer.Option(metavar="L,L,...", help="Labels of the core, instead of a convention."),
]
WholeLabels = Annotated[
    str | None,
    typer.Option(
        metavar="L,L,...",
        help="Labels of the whole tumour, those of the core included; instead of a convention.",
    ),
]
CoreStructures = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        help="Structures of the core in a DICOM SEG or RTSTRUCT, by name; instead of labels.",
    ),
]
WholeStructures = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,...",
        help="Structures of the whole tumour in a DICOM SEG or RTSTRUCT, by name; those of the "
        "core need not be named again.",
    ),
]
Anonymous = Annotated[
    bool,
    typer.Option("--anonymous", help="Write DICOM files without patient and study, with new UIDs."),
]
Matches = Annotated[
    int | None,
    typer.Option(
        "-k", help="Number of matches to list; default: 15, or all tumours of a smaller database."
    ),
]
KeepIslands = Annotated[
    bool,
    typer.Option(
        "--keep-islands",
        help="Keep specks of the outlines, which are left out by default: below 0.1 ml and below "
        "2 % of the largest part, and more than 10 mm from the rest.",
    ),
]
BrainOption = Annotated[
    str,
    typer.Option(
        "--brain",
        metavar="auto|network|atlas",
        help="How to find the brain in a head: by a network or by the atlas. auto uses the network "
        "if the extra `brain` is installed.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(metavar="RAY", help="Address of a Ray cluster; default: use this machine alone."),
]
Workers = Annotated[int | None, typer.Option(help="Number of cores to use; default: all.")]
CoreThreshold = Annotated[
    float | None,
    typer.Option(help="Density of the core outline, 0 to 1; default: that of the database."),
]
WholeThreshold = Annotated[
    float | None,
    typer.Option(help="Density of the whole outline, 0 to 1; default: that of the database."),
]
Normalise = Annotated[
    str,
    typer.Option(
        help="Whether thresholds are densities or shares of each tumour's maximum: "
        f"{' or '.join(NORMALISATIONS)}."
    ),
]
ModelName = Annotated[
    str, typer.Option("--model", help="Growth model, by name or as module:Class.")
]
DatabaseModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODULE:CLASS",
        help="Class of the database's growth model, needed if it is one of your own.",
    ),
]
FitParameters = Annotated[
    list[str] | None,
    typer.Option(
        "--fit",
        metavar="NAME",
        help="Parameter of the growth model to refine as well, such as ratio; may be repeated.",
    ),
]
ModelSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Setting of the growth model, with a TOML value; may be repeated.",
    ),
]


def _inversion_options(
    *,
    k: Matches = None,
    refine: Annotated[
        bool,
        typer.Option(
            help="Refine the growth, beginning at the best matches, or keep the best match."
        ),
    ] = True,
    fit_thresholds: Annotated[
        bool,
        typer.Option(
            "--fit-thresholds", help="Also fit the densities at which the outlines were drawn."
        ),
    ] = False,
    own_anatomy: Annotated[
        bool,
        typer.Option(
            "--own-anatomy",
            help="Continue the refinement in the patient's own tissue; default: do not.",
        ),
    ] = False,
    tissue_from: Annotated[
        str,
        typer.Option(
            metavar="auto|atlas",
            help="Where the tissue comes from: the T1, if its contrast suffices (auto), or the "
            "atlas.",
        ),
    ] = "auto",
    fit: FitParameters = None,
    densities: Annotated[
        str | None,
        typer.Option(
            metavar="U,U,...",
            help="Densities, 0 to 1, of the isolines and probabilities to map; "
            "default: 0.01,0.1,0.2.",
        ),
    ] = None,
    registration: Annotated[
        str,
        typer.Option(help="How far to bend the patient to the atlas: syn, affine, rigid or none."),
    ] = "syn",
    resolution: Annotated[
        float, typer.Option(help="Voxel size of the registration in mm, 1 to 4.")
    ] = 2.0,
    seed: Annotated[int, typer.Option(help="Seed of the registration, 1 or more.")] = 1,
) -> InversionOptions:
    return InversionOptions(
        k=k,
        refine=refine,
        fit_thresholds=fit_thresholds,
        own_anatomy=own_anatomy,
        tissue_from=cast(TissueWay, tissue_from),
        fit=tuple(fit or ()),
        densities=DENSITIES if densities is None else decimals(densities),
        registration=cast(Kind, registration),
        resolution_mm=resolution,
        seed=seed,
    )


def with_inversion_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of an inversion, in the place of its parameter `options`.

    The command receives them as one `InversionOptions`, which has been checked.

    Parameters
    ----------
    command : callable
        Takes `options`, and any parameters of its own by name.

    Returns
    -------
    callable
        The command with an option for each field of `InversionOptions`.
    """
    ours = inspect.signature(_inversion_options, eval_str=True).parameters
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        new = ours.values() if parameter.name == "options" else [parameter]
        parameters += [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in new]

    @functools.wraps(command)
    def run(**values: object) -> None:
        asked = {name: values.pop(name) for name in ours}
        command(**values, options=_inversion_options(**asked))  # type: ignore[arg-type]

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def names(text: str | None) -> list[str] | None:
    """Names given as GTV,Edema."""
    return None if text is None else text.split(",")


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
        raise InputError(f"expected numbers with commas, as in 0.01,0.1, got {text!r}") from None


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
            f"expected labels as whole numbers with commas, as in 1,2,4, got {text!r}"
        ) from None
