"""Where the tumour came back, and how much of that the planning volumes hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..atlas import Grid
from ..solver import TumorMasks
from .labels import label_convention, outlines_from_labels
from .nifti import InputError, read_nifti
from .planning import PlanningVolumes


@dataclass(frozen=True)
class Coverage:
    """How much of a recurrence the two volumes hold.

    Attributes
    ----------
    outline : "core" or "whole"
        Of the follow-up segmentation.
    recurrence_ml : float
    standard, model : float
        Share of it inside the volume, in [0, 1].
    """

    outline: Literal["core", "whole"]
    recurrence_ml: float
    standard: float
    model: float


def load_recurrence(
    seg: str | Path,
    grid: Grid,
    *,
    labels: str | None = None,
    core_labels: Sequence[int] | None = None,
    whole_labels: Sequence[int] | None = None,
) -> TumorMasks:
    """Read a follow-up segmentation.

    Parameters
    ----------
    seg : path
        Label image on the patient's grid, to which it has been co-registered.
    grid : Grid
        The patient's.
    labels, core_labels, whole_labels
        As in `load_patient`.

    Raises
    ------
    InputError
        If it cannot be read, lies on another grid, or its labels do not fit.
    """
    convention = label_convention(labels, core_labels=core_labels, whole_labels=whole_labels)
    file = read_nifti(seg, "recurrence")
    if file.grid != grid:
        raise InputError(
            f"recurrence {seg}: it must lie on the grid of the registered T1, {grid}, but it has "
            f"{file.grid}; co-register the follow-up scan and resample the segmentation with a "
            "label interpolator"
        )
    return outlines_from_labels(file.values, grid, convention, name=f"recurrence {seg}")


def cover_recurrence(volumes: PlanningVolumes, recurrence: TumorMasks) -> tuple[Coverage, ...]:
    """Measure how much of a follow-up segmentation both volumes hold, for each outline it has.

    Raises
    ------
    ValueError
        If it lies on another grid.
    """
    if recurrence.grid != volumes.grid:
        raise ValueError(
            f"a recurrence is compared on the volumes' grid, {volumes.grid}, got {recurrence.grid}"
        )
    found = []
    outlines: tuple[Literal["core", "whole"], ...] = ("core", "whole")
    for name in outlines:
        mask = recurrence.core if name == "core" else recurrence.whole
        n = int(mask.sum())
        if n:
            standard, model = (
                int((mask & volume).sum()) / n for volume in (volumes.standard, volumes.model)
            )
            found.append(Coverage(name, n * volumes.grid.voxel_ml, standard, model))
    return tuple(found)
