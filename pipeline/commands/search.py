"""Commands about searching: index, query."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ...atlas import SIMULATION_GRID
from ...dbgen import Database
from ...query import (
    MEASURES,
    Match,
    build_index,
    find_measure,
    score_samples,
    search,
)
from ...query.index.opening import open_outlines
from ...query.index.source import ABSOLUTE
from ...query.sharded import sharded
from ...query.strategies import open_strategy, search_with
from ...query.strategies.registry import check_name
from ...solver import TumorMasks
from ..fit.matches import DEFAULT_MATCHES, rank_matches
from ..images.frames import require_one_frame
from ..images.labels import label_convention, outlines_from_labels, rounded_labels
from ..images.nifti import InputError, NiftiFile, read_nifti
from ..images.resampling import resample_masks
from ..patient.nesting import doubts_of_nesting
from ..registration.placement import TO_SRI24, judge_placement, require_overlap
from ..terminal.printing import print_notice, show, show_table
from ..terminal.progress import console, progress_bar
from .opening import open_index
from .options import (
    Address,
    CoreThreshold,
    DatabaseFolder,
    Json,
    LabelList,
    Labels,
    Matches,
    Normalise,
    OptionalDatabase,
    WholeThreshold,
    numbers,
)


def index_command(
    database: DatabaseFolder,
    core_threshold: CoreThreshold = None,
    whole_threshold: WholeThreshold = None,
    normalise: Normalise = ABSOLUTE,
    workers: Annotated[int | None, typer.Option(help="Cores; default: as it pays.")] = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Build the index of a database, beside it, or bring it up to date."""
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
    core: Annotated[Path | None, typer.Option(help="Core outline, NIfTI.")] = None,
    whole: Annotated[Path | None, typer.Option(help="Whole outline, NIfTI.")] = None,
    seg: Annotated[Path | None, typer.Option(help="Segmentation, instead of outlines.")] = None,
    labels: Labels = None,
    core_labels: LabelList = None,
    whole_labels: LabelList = None,
    k: Matches = None,
    measure: Annotated[
        str, typer.Option(help=f"Rank by {', '.join(MEASURES)}, or your module:function.")
    ] = "dice",
    strategy: Annotated[str, typer.Option(help="How to look for them; see `train`.")] = "direct",
    rerank: Annotated[
        int, typer.Option(metavar="N", help="Rank the strategy's first N by their exact score.")
    ] = 0,
    core_weight: Annotated[
        float, typer.Option(help="Of the core in the score, 0 to 2; the whole has the rest of 2.")
    ] = 1.0,
    empty_score: Annotated[float, typer.Option(help="Dice of two empty outlines, 0 to 1.")] = 0.0,
    core_threshold: CoreThreshold = None,
    whole_threshold: WholeThreshold = None,
    normalise: Normalise = ABSOLUTE,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Find the stored tumours that overlap outlines in SRI24 world coordinates best."""
    chosen = find_measure(measure, weights=(core_weight, 2 - core_weight))
    check_name(strategy)
    if strategy != "direct" and (measure, core_weight, empty_score) != ("dice", 1, 0):
        raise InputError(
            f"the strategy {strategy} ranks by its own measure: leave --measure, --core-weight and "
            "--empty-score to --strategy direct"
        )
    if strategy != "direct" and address is not None:
        raise InputError("a cluster searches with --strategy direct alone")
    if strategy == "direct" and rerank:
        raise InputError("--strategy direct ranks by the exact score as it is: leave --rerank out")
    outlines = open_outlines(database, core_threshold, whole_threshold, normalise)
    if seg is not None and core is None and whole is None:
        name = f"segmentation {seg}"
        masks = _segmentation(seg, name, labels, core_labels, whole_labels)
    elif seg is None and core is not None and whole is not None:
        name = f"outlines {core} and {whole}"
        masks = _outlines(core, whole)
    else:
        raise InputError("give either --seg with --labels, or both --core and --whole")
    placement = judge_placement(masks, outlines.database.atlas, name=name, remedy=TO_SRI24)
    doubts = doubts_of_nesting(masks, name)
    masks = _on_atlas(masks, name)
    index = open_index(
        outlines.database, thresholds=outlines.thresholds, normalisation=outlines.normalisation
    )
    opened = None if strategy == "direct" else open_strategy(index, strategy)
    index.verify()
    with contextlib.ExitStack() as stack:
        options: dict[str, Any] = {"measure": chosen, "empty_score": empty_score}
        if chosen.from_counts is None:
            options["progress"] = stack.enter_context(progress_bar("compare", "tumours"))
        wanted = min(DEFAULT_MATCHES, index.n_samples) if k is None else k
        if opened is None and address is not None:
            spread = stack.enter_context(sharded(index, address=address))
            matches = spread.search(masks, k=wanted, **options)
        elif opened is None:
            matches = search(index, masks, k=wanted, **options)
        else:
            matches = search_with(opened, index, masks, k=wanted, rerank=rerank)
    require_overlap(matches, name=name, remedy=TO_SRI24)
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
    """Matches as plain values, with the Dice of what of the query lies in the tissue."""
    rows = []
    for ranked, inside in zip(rank_matches(database, matches), in_tissue, strict=True):
        row = {}
        for name, value in ranked.row().items():
            row[name] = value
            if name == "dice_whole":
                row["dice_in_tissue"] = inside.score
        rows.append(row)
    return rows


def _on_atlas(masks: TumorMasks, name: str) -> TumorMasks:
    """Outlines in SRI24 world coordinates, resampled to the simulation grid where need be."""
    if masks.grid == SIMULATION_GRID:
        return masks
    on_atlas = resample_masks(masks, SIMULATION_GRID)
    if not on_atlas.whole.any():
        raise InputError(
            f"{name}: the whole outline is too small, it fills half of no voxel of the atlas's "
            f"grid, {SIMULATION_GRID}"
        )
    print_notice(f"outlines resampled from {masks.grid} to {SIMULATION_GRID}")
    return on_atlas


def _segmentation(
    seg: Path,
    name: str,
    labels: str | None,
    core_labels: str | None,
    whole_labels: str | None,
) -> TumorMasks:
    convention = label_convention(
        labels, core_labels=numbers(core_labels), whole_labels=numbers(whole_labels)
    )
    file = _read(seg, "segmentation")
    return outlines_from_labels(file.values, file.grid, convention, name=name)


def _read(path: Path, role: str) -> NiftiFile:
    """A file that lies in the atlas's world by its header; what that leaves open is told."""
    file = read_nifti(path, role)
    require_one_frame(file.frames, f"{role} {path}")
    for notice in file.notices:
        print_notice(notice)
    return file


def _outlines(core: Path, whole: Path) -> TumorMasks:
    files = {
        name: _read(path, f"{name} outline") for name, path in (("core", core), ("whole", whole))
    }
    labels = {}
    for name, file in files.items():
        rounded = rounded_labels(file.values)
        labels[name] = file.values if rounded is None else rounded
        strange = np.setdiff1d(labels[name], (0, 1))
        if strange.size:
            few = ", ".join(f"{value:g}" for value in strange[:3]) + (" ..." * (strange.size > 3))
            raise InputError(
                f"an outline holds 0 and 1 alone, {core if name == 'core' else whole} holds {few}: "
                "give a segmentation with --seg and --labels"
            )
    if files["core"].grid != files["whole"].grid:
        raise InputError(
            f"core and whole outline lie on one grid, got {files['core'].grid} and "
            f"{files['whole'].grid}"
        )
    masks = {name: values.astype(bool) for name, values in labels.items()}
    if not masks["whole"].any():
        raise InputError(f"the whole outline {whole} is empty")
    if (masks["core"] & ~masks["whole"]).any():
        n = int((masks["core"] & ~masks["whole"]).sum())
        print_notice(f"{n} voxels of the core lie outside the whole outline")
    return TumorMasks(masks["core"], masks["whole"], files["whole"].grid)
