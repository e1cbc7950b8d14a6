"""The files of an inversion.

sub-X_space-T1w_density.nii.gz          density of the answer on the T1's grid, float32
sub-X_space-SRI24_density.nii.gz        the same on the simulation grid
sub-X_space-SRI24_dseg.nii.gz           the patient's outlines on that grid: 1 whole, 2 core
sub-X_space-T1w_desc-match_dseg.nii.gz  its outlines on the T1's grid: 1 whole, 2 core
sub-X_space-T1w_desc-mean_density.nii.gz, desc-sd
                                        mean and standard deviation over the ensemble
sub-X_space-T1w_desc-exceeds10permille_probseg.nii.gz, ...
                                        probability that the density is at least 0.01, ...
sub-X_space-T1w_desc-ranking_density.nii.gz
                                        the density, continued over all of the brain (`planning`)
sub-X_space-T1w_label-CTV_desc-standard_mask.nii.gz, desc-model
                                        planning volumes of one size
sub-X_space-T1w_label-CTV_desc-difference_dseg.nii.gz
                                        1 standard alone, 2 model alone, 3 both
sub-X_space-T1w_desc-isodensity_dseg.nii.gz
                                        how many of the chosen densities are reached
sub-X_space-seg_...                     all of space-T1w on the segmentation's grid as well,
                                        where that is another
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
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid, load_atlas
from ...dbgen import Database
from ...dbgen.machine.files import completed
from ..images.nifti import Intent, write_nifti
from ..inversion.result import Inversion, InversionStatus
from ..patient.patient import Patient
from ..prediction.maps import PatientMaps
from ..prediction.planning import isodensity_labels
from ..report.drawing import drawn
from ..report.report import ReportContent, Table, write_report
from ..report.report_sections import describe_answer, describe_certainty, describe_planning
from ..report.viewer import view_density
from ..terminal.printing import plain
from .names import DEFAULT_SUBJECT, Space, Suffix, exceedance_label, map_name
from .result_folder import RESULT_FILE, list_files

REPORT_FILE = "report.html"
PACKAGES = ("glioquery", "antspyx", "jax", "jaxlib", "nibabel", "netCDF4", "numpy", "xarray")


def write_maps(
    out: Path, inversion: Inversion, patient: Patient, subject: str = DEFAULT_SUBJECT
) -> None:
    """Write the maps, the transform and the table of matches."""
    _write_patient_maps(out, inversion, inversion.maps, "T1w", patient.grid, subject)
    if inversion.maps_on_segmentation is not None and patient.seg_grid is not None:
        # In the segmentation's own world: the motion to the T1 was in the affine alone.
        there = inversion.maps_on_segmentation
        _write_patient_maps(out, inversion, there, "seg", patient.seg_grid, subject)
    atlas, asked = inversion.density_atlas, inversion.masks
    name = map_name(subject, "SRI24", "density")
    write_nifti(out / name, atlas.u, atlas.grid, intent="estimate", space="template")
    labels = np.where(asked.core, 2, asked.whole).astype(np.uint8)
    name = map_name(subject, "SRI24", "dseg")
    write_nifti(out / name, labels, asked.grid, intent="label", space="template")
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


def _write_patient_maps(
    out: Path, inversion: Inversion, maps: PatientMaps, space: Space, grid: Grid, subject: str
) -> None:
    def write(
        values: NDArray, intent: Intent, suffix: Suffix, *, desc: str = "", label: str = ""
    ) -> None:
        name = map_name(subject, space, suffix, desc=desc, label=label)
        write_nifti(out / name, values, grid, intent=intent)

    matched = maps.density.outlines(inversion.thresholds)
    write(maps.density.u, "estimate", "density")
    write(matched.whole.astype(np.uint8) + matched.core, "label", "dseg", desc="match")
    write(maps.ensemble.mean, "estimate", "density", desc="mean")
    write(maps.ensemble.sd, "estimate", "density", desc="sd")
    for level, values in maps.ensemble.exceedance.items():
        write(values, "estimate", "probseg", desc=exceedance_label(level))
    planning = maps.planning
    write(planning.ranking, "estimate", "density", desc="ranking")
    write(planning.standard, "label", "mask", label="CTV", desc="standard")
    write(planning.model, "label", "mask", label="CTV", desc="model")
    write(planning.labels(), "label", "dseg", label="CTV", desc="difference")
    regions = isodensity_labels(maps.density, inversion.levels)
    write(regions, "label", "dseg", desc="isodensity")


def write_page(
    out: Path,
    inversion: Inversion,
    patient: Patient,
    database: Database,
    title: str,
    maps: Mapping[str, bytes],
    registration: bytes | None,
    failures: list[str],
) -> None:
    """Write `report.html` with its pictures.

    Parameters
    ----------
    out, inversion, patient, database
    title : str
        What the page is headed with.
    maps : mapping of str to bytes
        PNGs by caption.
    registration : bytes, optional
        PNG.
    failures : list of str
        What could not be drawn so far; gets what of the page cannot.
    """
    answers = [describe_planning(inversion, patient, failures)]
    evidence = [describe_answer(inversion), describe_certainty(inversion, patient, failures)]
    slices = drawn(
        "The view of slices",
        lambda: view_density(patient, inversion.density, inversion.shown_levels),
        failures,
    )
    matches = [match.row() for match in inversion.matches]
    answer = inversion.answer.row()
    if not inversion.masks.core.any():
        matches = [row | {"dice_core": None} for row in matches]
        answer |= {"dice_core": None}
    write_report(
        out / REPORT_FILE,
        ReportContent(
            case=title,
            is_plausible=inversion.status is not InversionStatus.NO_PLAUSIBLE_MATCH,
            status=_status_sentence(inversion),
            notices=(*inversion.notices, *failures),
            maps=maps,
            viewer=slices or "",
            answers=answers,
            evidence=evidence,
            registration={"Registration to the atlas": registration} if registration else {},
            answer=answer,
            matches=matches,
            volumes=_volumes(patient, inversion),
            quality=inversion.quality,
            provenance=_provenance(database, patient, inversion),
            timings_s=inversion.timings_s,
        ),
    )


def write_result(out: Path, inversion: Inversion, patient: Patient, database: Database) -> None:
    """Write `result.json`, the last file: it lists all others of the folder."""
    result = {
        "status": inversion.status.value,
        "mean_dice": inversion.mean_dice,
        "best": inversion.matches[0].row(),
        **inversion.row(),
        "islands": None if patient.islands is None else patient.islands.row(),
        "quality": dataclasses.asdict(inversion.quality),
        "problems": inversion.quality.problems,
        "notices": inversion.notices,
        "predicted_ml": {f"{u:g}": inversion.predicted_ml(u) for u in inversion.shown_levels},
        "timings_s": inversion.timings_s,
        "provenance": _provenance(database, patient, inversion),
        "files": list_files(out),
    }
    _write_text(out / RESULT_FILE, json.dumps(plain(result), indent=2) + "\n")


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


def _volumes(patient: Patient, inversion: Inversion) -> Table:
    ml, thresholds = patient.grid.voxel_ml, inversion.thresholds
    outlined = {
        thresholds.core: f"{patient.masks.core.sum() * ml:.1f}",
        thresholds.whole: f"{patient.masks.whole.sum() * ml:.1f}",
    }
    names = {thresholds.core: " (core)", thresholds.whole: " (whole tumour)"}
    return Table(
        ("Predicted density", "Predicted (ml)", "Outlined on the scan (ml)"),
        [
            (
                f"at least {level:g}{names.get(level, '')}",
                f"{inversion.predicted_ml(level):.1f}",
                outlined.get(level),
            )
            for level in reversed(inversion.shown_levels)
        ],
    )


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
        "inputs_sha256": dict(inversion.checksums),
        "labels": None if patient.convention is None else patient.convention.row(),
        "registration": inversion.transform.settings,
        "options": inversion.options,
    }


def _write_text(path: Path, text: str) -> None:
    with completed(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
