"""A folder of results as a BIDS dataset of derivatives: its description.

BIDS has names for outlines, planning volumes and probabilities. It has none for densities, pages
and the files beside the maps: `.bidsignore` lists these.

References
----------
BIDS 1.10, "Dataset description" and "Derivatives: common data types and metadata".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...dbgen.machine.files import write_json, write_text
from ..names import BIDS_VERSION

DESCRIPTION_FILE = "dataset_description.json"
IGNORE_FILE = ".bidsignore"

GENERATOR = "glioquery"

IGNORED = (
    "cohort.*",
    "*_density.nii.gz",
    "*_desc-difference_dseg.nii.gz",
    "*_space-seg_*",
    "matches.csv",
    "report.html",
    "request.json",
    "result.json",
    "ro-crate-metadata.json",
    "thumbnail.png",
    "**/transform",
    "sub-*/*.*",
)
"""The last line is for results outside BIDS's folders, such as those of a cohort's table."""

REFERENCES = {
    "space-T1w_dseg": "orig",
    "space-T1w_mask": "orig",
    "space-T1w_probseg": "orig",
    "space-SRI24_dseg": "https://www.nitrc.org/projects/sri24/",
}
"""By space, the image with which all its maps are aligned; BIDS requires it of each map."""


def describe_dataset(
    out: Path, *, sources: Sequence[Mapping[str, str]] = (), in_folders: bool = False
) -> None:
    """Write `dataset_description.json`, `.bidsignore` and the sidecars.

    A description that another program wrote stays as it is.

    Parameters
    ----------
    out : Path
        Folder with the results of all subjects.
    sources : sequence of mapping
        Datasets from which the results were made: DOI, URL, Version.
    in_folders : bool
        Whether results lie in BIDS's folders (`sub-01/anat`), with sidecars that hold for all of
        them.
    """
    if (out / DESCRIPTION_FILE).exists() and not is_own(out):
        return
    description: dict[str, Any] = {
        "Name": "Tumour cell density of gliomas",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": GENERATOR, "Version": version(GENERATOR)}],
    }
    if sources:
        description["SourceDatasets"] = [dict(source) for source in sources]
    write_json(out / DESCRIPTION_FILE, description)
    write_text(out / IGNORE_FILE, "\n".join(IGNORED) + "\n")
    if in_folders:
        for name, reference in REFERENCES.items():
            write_json(out / f"{name}.json", {"SpatialReference": reference})


def is_own(folder: Path) -> bool:
    """Whether a dataset says that glioquery made it."""
    made_by = read_description(folder).get("GeneratedBy")
    return isinstance(made_by, list) and any(
        isinstance(maker, dict) and maker.get("Name") == GENERATOR for maker in made_by
    )


def read_description(folder: Path) -> dict[str, Any]:
    """A dataset's description; empty if it has none that can be read."""
    try:
        described = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return described if isinstance(described, dict) else {}
