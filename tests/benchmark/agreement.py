"""What keeps the map from the truth: outlines that err, tissue that is not the patient's.

`python tests/benchmark/agreement.py --patients 4 --arms a` inverts virtual patients of the trial,
and lets each growth agree with the outlines as drawn and with the true ones, in the tissue as found
and in the true one (with the true ratio of white and grey matter), with the drawn outlines' times
smoothed and not. The table shows means over the cases: mean absolute error and correlation inside
the true 1 % isoline, and the share of the gain over the standard plan that the truth would achieve.

Patients are those of `glioquery trial`, from `--first` on. The map's constants were chosen on
patients below 26 and from 1020 to 1059. A case takes about a minute of one core.
"""

from __future__ import annotations

import argparse
from unittest import mock

import numpy as np

from glioquery.dbgen.machine.files import scratch_folder
from glioquery.pipeline.agreement import agree, smoothing
from glioquery.pipeline.inversion.inversion import invert
from glioquery.pipeline.inversion.result import Inversion
from glioquery.pipeline.patient.patient import load_patient
from glioquery.pipeline.travel import Terrain, tissue_speed
from glioquery.pipeline.trial.ground import Ground
from glioquery.pipeline.trial.scores import FACTORS, score_ranking
from glioquery.pipeline.virtual.arms import SEED
from glioquery.pipeline.virtual.demonstration import compare
from glioquery.pipeline.virtual.trial_patient import TrialPatient, arm_rng, image, make_bearer
from glioquery.solver import TumorMasks

UNSMOOTHED_MM = 1e-3
"""Standard deviation of a Gaussian that changes nothing."""


def measure(truth: TrialPatient) -> dict[str, list[float]]:
    """Error, correlation, and coverage at the standard plan's size, by what is known."""
    inversion = _invert(truth)
    patient, found = inversion.patient, inversion.maps
    brain, grid = patient.brain_with_tumour, patient.masks.grid
    grown = patient.field.laid_density(found.growth)
    lambda_mm = inversion.answer.widest_lambda_mm
    shown = truth.density.outlines()
    true_outlines = TumorMasks(shown.core & brain, shown.whole & brain, grid)
    tissue = inversion.patient_tissue.terrain(patient.masks, brain).speed
    maps = truth.anatomy
    in_grey = float(truth.facts["ratio"]) ** -0.5
    true_tissue = tissue_speed(maps.wm, maps.gm, maps.csf, brain, in_grey=in_grey)

    ground = Ground.of(patient.masks, brain)
    core, whole, cells = (
        ground.of_brain(a) for a in (patient.masks.core, patient.masks.whole, truth.density.u)
    )
    n_standard = int(found.planning.standard.sum())

    def covered(ranking: np.ndarray) -> float:
        score = score_ranking(ranking, core, whole, cells, n_standard)
        return score.coverage[FACTORS.index(1.0)]

    def judged(outlines: TumorMasks, speed: np.ndarray, *, smoothed: bool = True) -> list[float]:
        widest = smoothing.SMOOTHING_MM if smoothed else UNSMOOTHED_MM
        with mock.patch.object(smoothing, "SMOOTHING_MM", widest):
            agreed = agree(grown, Terrain(outlines, brain, speed), lambda_mm=lambda_mm)
        score = compare(agreed.density, truth.density)
        return [
            score.mean_absolute_error,
            score.correlation,
            covered(ground.of_brain(agreed.logits)),
        ]

    return {
        "outlines as drawn, not smoothed": judged(patient.masks, tissue, smoothed=False),
        "outlines as drawn": judged(patient.masks, tissue),
        "outlines as drawn, true tissue": judged(patient.masks, true_tissue),
        "true outlines": judged(true_outlines, tissue),
        "true outlines and tissue": judged(true_outlines, true_tissue),
        "the standard plan": [np.nan, np.nan, covered(-ground.from_core[ground.brain])],
        "the truth": [0.0, 1.0, covered(cells)],
    }


def _invert(truth: TrialPatient) -> Inversion:
    with scratch_folder() as folder:
        t1, seg = truth.write(folder, ending=".nii")
        return invert(load_patient(t1=t1, seg=seg, labels="brats2021"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--first", type=int, default=0, help="number of the first patient")
    parser.add_argument("--arms", default="a")
    options = parser.parse_args()
    rows: list[dict[str, list[float]]] = []
    for number in range(options.first, options.first + options.patients):
        bearer = make_bearer(SEED, number)
        for arm in options.arms:
            rows.append(measure(image(bearer, arm, arm_rng(SEED, number, arm))))
            print(f"{number:03d}{arm}", {k: np.round(v, 3).tolist() for k, v in rows[-1].items()})
    means = {name: np.mean([row[name] for row in rows], axis=0) for name in rows[0]}
    standard, best = means["the standard plan"][2], means["the truth"][2]
    print("known; mean absolute error; r; coverage; share of the gain")
    for name, (error, correlation, coverage) in means.items():
        gain = (coverage - standard) / (best - standard)
        print(f"{name}; {error:.3f}; {correlation:.3f}; {coverage:.4f}; {gain:.2f}")


if __name__ == "__main__":
    main()
