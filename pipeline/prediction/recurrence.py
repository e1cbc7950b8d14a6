"""Where the tumour came back, and how much of that the planning volumes hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...solver import TumorMasks
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
