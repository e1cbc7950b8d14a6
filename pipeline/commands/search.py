"""Commands about searching: index, query."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from ...atlas import SIMULATION_GRID
from ...dbgen import Database
from ...query import build_index, search
from ...solver import TumorMasks
from ..inversion import DEFAULT_MATCHES, INDEX_FOLDER, open_index, rank_matches
from ..labels import label_convention, outlines_from_labels
from ..nifti import InputError, read_nifti
from ..printing import show, table
from ..progress import console, progress_bar
from ..transform import AtlasTransform
from .options import DatabaseFolder, Json, LabelList, Labels, Matches, numbers


def index_command(database: DatabaseFolder, as_json: Json = False) -> None:
    """Build the index of a database, beside it."""
    source = Database.open(database)
    with progress_bar("index", "tumours") as progress:
        index = build_index(source, database / INDEX_FOLDER, progress=progress)
    show({"index": str(index.path), "samples": index.n_samples}, as_json)


def query_command(
    database: DatabaseFolder,
    core: Annotated[Path | None, typer.Option(help="Core outline, NIfTI.")] = None,
    whole: Annotated[Path | None, typer.Option(help="Whole outline, NIfTI.")] = None,
    seg: Annotated[Path | None, typer.Option(help="Segmentation, instead of outlines.")] = None,
    labels: Labels = None,
    core_labels: LabelList = None,
    whole_labels: LabelList = None,
    k: Matches = None,
    as_json: Json = False,
) -> None:
    """Find the stored tumours that overlap outlines in SRI24 world coordinates best."""
    source = Database.open(database)
    index = open_index(source)
    if seg is not None and core is None and whole is None:
        masks = _segmentation(seg, labels, core_labels, whole_labels)
    elif seg is None and core is not None and whole is not None:
        masks = _outlines(core, whole)
    else:
        raise InputError("give either --seg with --labels, or both --core and --whole")
    masks = AtlasTransform.identity().masks_to_atlas(masks, SIMULATION_GRID)
    if not masks.whole.any():
        raise InputError("no voxel of the outlines lies in SRI24's part of the world")
    rows = [
        m.row()
        for m in rank_matches(
            source, search(index, masks, k=k or min(DEFAULT_MATCHES, index.n_samples))
        )
    ]
    if as_json:
        show({"matches": rows}, as_json)
    else:
        console.print(table(rows))


def _segmentation(
    seg: Path, labels: str | None, core_labels: str | None, whole_labels: str | None
) -> TumorMasks:
    convention = label_convention(
        labels, core_labels=numbers(core_labels), whole_labels=numbers(whole_labels)
    )
    file = read_nifti(seg, "segmentation")
    return outlines_from_labels(file.values, file.grid, convention, name=f"segmentation {seg}")


def _outlines(core: Path, whole: Path) -> TumorMasks:
    files = {
        name: read_nifti(path, f"{name} outline")
        for name, path in (("core", core), ("whole", whole))
    }
    for name, file in files.items():
        if not np.isin(file.values, (0, 1)).all():
            raise InputError(
                f"an outline holds 0 and 1 alone, the {name} outline has other values: "
                "give a segmentation with --seg and --labels"
            )
    if files["core"].grid != files["whole"].grid:
        raise InputError(
            f"core and whole outline lie on one grid, got {files['core'].grid} and "
            f"{files['whole'].grid}"
        )
    masks = {name: file.values.astype(bool) for name, file in files.items()}
    if not masks["whole"].any():
        raise InputError(f"the whole outline {whole} is empty")
    if (masks["core"] & ~masks["whole"]).any():
        n = int((masks["core"] & ~masks["whole"]).sum())
        console.print(f"[yellow]notice:[/] {n} voxels of the core lie outside the whole outline")
    return TumorMasks(masks["core"], masks["whole"], files["whole"].grid)
