"""All that one patient's inversion begins with, read from files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..anatomy.tissue_maps import TissueMaps, read_tissue_maps
from ..patient.named_files import seg_convention
from ..patient.patient import Patient, load_patient
from ..scans.later_scans import FollowUp, load_follow_up
from ..scans.scan_days import NamedScans
from ..steps import Step, silent


@dataclass(frozen=True, eq=False)
class PatientInputs:
    """What `invert` takes of a patient.

    Attributes
    ----------
    patient : Patient
    tissue : TissueMaps or None
        Maps of the patient's tissue, if they are given.
    follow_up : FollowUp or None
        Later scans, if there are any.
    """

    patient: Patient
    tissue: TissueMaps | None
    follow_up: FollowUp | None


def load_inputs(
    *,
    tissue: tuple[Path, Path, Path] | None,
    scans: NamedScans | None,
    notice: Callable[[str], None] = silent,
    step: Step = silent,
    **files: Any,
) -> PatientInputs:
    """Read a patient's files: those of the first scan, maps of the tissue, later scans.

    Parameters
    ----------
    tissue : tuple of Path, or None
        Maps of grey matter, white matter and fluid.
    scans : NamedScans or None
        All scans of a patient who has several; the first is among `files`, too.
    notice : callable
        Called with each notice about the files of the first scan.
    step : callable
        Called with the name of each long step as it begins.
    **files
        Files, labels and options as `load_patient` takes them.

    Returns
    -------
    PatientInputs

    Raises
    ------
    InputError
        As `read_tissue_maps`, `load_patient` and `load_follow_up`.
    """
    maps = None if tissue is None else read_tissue_maps(*tissue)
    patient = load_patient(**files, step=step)
    for text in patient.notices:
        notice(text)
    if scans is None:
        return PatientInputs(patient, maps, None)
    step("align the later scans")
    labels = {name: files.get(name) for name in ("labels", "core_labels", "whole_labels")}
    follow_up = load_follow_up(
        patient,
        scans.first.day,
        scans.later,
        convention=seg_convention(files["seg"], **labels),
        forecast=scans.forecast,
        treatments=scans.treatments,
        treatment_file=scans.treatment_file,
        keep_islands=files.get("keep_islands", False),
    )
    return PatientInputs(patient, maps, follow_up)
