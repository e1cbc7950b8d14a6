"""The files of an inversion.

sub-X_space-T1w_density.nii.gz          density of the best match on the T1's grid, float32
sub-X_space-SRI24_density.nii.gz        the same on the simulation grid
sub-X_space-T1w_desc-match_dseg.nii.gz  its outlines on the T1's grid: 1 whole, 2 core
transform/                              the whole registration, in ANTs' formats
matches.csv                             the best matches with Dice and growth parameters
result.json                             status, best match, quality, timings, provenance
report.html                             the page for people

X is the subject's label; `names` makes the names, docs/outputs.md describes every file.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ..atlas import load_atlas
from ..dbgen import Database
from ..solver import Thresholds
from .names import DEFAULT_SUBJECT, map_name
from .nifti import InputError, write_nifti
from .patient import Patient
from .report import ReportContent, write_report
from .result import Inversion, InversionStatus

REPORTED_DENSITIES = (0.01, 0.1, 0.2, 0.6)
RESULT_FILE = "result.json"
REPORT_FILE = "report.html"
PACKAGES = ("glioquery", "antspyx", "jax", "jaxlib", "nibabel", "netCDF4", "numpy", "xarray")


def prepare_output(folder: Path) -> Path:
    """Make the output folder and see that it can be written.

    Raises
    ------
    InputError
        If it cannot.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".glioquery-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"the output folder {folder} cannot be written ({error.strerror}): choose another"
        ) from None
    return folder


def write_maps(
    out: Path, inversion: Inversion, thresholds: Thresholds, subject: str = DEFAULT_SUBJECT
) -> None:
    """Write the maps, the transform and the table of matches."""
    density, atlas = inversion.density, inversion.density_atlas
    write_nifti(
        out / map_name(subject, "T1w", "density"), density.u, density.grid, intent="estimate"
    )
    write_nifti(
        out / map_name(subject, "SRI24", "density"),
        atlas.u,
        atlas.grid,
        intent="estimate",
        space="template",
    )
    matched = density.outlines(thresholds)
    labels = matched.whole.astype(np.uint8) + matched.core
    write_nifti(
        out / map_name(subject, "T1w", "dseg", desc="match"), labels, matched.grid, intent="label"
    )
    (out / "transform").mkdir(exist_ok=True)
    inversion.transform.save(out / "transform")
    table = io.StringIO()
    rows = []
    for match in inversion.matches:
        row = match.row()
        x, y, z = row.pop("origin_mm")
        rows.append(row | {"origin_x_mm": x, "origin_y_mm": y, "origin_z_mm": z})
    writer = csv.DictWriter(table, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    _write_text(out / "matches.csv", table.getvalue())


def write_page(
    out: Path,
    inversion: Inversion,
    patient: Patient,
    database: Database,
    title: str,
    maps: Mapping[str, bytes],
    registration: Mapping[str, bytes],
) -> None:
    """Write `report.html` with its pictures."""
    matches = [match.row() for match in inversion.matches]
    if not inversion.masks.core.any():
        matches = [row | {"dice_core": None} for row in matches]
    write_report(
        out / REPORT_FILE,
        ReportContent(
            case=title,
            is_plausible=inversion.status is not InversionStatus.NO_PLAUSIBLE_MATCH,
            status=_status_sentence(inversion),
            notices=patient.notices,
            maps=maps,
            registration=registration,
            matches=matches,
            volumes=_volumes(patient, inversion, database.thresholds),
            quality=inversion.quality,
            provenance=_provenance(database, patient, inversion),
            timings_s=inversion.timings_s,
        ),
    )


def write_result(out: Path, inversion: Inversion, patient: Patient, database: Database) -> None:
    """Write `result.json`, the last file: where it is, the others are complete."""
    result = {
        "status": inversion.status.value,
        "mean_dice": inversion.mean_dice,
        "best": inversion.matches[0].row(),
        "quality": dataclasses.asdict(inversion.quality),
        "problems": inversion.quality.problems,
        "notices": patient.notices,
        "timings_s": inversion.timings_s,
        "provenance": _provenance(database, patient, inversion),
    }
    _write_text(out / RESULT_FILE, json.dumps(plain(result), indent=2) + "\n")


def plain(value: Any) -> Any:
    """Turn a value into what JSON can say: NaN as null, tuples as lists, NumPy's as Python's."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _status_sentence(inversion: Inversion) -> str:
    if inversion.status is InversionStatus.NO_PLAUSIBLE_MATCH:
        return (
            "No simulated tumour resembles this one "
            f"(mean Dice {inversion.mean_dice:.2f}). The map below is that of the least unlike; "
            "do not rely on it."
        )
    if inversion.status is InversionStatus.REGISTRATION_DOUBTFUL:
        return (
            f"The match is plausible (mean Dice {inversion.mean_dice:.2f}), but the registration "
            "is doubtful: look at it before relying on the map."
        )
    return f"A plausible match was found (mean Dice of the outlines {inversion.mean_dice:.2f})."


def _volumes(
    patient: Patient, inversion: Inversion, thresholds: Thresholds
) -> list[dict[str, object]]:
    ml = patient.grid.voxel_ml
    u = inversion.density.u
    seen = {
        thresholds.core: float(patient.masks.core.sum() * ml),
        thresholds.whole: float(patient.masks.whole.sum() * ml),
    }
    names = {thresholds.core: " (core)", thresholds.whole: " (whole tumour)"}
    return [
        {
            "Predicted density": f"at least {level:g}{names.get(level, '')}",
            "Predicted volume (ml)": round(float((u >= level).sum() * ml), 1),
            "Outlined on the scan (ml)": round(seen[level], 1) if level in seen else None,
        }
        for level in sorted({*REPORTED_DENSITIES, thresholds.core, thresholds.whole}, reverse=True)
    ]


def _provenance(database: Database, patient: Patient, inversion: Inversion) -> dict[str, Any]:
    return {
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
        "atlas_sha256": load_atlas().checksum,
        "database": {
            "name": database.path.name,
            "checksum": database.checksum,
            "n_samples": database.n_samples,
            "model": database.header["plan"]["model"],
        },
        "thresholds": dataclasses.asdict(database.thresholds),
        "inputs_sha256": patient.checksums,
        "registration": inversion.transform.settings,
    }


def _write_text(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
