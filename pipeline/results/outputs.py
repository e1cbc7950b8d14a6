"""The files of an inversion.

sub-X_space-T1w_density.nii.gz          density that agrees with the outlines, on the T1's grid
sub-X_space-T1w_desc-growth_density.nii.gz
                                        the growth that was found, before it agreed with them
sub-X_space-SRI24_desc-growth_density.nii.gz
                                        the same on the simulation grid
sub-X_space-SRI24_dseg.nii.gz           the patient's outlines on that grid: 1 whole, 2 core
sub-X_space-T1w_desc-match_dseg.nii.gz  its outlines on the T1's grid: 1 whole, 2 core
sub-X_space-T1w_desc-mean_density.nii.gz, desc-sd
                                        expectation and standard deviation of the true density
sub-X_space-T1w_desc-exceeds10permille_probseg.nii.gz, ...
                                        probability that the density is at least 0.01, ...
sub-X_space-T1w_desc-ranking_density.nii.gz
                                        the density, continued over all of the brain (`planning`)
sub-X_space-T1w_label-CTV_desc-standard_mask.nii.gz, desc-model, desc-geodesic
                                        planning volumes of one size
sub-X_space-T1w_label-CTV_desc-difference_dseg.nii.gz
                                        where they differ: 1 for the standard one, 2 for the
                                        model's, 4 for the geodesic, added up
sub-X_space-T1w_desc-isodensity_dseg.nii.gz
                                        how many of the chosen densities are reached
sub-X_space-T1w_desc-day120_density.nii.gz, ...
                                        density that is forecast for 120 days after the first scan
sub-X_space-seg_...                     all of space-T1w but the forecasts on the segmentation's
                                        grid as well, where that is another
transform/                              the whole registration, in ANTs' formats
matches.csv                             the best matches with Dice and growth parameters
result.json                             status, best match, quality, timings, provenance
ro-crate-metadata.json                  what the files are and were made from, for machines
report.html                             the page for people

X is the subject's label; `names` makes the names, docs/outputs.md describes every file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dbgen.machine.files import write_bytes, write_json
from ...paths import StrPath
from ...solver.own_settings import own_arithmetic
from ..images.field import Field
from ..images.nifti import Intent, write_nifti
from ..inversion.provenance import provenance_of
from ..inversion.result import Inversion
from ..names import (
    DEFAULT_SUBJECT,
    Space,
    Suffix,
    checked_subject,
    exceedance_label,
    forecast_label,
    map_name,
)
from ..pictures.atlas_pictures import draw_registration
from ..pictures.drawing import drawn
from ..pictures.patient_pictures import draw_overlays
from ..prediction.maps import PatientMaps
from ..prediction.planning import isodensity_labels
from ..report.inversion_page import PagePictures, write_page
from ..report.viewer import view_density
from ..scans.patient_outlook import PatientOutlook
from ..steps import Step, Steps, silent
from .csv_file import write_csv
from .json_values import plain
from .result_folder import RESULT_FILE, list_files, only_run, replaced
from .ro_crate import CRATE_FILE, crate_of

REPORT_FILE = "report.html"

Further = Mapping[str, Callable[[Inversion], bytes | None]]
"""Further files of a result by name, and the functions that make their contents."""


@own_arithmetic()
def write_inversion(
    inversion: Inversion,
    out: StrPath,
    *,
    title: str = "Patient",
    subject: str = DEFAULT_SUBJECT,
    further: Further = MappingProxyType({}),
    step: Step = silent,
) -> Inversion:
    """Write the results of an inversion: maps, transform, tables and the page for people.

    Parameters
    ----------
    inversion : Inversion
        As `invert` returns it.
    out : path
        Folder of the result. An earlier one there stays as it is until this one is complete, and
        is then replaced (see `result_folder`).
    title : str
        Heading of the page.
    subject : str
        BIDS label in the names of the maps: letters and digits.
    further : mapping of str to callable, optional
        Further files of the result by name, and functions that make their bytes from the inversion;
        a function returns None for no file.
    step : callable
        Called with the name of each step as it begins.

    Returns
    -------
    Inversion
        With the times of writing, and a notice for each picture that could not be drawn.

    Raises
    ------
    InputError
        If the folder cannot be written, another run writes to it, or the subject is no label.
    """
    checked_subject(subject)
    steps = Steps(step, inversion.timings_s)
    with (
        only_run(Path(out)) as folder,
        replaced(folder) as stage,
        ThreadPoolExecutor(2) as beside,  # much of it is compression, beside pictures
    ):
        failures: list[str] = []
        unseen: list[str] = []
        writing = beside.submit(write_maps, stage, inversion, subject)
        viewing = beside.submit(
            drawn,
            "The view of slices",
            lambda: view_density(inversion.patient, inversion.maps.density, inversion.shown_levels),
            unseen,
        )
        with steps("draw pictures"):
            overlays = draw_overlays(
                inversion.patient, inversion.maps.density, inversion.shown_levels, failures=failures
            )
            aligned = drawn(
                "The picture of the registration",
                lambda: draw_registration(
                    inversion.patient,
                    inversion.transform,
                    inversion.masks,
                    inversion.database.atlas,
                ),
                failures,
            )
        with steps("write maps"):
            writing.result()
        with steps("write report"):
            pictures = PagePictures(overlays, aligned, viewing.result())
            failures += unseen
            drawn(
                "The report",
                lambda: write_page(stage / REPORT_FILE, inversion, title, pictures, failures),
                failures,
            )
        told = dataclasses.replace(
            inversion, notices=(*inversion.notices, *failures), timings_s=steps.seconds
        )
        for name, make in further.items():
            content = make(told)
            if content is not None:
                write_bytes(stage / name, content)
        write_result(stage, told)  # whatever pictures failed, and last: it lists the other files
    return told


def write_maps(out: Path, inversion: Inversion, subject: str = DEFAULT_SUBJECT) -> None:
    """Write the maps, the transform and the table of matches.

    Parameters
    ----------
    out : Path
        An existing folder.
    inversion : Inversion
    subject : str
        BIDS label that begins the names of the files.
    """
    patient = inversion.patient
    _write_patient_maps(out, inversion, inversion.maps, "T1w", patient.field, subject)
    if inversion.maps_on_segmentation is not None and patient.seg_grid is not None:
        # In the segmentation's own world: the motion to the T1 was in the affine alone.
        there = inversion.maps_on_segmentation
        field = Field(patient.seg_grid, patient.field_as_drawn.box)
        _write_patient_maps(out, inversion, there, "seg", field, subject)
    if inversion.outlook is not None:
        write_forecast(out, inversion.outlook, subject)
    atlas, asked = inversion.density_atlas, inversion.masks
    name = map_name(subject, "SRI24", "density", desc="growth")
    write_nifti(out / name, atlas.u, atlas.grid, intent="estimate", space="template")
    labels = np.where(asked.core, 2, asked.whole).astype(np.uint8)
    name = map_name(subject, "SRI24", "dseg")
    write_nifti(out / name, labels, asked.grid, intent="label", space="template")
    (out / "transform").mkdir(exist_ok=True)
    inversion.transform.save(out / "transform")
    rows = []
    for match in inversion.matches:
        row = match.row()
        x, y, z = row.pop("origin_mm")
        rows.append(row | {"origin_x_mm": x, "origin_y_mm": y, "origin_z_mm": z})
    write_csv(out / "matches.csv", rows)


def write_forecast(out: Path, outlook: PatientOutlook, subject: str = DEFAULT_SUBJECT) -> None:
    """Write the forecast density of each day, on the grid of the first scan."""
    for day, density in zip(outlook.outlook.forecast, outlook.maps, strict=True):
        name = map_name(subject, "T1w", "density", desc=forecast_label(day.after_days))
        write_nifti(out / name, density.u, density.grid, intent="estimate")


def _write_patient_maps(
    out: Path, inversion: Inversion, maps: PatientMaps, space: Space, field: Field, subject: str
) -> None:
    def write(
        values: NDArray[Any], intent: Intent, suffix: Suffix, *, desc: str = "", label: str = ""
    ) -> None:
        name = map_name(subject, space, suffix, desc=desc, label=label)
        write_nifti(out / name, field.laid(values), field.whole, intent=intent)

    matched = maps.density.outlines(inversion.thresholds)
    write(maps.density.u, "estimate", "density")
    write(maps.growth.u, "estimate", "density", desc="growth")
    write(matched.whole.astype(np.uint8) + matched.core, "label", "dseg", desc="match")
    write(maps.expected.mean, "estimate", "density", desc="mean")
    write(maps.expected.sd, "estimate", "density", desc="sd")
    for level, values in maps.expected.exceedance.items():
        write(values, "estimate", "probseg", desc=exceedance_label(level))
    planning = maps.planning
    write(planning.ranking, "estimate", "density", desc="ranking")
    for name, volume in planning.by_name.items():
        write(volume, "label", "mask", label="CTV", desc=name)
    write(planning.labels(), "label", "dseg", label="CTV", desc="difference")
    regions = isodensity_labels(maps.density, inversion.options.densities)
    write(regions, "label", "dseg", desc="isodensity")


def write_result(out: Path, inversion: Inversion) -> None:
    """Write the crate and `result.json`, the last file: it lists all others of the folder."""
    islands = inversion.patient.islands
    provenance = provenance_of(inversion)
    write_json(out / CRATE_FILE, plain(crate_of(provenance, list_files(out))))
    result = {
        "status": inversion.status.value,
        "mean_dice": inversion.mean_dice,
        "best": inversion.matches[0].row(),
        **inversion.row(),
        "islands": None if islands is None else islands.row(),
        "quality": dataclasses.asdict(inversion.quality),
        "problems": inversion.quality.problems,
        "notices": inversion.notices,
        "predicted_ml": {f"{u:g}": inversion.predicted_ml(u) for u in inversion.shown_levels},
        "timings_s": inversion.timings_s,
        "provenance": provenance,
        "files": list_files(out),
    }
    write_json(out / RESULT_FILE, plain(result))
