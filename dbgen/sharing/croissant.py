"""An export's description in Croissant 1.0, JSON-LD by which machines find and load data.

Catalogues of data read it, and `mlcroissant` makes records of it.

References
----------
M. Akhtar et al., "Croissant: a metadata format for ML-ready datasets", DEEM 2024;
https://docs.mlcommons.org/croissant/docs/croissant-spec.html.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..datacard import DatabaseFacts, licence_of

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"

CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""Context from the specification, section "JSON-LD context"."""

CITATION = (
    "I. Ezhov et al., A for-loop is all you need. For solving the inverse problem in the case of "
    "personalized tumor growth modeling. Machine Learning for Health, PMLR 193:566-577, 2022."
)
"""Reference of the method that such databases serve."""

FORMATS = {
    ".json": "application/json",
    ".md": "text/markdown",
    ".parquet": "application/x-parquet",
    ".tar": "application/x-tar",
    ".txt": "text/plain",
}
"""Media type by the ending of a file's name."""

SPLIT_RECORDS, TUMOUR_RECORDS, SHARDS = "splits", "tumours", "shards"

Variables = Mapping[str, tuple[Any, str, str]]
"""Type, unit and meaning by name."""


def describe_export(
    name: str,
    facts: DatabaseFacts,
    variables: Variables,
    splits: Sequence[str],
    sums: Mapping[str, str],
) -> dict[str, Any]:
    """The description of an export.

    Parameters
    ----------
    name : str
        Name of the database.
    facts : DatabaseFacts
    variables : mapping
        Columns of the table of parameters beside `sample` and `split`.
    splits : sequence of str
        Values of `split`.
    sums : mapping of str to str
        SHA-256 of each file by its name; the only .tar is the database, the only .parquet the
        table.
    """
    archive = next(file for file in sums if file.endswith(".tar"))
    table = next(file for file in sums if file.endswith(".parquet"))
    licence = licence_of(facts.atlas)
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": name,
        "description": (
            f"{facts.n_samples} simulated gliomas in the atlas {facts.atlas}, by the growth model "
            f"{facts.model['name']}: {facts.model['equation']}. Made by glioquery "
            f"{facts.package_version}; content {facts.checksum}."
        ),
        "license": licence.url or licence.text,
        "citeAs": CITATION,
        "version": "1.0.0",
        "isLiveDataset": False,
        "keywords": ["glioma", "tumour growth", "reaction-diffusion", "simulation"],
        "distribution": [
            *(_file(file, digest) for file, digest in sums.items()),
            {
                "@type": "cr:FileSet",
                "@id": SHARDS,
                "name": SHARDS,
                "description": "Outlines of the tumours, and densities where they are stored.",
                "containedIn": {"@id": archive},
                "encodingFormat": "application/x-netcdf",
                "includes": f"{name}/shards/*.nc",
            },
        ],
        "recordSet": [_splits(splits), _tumours(variables, table)],
    }


def _file(name: str, digest: str) -> dict[str, Any]:
    ending = name[name.rindex(".") :]
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": name,
        "encodingFormat": FORMATS[ending],
        "sha256": digest,
    }


def _splits(splits: Sequence[str]) -> dict[str, Any]:
    field = f"{SPLIT_RECORDS}/name"
    return {
        "@type": "cr:RecordSet",
        "@id": SPLIT_RECORDS,
        "name": SPLIT_RECORDS,
        "dataType": "cr:Split",
        "key": {"@id": field},
        "field": [{"@type": "cr:Field", "@id": field, "name": "name", "dataType": "sc:Text"}],
        "data": [{field: split} for split in splits],
    }


def _tumours(variables: Variables, table: str) -> dict[str, Any]:
    def field(name: str, kind: str, text: str, **more: Any) -> dict[str, Any]:
        return {
            "@type": "cr:Field",
            "@id": f"{TUMOUR_RECORDS}/{name}",
            "name": name,
            "description": text,
            "dataType": kind,
            "source": {"fileObject": {"@id": table}, "extract": {"column": name}},
            **more,
        }

    return {
        "@type": "cr:RecordSet",
        "@id": TUMOUR_RECORDS,
        "name": TUMOUR_RECORDS,
        "key": {"@id": f"{TUMOUR_RECORDS}/sample"},
        "field": [
            field("sample", "sc:Integer", "Number of the tumour in the database."),
            *(
                field(name, _type_of(kind), f"{text} ({unit})" if unit else text)
                for name, (kind, unit, text) in variables.items()
            ),
            field(
                "split",
                "sc:Text",
                "To be searched in, or to be searched for.",
                references={"field": {"@id": f"{SPLIT_RECORDS}/name"}},
            ),
        ],
    }


def _type_of(kind: Any) -> str:
    kind = np.dtype(kind).kind
    return {"f": "sc:Float", "b": "sc:Boolean"}.get(kind, "sc:Integer")
