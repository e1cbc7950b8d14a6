"""The whole story on a virtual patient with a known answer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ...dbgen.machine.files import write_json
from ...dbgen.store.embedded import embedded_database
from ...paths import StrPath
from ...query import dice_of_masks
from ...solver import TumorDensity
from ...solver.own_settings import own_arithmetic
from ..inversion.inversion import invert
from ..inversion.options import InversionOptions
from ..inversion.result import Inversion
from ..patient.patient import load_patient
from ..results.outputs import write_inversion
from ..results.result_folder import only_run
from ..steps import Step, silent
from .arms import SEED
from .trial_patient import TrialPatient, make_patient

SUMMARY_FILE = "summary.json"

VISIBLE_DENSITY = 0.01
"""Density whose true isoline bounds the comparison of densities."""


@dataclass(frozen=True)
class Agreement:
    """The map of a virtual patient compared with the truth, in the patient's space.

    Attributes
    ----------
    dice_core, dice_whole : float
        Dice of the map's outlines with the true ones.
    correlation : float
        Pearson's r of found and true density inside the true 1 % isoline.
    mean_absolute_error : float
        Mean absolute error of the density there.
    """

    dice_core: float
    dice_whole: float
    correlation: float
    mean_absolute_error: float


def compare(found: TumorDensity, truth: TumorDensity) -> Agreement:
    """Compare two densities on one grid.

    Parameters
    ----------
    found, truth : TumorDensity
        On the same grid.

    Returns
    -------
    Agreement
        Correlation, mean absolute error and overlaps.
    """
    dice_core, dice_whole = dice_of_masks(truth.outlines(), found.outlines())
    inside = truth.u >= VISIBLE_DENSITY
    a, b = found.u[inside].astype(np.float64), truth.u[inside].astype(np.float64)
    return Agreement(
        dice_core=dice_core,
        dice_whole=dice_whole,
        correlation=float(np.corrcoef(a, b)[0, 1]),
        mean_absolute_error=float(np.abs(a - b).mean()),
    )


PATIENT = 1
"""Number of the patient that is shown: like most, it has thin slices and one focus."""


@own_arithmetic()
def demonstrate(
    out: StrPath, *, seed: int = PATIENT, step: Step = silent
) -> tuple[Inversion, TrialPatient, Agreement]:
    """Invert a patient of the trial with the embedded database, refine, compare with the truth.

    The scan shows the cells alone (arm a). The refinement continues in the patient's own anatomy,
    as the truth grew in it.

    Parameters
    ----------
    out : path
        Folder that receives `patient/` (the inputs and the truth), `result/` and `summary.json`.
    seed : int
        Number of the patient, see `make_patient`.
    step : callable
        Called with the name of each step as it begins.

    Returns
    -------
    inversion : Inversion
    patient : TrialPatient
        With the truth.
    agreement : Agreement
        Agreement of the map with the truth.
    """
    with only_run(Path(out)) as folder:
        # Written last: if it exists, patient and result belong to one run.
        (folder / SUMMARY_FILE).unlink(missing_ok=True)
        step("make virtual patient")
        truth = make_patient(SEED, seed)
        t1, seg = truth.write(folder / "patient")
        truth.write_truth(folder / "patient")
        patient = load_patient(t1=t1, seg=seg, labels="brats2021")
        options = InversionOptions(own_anatomy=True)
        inversion = invert(patient, embedded_database(), options, step=step)
        inversion = write_inversion(
            inversion, folder / "result", title="Virtual patient", step=step
        )
        agreement = compare(inversion.density, truth.density)
        write_json(folder / SUMMARY_FILE, asdict(agreement))
    return inversion, truth, agreement
