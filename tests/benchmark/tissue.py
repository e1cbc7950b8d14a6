"""Measurements of the patient's tissue and of fronts in it, on virtual patients of the trial.

`python tests/benchmark/tissue.py fluid --patients 12`: how fast a front should cross fluid. Of the
true cells outside the outlined core, the share that the geodesic plan holds at each speed, beside
the standard plan, and which part of the plan lies behind fluid: there a front in the true tissue
that fluid stops travels at least one and a half times as long as one that it does not.

`python tests/benchmark/tissue.py blur --patients 4`, and `motion`: the mean absolute error of white
matter, grey matter and fluid outside the outlined tumour, bent from the atlas and as `find_tissue`
has it when the T1, one of thin slices, is smoothed, or when the head has moved: bands of its
k-space are then those of heads that are shifted and turned.

Patients are those of `glioquery trial`, from number 0 on; those that the trial's figures are of are
left alone. A case takes about a minute of one core.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from glioquery.atlas import Atlas, load_atlas
from glioquery.dbgen.machine.files import scratch_folder
from glioquery.pipeline.alignment.transform import AtlasTransform
from glioquery.pipeline.anatomy import PatientTissue, find_tissue
from glioquery.pipeline.anatomy.patient_tissue import THICK_MM
from glioquery.pipeline.anatomy.tissue_way import TissueWay
from glioquery.pipeline.images.nifti import Scan
from glioquery.pipeline.patient.patient import Patient, load_patient
from glioquery.pipeline.prediction.geodesic import nearest_through_tissue
from glioquery.pipeline.prediction.planning import draw_standard
from glioquery.pipeline.registration.restart import register_and_assess
from glioquery.pipeline.travel import GREY_SPEED, Terrain, tissue_speed, travel_time
from glioquery.pipeline.virtual.arms import ARMS, SEED
from glioquery.pipeline.virtual.trial_patient import TrialPatient, arm_rng, image, make_bearer

SPEEDS = (0.0, 0.05, 0.1, 0.2, 0.3)
WIDTHS_MM = (0.0, 1.5, 3.0, 4.0, 5.0, 6.0)
"""Full widths at half maximum of the smoothing."""

MOTIONS = (0.0, 1.0, 2.0, 3.0, 4.5, 6.0)
"""Of the head between bands: twice the standard deviation of its shifts in mm, and one and a half
times that of its turns in degrees."""

N_BANDS = 10

REACH_MM = 60.0
DETOUR = 1.5


@dataclass(frozen=True)
class Case:
    """A virtual patient, and the way from the atlas."""

    name: str
    truth: TrialPatient
    patient: Patient
    transform: AtlasTransform
    atlas: Atlas

    def tissue(self, way: TissueWay = "auto") -> PatientTissue:
        return find_tissue(self.patient, self.transform, self.atlas, way=way)


def cases(n_patients: int, arms: str) -> Iterator[Case]:
    """Patients of the trial, registered."""
    atlas = load_atlas()
    for number in range(n_patients):
        bearer = make_bearer(SEED, number)
        for arm in ARMS:
            if arm not in arms:
                continue
            truth = image(bearer, arm, arm_rng(SEED, number, arm))
            with scratch_folder() as folder:
                t1, seg = truth.write(folder, ending=".nii")
                patient = load_patient(t1=t1, seg=seg, labels="brats2021")
            registered = register_and_assess(patient, atlas, atlas.grid)
            yield Case(f"{number:03d}{arm}", truth, patient, registered.transform, atlas)


def compare_speeds(n_patients: int, arms: str) -> None:
    """Print what plans hold, by the speed in fluid."""
    rows: dict[str, list[list[float]]] = {}
    for case in cases(n_patients, arms):
        masks, brain = case.patient.masks, case.patient.brain_with_tumour
        cells = np.where(brain & ~masks.core, case.truth.density.u, 0).astype(np.float64)
        _, standard = draw_standard(masks, brain)
        behind = _behind_fluid(case)
        tissue = case.tissue()
        plans = [standard]
        for speed in SPEEDS:
            there = tissue_speed(tissue.wm, tissue.gm, tissue.csf, brain, masks.whole, in_csf=speed)
            terrain = Terrain(masks, brain, there)
            plans.append(nearest_through_tissue("core", terrain, int(standard.sum())))
        found = [cells[plan].sum() / cells.sum() for plan in plans]
        crossed = [(plan & behind).sum() * masks.grid.voxel_ml for plan in plans]
        rows.setdefault(case.name[-1], []).append([*found, *crossed])
        print(case.name, *(f"{share:.3f}" for share in found), flush=True)
    n = len(SPEEDS) + 1
    print("arm; cells held, standard and speeds", *SPEEDS, "; ml behind fluid, the same")
    for arm, values in rows.items():
        mean = np.mean(values, axis=0)
        print(arm, *(f"{v:.3f}" for v in mean[:n]), ";", *(f"{v:.2f}" for v in mean[n:]))


def _behind_fluid(case: Case) -> NDArray[np.bool_]:
    """Tissue that only a detour reaches from the core."""
    true, masks = case.truth.anatomy, case.patient.masks
    brain, spacing = case.patient.brain_with_tumour, masks.grid.spacing_mm
    maps = (true.wm, true.gm, true.csf, brain, masks.core)
    around, across = (
        travel_time(masks.core, tissue_speed(*maps, in_csf=speed), spacing, reach_mm=REACH_MM)
        for speed in (0.0, GREY_SPEED)
    )
    solid = brain & (true.wm + true.gm > true.csf) & ~masks.core
    return solid & np.isfinite(across) & (around > DETOUR * across)


def compare_damage(
    n_patients: int, arms: str, levels: tuple[float, ...], damaged: Callable[[Scan, float], Scan]
) -> None:
    """Print the tissue's error by what was done to the T1."""
    rows: list[list[float]] = []
    print("case; bent; then as found, by", *levels)
    for case in cases(n_patients, arms):
        if max(case.patient.grid.spacing_mm) > THICK_MM:
            continue  # there the atlas's tissue is taken in any case
        errors = [_error(case, case.tissue("atlas"))]
        told = [f"{errors[0]:.3f}"]
        for level in levels:
            patient = case.patient
            t1 = damaged(patient.t1, level) if level else patient.t1
            values = np.where(patient.brain, np.maximum(t1.values, 1e-3), 0).astype(np.float32)
            patient = replace(patient, t1=Scan(values, t1.grid), brain_mask=patient.brain)
            tissue = replace(case, patient=patient).tissue()
            errors.append(_error(case, tissue))
            told.append(f"{errors[-1]:.3f} ({tissue.told})")
        rows.append(errors)
        print(case.name, *told, sep="; ", flush=True)
    print("mean", *(f"{v:.3f}" for v in np.mean(rows, axis=0)))


def _blurred(t1: Scan, width_mm: float) -> Scan:
    sd = width_mm / np.sqrt(8 * np.log(2)) / np.array(t1.grid.spacing_mm)
    return Scan(ndimage.gaussian_filter(t1.values, sd), t1.grid)


def _moved(t1: Scan, level: float) -> Scan:
    rng = np.random.default_rng(1)
    seen = np.fft.fftn(t1.values)
    frequencies = np.fft.fftfreq(t1.values.shape[1])
    edges = np.linspace(-0.5, 0.5, N_BANDS + 1)
    for low, high in itertools.pairwise(edges):
        turn, shift = rng.normal(0, level / 1.5), rng.normal(0, level / 2, 3)
        if low <= 0 < high:
            continue
        head = ndimage.rotate(t1.values, turn, axes=(0, 1), reshape=False, order=1)
        head = ndimage.shift(head, shift / np.array(t1.grid.spacing_mm), order=1)
        band = (frequencies >= low) & (frequencies < high)
        seen[:, band] = np.fft.fftn(head)[:, band]
    return Scan(np.abs(np.fft.ifftn(seen)).astype(np.float32), t1.grid)


def _error(case: Case, tissue: PatientTissue) -> float:
    """Mean absolute error outside the outlined tumour."""
    outside = case.patient.brain & ~case.patient.masks.whole
    return float(
        np.mean(
            [
                np.abs(getattr(tissue, role) - getattr(case.truth.anatomy, role))[outside].mean()
                for role in ("wm", "gm", "csf")
            ]
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("fluid", "blur", "motion"))
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--arms", default="abc")
    options = parser.parse_args()
    chosen = options.patients, options.arms
    if options.what == "fluid":
        compare_speeds(*chosen)
    elif options.what == "blur":
        compare_damage(*chosen, WIDTHS_MM, _blurred)
    else:
        compare_damage(*chosen, MOTIONS, _moved)


if __name__ == "__main__":
    main()
