"""A patient, end to end: register, query, bring the match back, write what was found."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..atlas import load_atlas
from ..dbgen import Database
from ..query import Index, Match, search
from .names import DEFAULT_SUBJECT, checked_subject
from .nifti import InputError
from .outputs import prepare_output, write_maps, write_page, write_result
from .patient import Patient
from .pictures import draw_overlays, draw_registration
from .quality import assess_registration
from .registration import register
from .result import Inversion, RankedMatch

INDEX_FOLDER = "index"
"""Name of the index inside its database's folder."""

DEFAULT_MATCHES = 15

Step = Callable[[str], None]
"""Told the name of each step as it begins."""


def open_index(database: Database) -> Index:
    """The index beside a database.

    Raises
    ------
    ValueError, FileNotFoundError
        If there is none (the message names the command that builds it), or it belongs to another
        state of the database.
    """
    index = Index.open(database.path / INDEX_FOLDER)
    index.check_source(database)
    return index


def rank_matches(database: Database, matches: list[Match]) -> tuple[RankedMatch, ...]:
    """Add each match's growth parameters."""
    voxel_mm = max(database.grid.spacing_mm)
    ranked = []
    for rank, match in enumerate(matches, start=1):
        parameters = database.growth_parameters(match.sample)
        ranked.append(RankedMatch(rank, match, parameters, parameters.lambda_mm < voxel_mm))
    return tuple(ranked)


def invert(
    database: Database,
    patient: Patient,
    out: Path,
    *,
    k: int | None = None,
    resolution_mm: float = 2.0,
    seed: int = 1,
    title: str = "Patient",
    subject: str = DEFAULT_SUBJECT,
    step: Step = lambda name: None,
) -> Inversion:
    """Find the simulated tumour that is most like a patient's, and bring it to the patient.

    Parameters
    ----------
    database : Database
        With its index beside it.
    patient : Patient
    out : Path
        Folder of the results (see `outputs`).
    k : int
        Number of matches to list; 15, or all there are, by default.
    resolution_mm : float
        Of the registration.
    seed : int
        Of the registration.
    title : str
        Heads the report.
    subject : str
        BIDS label in the names of the maps: letters and digits.
    step : callable
        Told the name of each step as it begins.

    Returns
    -------
    Inversion

    Raises
    ------
    ValueError
        If the index does not fit the database or k the number of samples.
    InputError
        If the output folder cannot be written or the subject is no label.
    """
    timings: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(name: str) -> Iterator[None]:
        step(name)
        began = time.perf_counter()
        yield
        timings[name] = round(time.perf_counter() - began, 3)

    checked_subject(subject)
    out = prepare_output(out)
    with timed("open index"):
        index = open_index(database)
    k = min(DEFAULT_MATCHES, index.n_samples) if k is None else k
    if not 1 <= k <= index.n_samples:
        raise ValueError(f"k is 1 to {index.n_samples}, the number of samples, got {k}")
    with timed("load atlas"):
        atlas = load_atlas()
    with timed("register"):
        transform = register(patient, atlas, resolution_mm=resolution_mm, seed=seed)
    with timed("warp outlines"):
        masks = transform.masks_to_atlas(patient.masks, database.grid)
    with timed("assess registration"):
        quality = assess_registration(patient, transform, masks, atlas)
    if not masks.whole.any():
        raise InputError(
            "the registered outline misses the atlas: are segmentation and T1 of one patient?"
        )
    with timed("query"):
        matches = rank_matches(database, search(index, masks, k=k))
    best = matches[0]
    with timed("load density"):
        density_atlas = database.density(best.match.sample)
    with timed("warp density"):
        density = transform.density_to_patient(density_atlas, patient.grid)
    inversion = Inversion(
        matches=matches,
        masks=masks,
        density=density,
        density_atlas=density_atlas,
        transform=transform,
        quality=quality,
        timings_s=timings,
    )
    with timed("write maps"):
        write_maps(out, inversion, database.thresholds, subject)
    with timed("draw pictures"):
        maps = draw_overlays(patient, density)
        registration = {
            "Registration to the atlas": draw_registration(patient, transform, masks, atlas)
        }
    with timed("write report"):
        write_page(out, inversion, patient, database, title, maps, registration)
    write_result(out, inversion, patient, database)
    return inversion
