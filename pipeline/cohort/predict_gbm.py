"""The container contract of PREDICT-GBM, a benchmark of growth models for radiotherapy.

Read:   INPUT/Patient-<id>/<id>-{gm,wm,csf}.nii.gz   tissue probability maps
        INPUT/Patient-<id>/<id>-tumorseg.nii.gz      1 necrotic, 2 oedema, 3 enhancing; 4, the
                                                     cavity of later BraTS labels, is core too, as
                                                     in the benchmark's evaluation
        INPUT/Patient-<id>/<id>-t1c.nii.gz           optional, skull-stripped
Write:  OUTPUT/<id>.nii.gz                           on the segmentation's grid

The benchmark compares arrays voxel by voxel and ignores affines. So the files must have one shape,
and if their affines differ that of the tissue maps holds. From a map the benchmark takes the
highest voxels, as many as a volume needs. So the result is the ranking of `planning`, in which no
two voxels of the brain are equal.

Patients without a T1c are registered through their tissue maps, as a T1 with the mean intensities
of the atlas's tissues: t1 = a wm + b gm + c csf.

References
----------
PREDICT-GBM, https://github.com/BrainLesion/PredictGBM, version 0.1.0, "Adding new growth models".
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Atlas, Grid
from ...atlas.brain import block_mean
from ...dbgen import Database
from ...dbgen.machine.files import scratch_folder
from ...errors import InputError
from ...paths import StrPath
from ...solver import TumorDensity
from ..agreement import agree
from ..anatomy.tissue_maps import TissueMaps
from ..images.field import Field
from ..images.labels import rounded_labels
from ..images.nifti import ImageFile, Scan, read_nifti, write_nifti
from ..images.resampling import resample_in_tissue
from ..inversion.growth import find_growth
from ..inversion.inversion import map_growth
from ..inversion.options import InversionOptions
from ..patient.brain_option import BrainWay
from ..patient.patient import Patient, load_patient
from ..prediction.planning import rank_brain
from ..results.outputs import write_inversion
from ..results.result_folder import only_run, prepare_output
from ..steps import Step, Steps, silent
from .exams import identifier_of

TISSUES = ("wm", "gm", "csf")
CORE_LABELS = (1, 3, 4)
WHOLE_LABELS = (1, 2, 3, 4)
LEAST_TISSUE = 0.5
"""Summed probability from which a voxel belongs to the brain."""


@dataclass(frozen=True, eq=False)
class Exam:
    """A patient as the benchmark provides it, on the grid of the tissue maps.

    Attributes
    ----------
    identifier : str
    tissues : dict of str to float32 array
        Probabilities of wm, gm and csf.
    labels : integer array
    t1c : float32 array or None
    grid : Grid
    written_grid : Grid
        The segmentation's own grid, on which the result is written.
    notices : tuple of str
        Notices about the headers of the files.
    """

    identifier: str
    tissues: dict[str, NDArray[np.float32]]
    labels: NDArray[Any]
    t1c: NDArray[np.float32] | None
    grid: Grid
    written_grid: Grid
    notices: tuple[str, ...] = ()

    @property
    def brain(self) -> NDArray[np.bool_]:
        """Voxels with a rank: tissue, fluid, and the outlined tumour."""
        tissue = sum(self.tissues.values()) >= LEAST_TISSUE
        brain: NDArray[np.bool_] = tissue | (self.labels > 0)
        return brain

    @property
    def tissue_maps(self) -> TissueMaps:
        """The tissue probabilities as an anatomy for a growth."""
        wm, gm, csf = (Scan(self.tissues[name], self.grid) for name in TISSUES)
        return TissueMaps(gm, wm, csf, checksums={})


def read_exam(folder: StrPath) -> Exam:
    """Read a patient's folder.

    Parameters
    ----------
    folder : str or os.PathLike
        One `Patient-<id>`.

    Returns
    -------
    Exam

    Raises
    ------
    InputError
        If a file is missing or unreadable, shapes differ, or a tissue map holds no probabilities.
    """
    folder = Path(folder)
    identifier = identifier_of(folder)
    names = [*TISSUES, "tumorseg"]
    if (folder / f"{identifier}-t1c.nii.gz").is_file():
        names.append("t1c")
    files = {
        n: read_nifti(folder / f"{identifier}-{n}.nii.gz", n, of_head=n != "tumorseg")
        for n in names
    }
    wm = files["wm"].grid
    for name, file in files.items():
        if file.values.shape != wm.shape:
            raise InputError(
                f"{name} of {folder.name}: expected the shape of the tissue maps, "
                f"{' x '.join(map(str, wm.shape))}, got {' x '.join(map(str, file.values.shape))}"
            )
    labels = rounded_labels(files["tumorseg"].values)
    if labels is None:
        raise InputError(
            f"tumorseg of {folder.name}: expected integer labels, got fractions, NaN or infinity; "
            "give the tumour's segmentation"
        )
    return Exam(
        identifier,
        {name: _probabilities(name, files[name], folder.name) for name in TISSUES},
        labels,
        files["t1c"].values.astype(np.float32) if "t1c" in files else None,
        wm,
        files["tumorseg"].grid,
        tuple(notice for file in files.values() for notice in file.notices),
    )


def place_of_map(output: Path, identifier: str) -> Path:
    """Where the map of a patient lies."""
    return output / f"{identifier}.nii.gz"


def predict_exam(
    database: Database,
    exam: Exam,
    output: StrPath,
    options: InversionOptions = InversionOptions(),
    *,
    details: StrPath | None = None,
    keep_islands: bool = False,
    brain: BrainWay = "auto",
    step: Step = silent,
    notice: Callable[[str], None] = silent,
) -> Path:
    """Find a patient's growth, let it agree with the outlines and write the ranking map.

    Parameters
    ----------
    database : Database
        Database with its index beside it.
    exam : Exam
    output : path
        Folder of the maps.
    options : InversionOptions
        Options. If they ask for the own anatomy, it is that of the exam's tissue maps.
    details : path, optional
        Folder for a whole result with maps and report (see `write_inversion`); none by default.
    keep_islands, brain
        As in `load_patient`.
    step : callable
        Called with the name of each step as it begins.
    notice : callable
        Called with each notice about the files.

    Returns
    -------
    Path
        Path of the map.
    """
    output = prepare_output(Path(output))
    patient = _load(exam, database.atlas, keep_islands, brain)
    for text in patient.notices:
        notice(text)
    steps = Steps(step, patient.timings_s)
    with contextlib.ExitStack() as held:
        if details is not None:
            held.enter_context(only_run(Path(details)))
        growth = find_growth(patient, database, options, tissue=exam.tissue_maps, steps=steps)
        if details is not None:
            inversion = map_growth(growth, steps)
            write_inversion(inversion, details, title=f"Patient {exam.identifier}", step=step)
    grown, shown = growth.answer.density, patient.brain_with_tumour
    field = Field.around(shown | exam.brain, patient.grid)  # all of the exam's brain is ranked
    (u,) = resample_in_tissue(
        [grown.u],
        grown.grid,
        field.grid,
        growth.answer_tissue,
        growth.answer_map,
        within=field.cut(shown),
    )
    lambda_mm = growth.answer.widest_lambda_mm
    terrain = growth.patient_tissue.terrain(field.cut_masks(patient.masks), field.cut(shown))
    agreement = agree(
        TumorDensity(u, field.grid), terrain, lambda_mm=lambda_mm, thresholds=growth.thresholds
    )
    path = place_of_map(output, exam.identifier)
    ranking = field.laid(rank_brain(agreement.density, field.cut(exam.brain), lambda_mm))
    write_nifti(path, ranking, exam.written_grid, intent="estimate")
    return path


def _load(exam: Exam, atlas: Atlas, keep_islands: bool, brain: BrainWay) -> Patient:
    """The exam's patient, checked like any other."""
    with scratch_folder() as scratch:
        scan, seg = scratch / "scan.nii.gz", scratch / "seg.nii.gz"
        values = tissue_t1(exam, atlas) if exam.t1c is None else exam.t1c
        write_nifti(scan, values, exam.grid)
        write_nifti(seg, exam.labels, exam.grid)
        return load_patient(
            t1=scan if exam.t1c is None else None,
            t1c=None if exam.t1c is None else scan,
            seg=seg,
            core_labels=CORE_LABELS,
            whole_labels=WHOLE_LABELS,
            keep_islands=keep_islands,
            brain=brain,
        )


def tissue_t1(exam: Exam, atlas: Atlas) -> NDArray[np.float32]:
    """A T1 from a patient's tissue maps, with the atlas's mean intensities (least squares)."""
    atlas_maps = np.stack([getattr(atlas, name)[atlas.brain] for name in TISSUES], axis=1)
    intensities, *_ = np.linalg.lstsq(atlas_maps, block_mean(atlas.t1)[atlas.brain], rcond=None)
    image = sum(
        float(intensity) * exam.tissues[name]
        for intensity, name in zip(intensities, TISSUES, strict=True)
    )
    return np.where(exam.brain, np.maximum(image, 0), 0).astype(np.float32)


def _probabilities(name: str, file: ImageFile, patient: str) -> NDArray[np.float32]:
    values = file.values.astype(np.float32)
    # The benchmark's maps come from spline-free resampling; rounding alone may leave [0, 1].
    if not (np.isfinite(values).all() and values.min() >= -0.01 and values.max() <= 1.01):
        raise InputError(
            f"{name} of {patient}: expected probabilities in [0, 1], got values from "
            f"{values.min():g} to {values.max():g}"
        )
    return np.clip(values, 0, 1)
