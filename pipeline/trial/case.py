"""One case of a trial: a virtual patient in one arm, inverted and compared with the truth."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np

from ...dbgen.machine.files import scratch_folder
from ...solver import TumorDensity
from ..inversion.inversion import invert
from ..inversion.options import InversionOptions
from ..inversion.result import Inversion
from ..patient.patient import load_patient
from ..prediction.maps import MapScore
from ..virtual.demonstration import compare
from ..virtual.trial_patient import TrialPatient
from .ground import Ground
from .rivals import GROWTH, MAP, rank_all
from .scores import judge_probabilities, score_ranking

OPTIONS = InversionOptions(densities=(0.01, 0.05, 0.1, 0.2, 0.4, 0.6))
"""Options of the inversions: the defaults, apart from the mapped densities."""

NEAR_MM = 30.0
"""Distance from the whole outline within which probabilities are judged. Farther away all are 0,
and rightly."""


def score_case(patient: TrialPatient, keep: Path | None = None) -> dict[str, Any]:
    """Invert a patient with the embedded database, and compare with the truth.

    Parameters
    ----------
    patient : TrialPatient
    keep : Path, optional
        Folder for the patient's files and the truth.

    Returns
    -------
    dict
        Plain values by name: `facts`, `growth`, `tissue`, `rankings`, `densities`, `plans`,
        `reliability`, `seconds`.
    """
    began = time.perf_counter()
    if keep is None:
        with scratch_folder() as folder:
            inversion = _invert(patient, folder, ending=".nii")
    else:
        inversion = _invert(patient, keep, ending=".nii.gz")
        patient.write_truth(keep)
    seconds = time.perf_counter() - began

    field = inversion.patient.field
    brain = field.cut(inversion.patient.brain_with_tumour)
    ground = Ground.of(field.cut_masks(inversion.patient.masks), brain)
    truth, brain = ground.of_brain(field.cut(patient.density.u)), ground.brain
    core, whole = ground.core[brain], ground.whole[brain]
    n_standard = int(inversion.maps.planning.standard.sum())
    rankings = {
        name: score_ranking(ranking, core, whole, truth, n_standard)
        for name, ranking in rank_all(patient, inversion, ground).items()
    }
    near = ground.from_whole[brain] <= NEAR_MM
    reliability = {
        f"{level:g}": judge_probabilities(ground.of_brain(shares)[near], truth[near] >= level)
        for level, shares in inversion.maps.expected.exceedance.items()
    }
    return {
        "facts": patient.facts,
        "growth": {
            "score": inversion.answer.score,
            "lambda_mm": [growth.lambda_mm for growth in inversion.answer.growths],
            "rho_t": [growth.rho_t for growth in inversion.answer.growths],
            "on_atlas": inversion.answer.is_on_atlas,
        },
        "tissue": inversion.patient_tissue.row(),
        "rankings": {name: dataclasses.asdict(score) for name, score in rankings.items()},
        "densities": {
            MAP: _compare(inversion.density, inversion.maps.score, patient),
            GROWTH: _compare(
                field.laid_density(inversion.maps.growth), inversion.maps.growth_score, patient
            ),
        },
        "plans": _cover_by_plans(inversion, patient),
        "reliability": {level: dataclasses.asdict(found) for level, found in reliability.items()},
        "seconds": round(seconds, 1),
    }


def _invert(patient: TrialPatient, folder: Path, *, ending: str) -> Inversion:
    t1, seg = patient.write(folder, ending=ending)
    return invert(load_patient(t1=t1, seg=seg, labels="brats2021"), options=OPTIONS)


def _compare(found: TumorDensity, score: MapScore, patient: TrialPatient) -> dict[str, float]:
    """A density compared with the truth, inside its 1 % isoline, and with the drawn outlines."""
    agreement = compare(found, patient.density)
    return {
        "correlation": agreement.correlation,
        "mean_absolute_error": agreement.mean_absolute_error,
        **dataclasses.asdict(score),
    }


def _cover_by_plans(inversion: Inversion, patient: TrialPatient) -> dict[str, float]:
    """Share of the brain's cells outside the core that each plan holds, as rankings count them."""
    drawn, field = inversion.patient.masks, inversion.patient.field
    cells = np.where(drawn.core, 0, patient.density.u).astype(np.float64)
    cells = field.cut(np.where(inversion.patient.brain_with_tumour, cells, 0))
    total = cells.sum()
    plans = inversion.maps.planning.by_name
    return {name: float(cells[plan].sum() / total) for name, plan in plans.items()}
