"""The command as a BIDS App: `glioquery bids DATASET OUT participant`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...dbgen.store.opening import require_model
from ...errors import InputError
from ..arguments.opening import open_for
from ..arguments.options import (
    Address,
    BrainOption,
    DatabaseModel,
    Json,
    KeepIslands,
    Labels,
    NamedDatabase,
    Workers,
    with_inversion_options,
)
from ..cohort.bids_dataset import TUMOUR, read_bids_cases, sources_of
from ..inversion.options import InversionOptions
from ..patient.brain_option import checked_way
from ..results.dataset_description import describe_dataset
from ..results.result_folder import only_run, output_folder
from ..terminal.printing import print_notice, show
from ..terminal.progress import progress_bar
from .many_patients import end_if_failed, failures_of, write_summary

LEVELS = ("participant", "group")


@with_inversion_options
def bids_command(
    *,
    context: typer.Context,
    dataset: Annotated[Path, typer.Argument(metavar="DATASET", help="Folder of the dataset.")],
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for the results, a dataset of its own.")
    ],
    level: Annotated[
        str,
        typer.Argument(
            metavar="participant|group",
            help="participant inverts each participant; group makes the page of all results.",
        ),
    ],
    more: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="LABEL",
            help="More participants, where --participant-label is followed by several.",
        ),
    ] = None,
    participants: Annotated[
        list[str] | None,
        typer.Option(
            "--participant-label",
            "--participant_label",
            metavar="LABEL...",
            help="Labels of the participants, without sub-; default: all.",
        ),
    ] = None,
    sessions: Annotated[
        list[str] | None,
        typer.Option(
            "--session-label",
            "--session_label",
            metavar="LABEL",
            help="Label of a session, without ses-; may be repeated; default: all.",
        ),
    ] = None,
    derivatives: Annotated[
        list[Path] | None,
        typer.Option(
            help="Dataset that holds segmentations; may be repeated; default: all in "
            "DATASET/derivatives."
        ),
    ] = None,
    seg: Annotated[
        str,
        typer.Option(
            metavar="ENTITIES",
            help="Entities in the name of a tumour's segmentation (dseg), such as desc-brats.",
        ),
    ] = TUMOUR,
    images: Annotated[
        str,
        typer.Option(
            metavar="ENTITIES",
            help="Entities of the image to take where there are several, such as acq-mprage; "
            "default: refuse several.",
        ),
    ] = "",
    labels: Labels = None,
    database: NamedDatabase = None,
    options: InversionOptions,
    keep_islands: KeepIslands = False,
    brain: BrainOption = "auto",
    model: DatabaseModel = None,
    workers: Workers = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Invert the participants of a BIDS dataset. Exit code 1 if any failed."""
    if level not in LEVELS:
        raise InputError(f"the level is {' or '.join(LEVELS)}; got {level!r}")
    if more and not participants:
        raise InputError(
            f"a BIDS App takes DATASET OUT {'|'.join(LEVELS)}, got {' '.join(more)} as well; "
            "labels come after --participant-label"
        )
    if output.resolve() == dataset.resolve():
        raise InputError(f"OUT {output} is the dataset itself: name another folder")
    brain_way = checked_way(brain)
    table = read_bids_cases(
        dataset,
        labels=labels,
        out=output,
        derivatives=derivatives or (),
        participants=[*(participants or ()), *(more or ())],
        sessions=sessions or (),
        seg=seg,
        images=images,
    )
    for notice in table.notices:
        print_notice(notice)
    source, index = open_for(options, database, model)
    out = context.with_resource(output_folder(output))

    from ..cohort.cohort import invert_cohort
    from ..cohort.cohort_report import find_outcomes

    require_model(source, model)
    describe_dataset(out, sources=sources_of(dataset, out), in_folders=True)
    if level == "group":
        outcomes = find_outcomes(table.cases, out)
    else:  # no lock but each participant's: jobs of a cluster share the folder
        with progress_bar("bids", "participants") as progress:
            outcomes = invert_cohort(
                source,
                table.cases,
                out,
                options,
                keep_islands=keep_islands,
                brain=brain_way,
                address=address,
                n_workers=workers,
                progress=progress,
            )
    failed = failures_of(outcomes)
    facts = {
        "participants": len(outcomes),
        "kept": sum(o.kept and o.error is None for o in outcomes),
        "failed": failed,
    }
    if level == "group":
        from ..cohort.match_quality import match_stored

        with only_run(out):
            facts |= write_summary(out, outcomes, source, match_stored(source, index))
    show(facts, as_json)
    end_if_failed(len(failed), len(outcomes), "participants")
