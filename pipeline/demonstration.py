"""The whole story on a virtual patient with a known answer."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..dbgen import Database, generate
from ..query import build_index, dice_of_masks
from ..solver import TumorDensity
from .inversion import INDEX_FOLDER, Step, invert
from .patient import load_patient
from .progress import progress_bar
from .result import Inversion
from .virtual_patient import VirtualPatient, make_virtual_patient

N_SAMPLES = 1000
SHARD_SIZE = 40
VISIBLE_DENSITY = 0.01
"""The agreement of the densities is measured inside the true isoline of this density."""


@dataclass(frozen=True)
class Agreement:
    """How the map found for a virtual patient compares with the truth, in the patient's space.

    Attributes
    ----------
    dice_core, dice_whole : float
        Of the matched tumour's outlines with the true ones.
    correlation : float
        Pearson's r of found and true density inside the true 1 % isoline.
    mean_absolute_error : float
        Of the density there.
    """

    dice_core: float
    dice_whole: float
    correlation: float
    mean_absolute_error: float


def compare(found: TumorDensity, truth: TumorDensity) -> Agreement:
    """Compare two densities on one grid."""
    dice_core, dice_whole = dice_of_masks(truth.outlines(), found.outlines())
    inside = truth.u >= VISIBLE_DENSITY
    a, b = found.u[inside].astype(np.float64), truth.u[inside].astype(np.float64)
    return Agreement(
        dice_core=dice_core,
        dice_whole=dice_whole,
        correlation=float(np.corrcoef(a, b)[0, 1]),
        mean_absolute_error=float(np.abs(a - b).mean()),
    )


def demonstrate(
    out: Path, *, n_samples: int = N_SAMPLES, seed: int = 0, step: Step = lambda name: None
) -> tuple[Inversion, VirtualPatient, Agreement]:
    """Generate a small database, invert a virtual patient with it, compare with the truth.

    Parameters
    ----------
    out : Path
        Gets `database/`, `patient/` (the inputs and the truth), `result/` and `summary.json`. A
        database that is there already is used.
    n_samples : int
        Tumours in the database.
    seed : int
        Of the virtual patient.
    step : callable
        Told the name of each step as it begins.
    """
    out = out.absolute()
    database = _database(out / "database", n_samples)
    step("make virtual patient")
    truth = make_virtual_patient(out / "patient", seed=seed)
    patient = load_patient(t1=truth.t1, seg=truth.seg, labels="brats2021")
    shutil.rmtree(out / "result", ignore_errors=True)
    inversion = invert(database, patient, out / "result", title="Virtual patient", step=step)
    agreement = compare(inversion.density, truth.density)
    (out / "summary.json").write_text(json.dumps(asdict(agreement), indent=2) + "\n")
    return inversion, truth, agreement


def _database(path: Path, n_samples: int) -> Database:
    with progress_bar("generate database", "tumours") as progress:
        database = generate(path, n_samples, shard_size=SHARD_SIZE, progress=progress)
    with progress_bar("index database", "tumours") as progress:
        build_index(database, path / INDEX_FOLDER, progress=progress)
    return database
