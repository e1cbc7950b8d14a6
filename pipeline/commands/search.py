"""Commands about searching: index, query."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import typer

from ...dbgen import Database
from ...errors import InputError
from ...query import (
    MEASURES,
    Match,
    PushedVentricles,
    build_index,
    find_measure,
    score_samples,
    search,
)
from ...query.index.opening import open_outlines
from ...query.index.source import ABSOLUTE
from ...query.sharded import sharded
from ...query.strategies import open_strategy, search_with
from ...query.strategies.registry import check_name, verify_strategy
from ..arguments.opening import open_index
from ..arguments.options import (
    Address,
    CoreLabels,
    CoreThreshold,
    DatabaseFolder,
    Json,
    Labels,
    Matches,
    Normalise,
    OptionalDatabase,
    WholeLabels,
    WholeThreshold,
    numbers,
)
from ..fit.matches import DEFAULT_MATCHES, rank_matches
from ..images.file_kinds import require_nifti
from ..images.labels import label_convention
from ..terminal.printing import print_notice, show, show_table
from ..terminal.progress import console, progress_bar


def index_command(
    database: DatabaseFolder,
    core_threshold: CoreThreshold = None,
    whole_threshold: WholeThreshold = None,
    normalise: Normalise = ABSOLUTE,
    workers: Annotated[
        int | None,
        typer.Option(help="Number of cores to use; default: all for a large database, else one."),
    ] = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Build the index of a database, or bring it up to date."""
    outlines = open_outlines(database, core_threshold, whole_threshold, normalise)
    outlines.database.require_intact()  # also where the index is up to date and reads nothing
    with progress_bar("index", "tumours") as progress:
        index = build_index(
            outlines, outlines.path, n_workers=workers, address=address, progress=progress
        )
    show(
        {
            "index": str(index.path),
            "samples": index.n_samples,
            "core_threshold": index.thresholds.core,
            "whole_threshold": index.thresholds.whole,
            "normalisation": index.normalisation,
        },
        as_json,
    )


def query_command(
    database: OptionalDatabase = None,
    core: Annotated[Path | None, typer.Option(help="Mask of the core outline, NIfTI.")] = None,
    whole: Annotated[Path | None, typer.Option(help="Mask of the whole outline, NIfTI.")] = None,
    seg: Annotated[
        Path | None, typer.Option(help="Segmentation, NIfTI, instead of the two masks.")
    ] = None,
    labels: Labels = None,
    core_labels: CoreLabels = None,
    whole_labels: WholeLabels = None,
    k: Matches = None,
    measure: Annotated[
        str, typer.Option(help=f"Measure to rank by: {', '.join(MEASURES)}, or a module:function.")
    ] = "dice",
    strategy: Annotated[
        str, typer.Option(help="Search strategy; `train --help` lists them.")
    ] = "direct",
    rerank: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Rank the strategy's first N by their exact score; 0 for no reranking.",
        ),
    ] = 0,
    core_weight: Annotated[
        float,
        typer.Option(
            help="Weight of the core in the score, 0 to 2; the whole outline has the rest of 2.",
        ),
    ] = 1.0,
    ventricles: Annotated[
        Path | None,
        typer.Option(
            help="Mask of the ventricles, NIfTI: a third outline, for a database of tumours that "
            "push tissue. Align its image with the atlas by an affine map: a deformation would "
            "undo what the tumour has pushed."
        ),
    ] = None,
    ventricle_weight: Annotated[
        float, typer.Option(help="Weight of the ventricles' Dice, which is added to the score.")
    ] = 1.0,
    empty_score: Annotated[float, typer.Option(help="Dice of two empty outlines, 0 to 1.")] = 0.0,
    core_threshold: CoreThreshold = None,
    whole_threshold: WholeThreshold = None,
    normalise: Normalise = ABSOLUTE,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Find the stored tumours that overlap outlines in SRI24 world coordinates best."""
    if not 0 <= core_weight <= 2:
        raise InputError(f"--core-weight is 0 to 2, got {core_weight:g}")
    chosen = find_measure(measure, weights=(core_weight, 2 - core_weight))
    check_name(strategy)
    if strategy != "direct" and (measure, core_weight, empty_score) != ("dice", 1, 0):
        raise InputError(
            f"the strategy {strategy} ranks by its own measure: leave --measure, --core-weight and "
            "--empty-score to --strategy direct"
        )
    if strategy != "direct" and address is not None:
        raise InputError("--address needs --strategy direct: leave one of the two out")
    if ventricles is None and ventricle_weight != 1:
        raise InputError("--ventricle-weight needs --ventricles")
    if ventricles is not None and (strategy != "direct" or address is not None):
        raise InputError("--ventricles needs --strategy direct without --address: leave those out")
    if strategy == "direct" and rerank:
        raise InputError("--strategy direct already ranks by the exact score: leave --rerank out")
    if seg is None and (labels or core_labels or whole_labels):
        raise InputError("--labels, --core-labels and --whole-labels say what --seg holds: give it")
    convention = None
    if seg is not None and core is None and whole is None:
        name = f"segmentation {seg}"
        require_nifti(seg, name)
        convention = label_convention(
            labels, core_labels=numbers(core_labels), whole_labels=numbers(whole_labels)
        )
    elif seg is None and core is not None and whole is not None:
        name = f"outlines {core} and {whole}"
        require_nifti(core, f"core outline {core}")
        require_nifti(whole, f"whole outline {whole}")
    else:
        raise InputError("give either --seg with --labels, or both --core and --whole")
    if ventricles is not None:
        require_nifti(ventricles, f"ventricles {ventricles}")
    outlines = open_outlines(database, core_threshold, whole_threshold, normalise)

    from ..arguments.atlas_outlines import (
        on_atlas,
        read_outlines,
        read_segmentation,
        read_ventricles,
    )
    from ..patient.nesting import doubts_of_nesting
    from ..registration.placement import TO_SRI24, judge_placement, require_overlap

    if seg is not None and convention is not None:
        masks = read_segmentation(seg, name, convention)
    elif core is not None and whole is not None:
        masks = read_outlines(core, whole)
    placement = judge_placement(masks, outlines.database.atlas, name=name, remedy=TO_SRI24)
    doubts = doubts_of_nesting(masks, name)
    masks = on_atlas(masks, name)
    third = None
    if ventricles is not None:
        asked = read_ventricles(ventricles)
        third = PushedVentricles.of(outlines.database).compared(asked, weight=ventricle_weight)
    index = open_index(
        outlines.database, thresholds=outlines.thresholds, normalisation=outlines.normalisation
    )
    opened = None if strategy == "direct" else open_strategy(index, strategy)
    index.verify()
    if opened is not None:
        verify_strategy(index, strategy)
    with contextlib.ExitStack() as stack:
        options: dict[str, Any] = {"measure": chosen, "empty_score": empty_score}
        if chosen.from_counts is None:
            options["progress"] = stack.enter_context(progress_bar("compare", "tumours"))
        wanted = min(DEFAULT_MATCHES, index.n_samples) if k is None else k
        if opened is None and address is not None:
            spread = stack.enter_context(sharded(index, address=address))
            matches = spread.search(masks, k=wanted, **options)
        elif opened is None:
            matches = search(index, masks, k=wanted, ventricles=third, **options)
        else:
            matches = search_with(opened, index, masks, k=wanted, rerank=rerank)
    # Other rankings may begin with tumours elsewhere.
    require_overlap(search(index, masks, k=1), masks, name=name, remedy=TO_SRI24)
    console.print(f"{placement.share:.0%} of the whole outline lies in the atlas's brain")
    for notice in (*([placement.notice] if placement.notice else []), *doubts):
        print_notice(notice)
    in_tissue = score_samples(
        index,
        masks,
        [match.sample for match in matches],
        measure=MEASURES["dice-in-tissue"],
        empty_score=empty_score,
    )
    rows = _rows(outlines.database, matches, in_tissue)
    if as_json:
        facts: dict[str, Any] = {"strategy": strategy}
        if opened is None:
            facts |= {"measure": chosen.name, "weights": chosen.weights}
            facts |= {} if third is None else {"ventricle_weight": third.weight}
        else:
            facts |= {"rerank": rerank}
        facts |= {
            "core_threshold": index.thresholds.core,
            "whole_threshold": index.thresholds.whole,
            "normalisation": index.normalisation,
            "share_in_brain": placement.share,
        }
        show({**facts, "matches": rows}, as_json)
    else:
        show_table(rows, n_keys=2)


def _rows(database: Database, matches: list[Match], in_tissue: list[Match]) -> list[dict[str, Any]]:
    """Matches as plain values, with the score of the query's part in the tissue."""
    rows = []
    for ranked, inside in zip(rank_matches(database, matches), in_tissue, strict=True):
        row = {}
        for name, value in ranked.row().items():
            row[name] = value
            if name == "dice_whole":
                row["score_in_tissue"] = inside.score
        rows.append(row)
    return rows
