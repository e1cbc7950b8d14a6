"""A result folder as an RO-Crate: for machines, the files and their sources.

References
----------
S. Soiland-Reyes et al., "Packaging research artefacts with RO-Crate", Data Science 5(2):97-138,
2022; specification 1.2, https://w3id.org/ro/crate/1.2.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from .result_folder import RESULT_FILE

CRATE_FILE = "ro-crate-metadata.json"

PROGRAM = "glioquery"

SPECIFICATION = "https://w3id.org/ro/crate/1.2"

RIGHTS = "No licence is granted here: the rights are those of the scan and of the atlas (SRI24)."

FORMATS = {
    ".gz": "application/gzip",
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".png": "image/png",
}
"""Media types by the end of a name."""

KINDS = {
    "density": "Map of tumour cell density",
    "dseg": "Labelled regions",
    "mask": "Planning volume",
    "probseg": "Map of a probability",
}
"""Content of a map, by the last part of its name."""

OTHER_KINDS = {
    "matches.csv": "The best matches among the stored tumours",
    "report.html": "The page for people",
    "request.json": "What the result was made from",
    "thumbnail.png": "Picture of the map",
}


def crate_of(
    provenance: Mapping[str, Any], files: Mapping[str, Mapping[str, str | int]]
) -> dict[str, Any]:
    """Describe a result.

    It does not identify the patient: inputs appear by role and SHA-256.

    Parameters
    ----------
    provenance : mapping
        As `inversion.provenance.provenance_of` gives it.
    files : mapping
        All files but `result.json`, as `result_folder.list_files` gives them.

    Returns
    -------
    dict
        Values for JSON-LD.
    """
    versions, database = provenance["versions"], provenance["database"]
    parts = [_file(name, entry) for name, entry in files.items()]
    parts.append(_file(RESULT_FILE, {}, "Figures, provenance, and the list of all other files"))
    inputs = [
        {"@id": f"#{role}", "@type": "CreativeWork", "name": role, "sha256": digest}
        for role, digest in provenance["inputs_sha256"].items()
    ]
    inputs += [
        {
            "@id": "#database",
            "@type": "CreativeWork",
            "name": f"Database of {database['n_samples']} simulated tumours",
            "sha256": database["checksum"],
        },
        {
            "@id": "#atlas",
            "@type": "CreativeWork",
            "name": "Atlas",
            "sha256": provenance["atlas_sha256"],
        },
    ]
    packages = [
        {"@id": f"#{name}", "@type": "SoftwareApplication", "name": name, "version": version}
        for name, version in versions.items()
        if name != PROGRAM
    ]
    program = {
        "@id": f"#{PROGRAM}",
        "@type": "SoftwareApplication",
        "name": PROGRAM,
        "version": versions[PROGRAM],
        "softwareRequirements": _references(packages),
    }
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": "Tumour cell density of a glioma",
        "description": "Maps that glioquery made of an MRI and the outlines of a glioma in it.",
        "datePublished": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "license": RIGHTS,
        "hasPart": _references(parts),
        "mentions": [{"@id": "#inversion"}],
    }
    action = {
        "@id": "#inversion",
        "@type": "CreateAction",
        "name": "Inversion",
        "instrument": {"@id": program["@id"]},
        "object": _references(inputs),
        "result": _references(parts),
    }
    descriptor = {
        "@id": CRATE_FILE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": SPECIFICATION},
        "about": {"@id": "./"},
    }
    return {
        "@context": f"{SPECIFICATION}/context",
        "@graph": [descriptor, root, *parts, action, *inputs, program, *packages],
    }


def _file(name: str, entry: Mapping[str, str | int], kind: str | None = None) -> dict[str, Any]:
    """A file as the crate lists it."""
    told: dict[str, Any] = {"@id": name, "@type": "File", "name": kind or _kind(name)}
    end = name[name.rfind(".") :]
    if end in FORMATS:
        told["encodingFormat"] = FORMATS[end]
    if entry:
        told |= {"contentSize": str(entry["bytes"]), "sha256": entry["sha256"]}
    return told


def _kind(name: str) -> str:
    if name.startswith("transform/"):
        return "Part of the registration to the atlas, as ANTs reads it"
    suffix = name.removesuffix(".nii.gz").rsplit("_", 1)[-1]
    return KINDS.get(suffix) or OTHER_KINDS.get(name) or name


def _references(entities: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{"@id": entity["@id"]} for entity in entities]
