"""How much of a recurrence the planning volumes hold, and how high rankings put it.

A ranking is judged on the brain outside the core of the first scan: the area under its ROC curve is
the chance that a voxel of the recurrence ranks before one that stayed free. Average precision
takes, for each voxel of the recurrence, the recurrence's share of all voxels that rank as high, and
is the mean of these (Davis and Goadrich 2006).

References
----------
J. Davis, M. Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006,
233-240.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...solver import TumorMasks
from ..travel import travel_time
from .planning import PlanningVolumes


@dataclass(frozen=True)
class RankingScore:
    """How high a ranking of the brain outside the first core puts a recurrence.

    Attributes
    ----------
    auc : float
        Area under the ROC curve, in [0, 1]; 0.5 for a random ranking.
    average_precision : float
        In (0, 1]; the recurrence's share of that brain for a random ranking.
    """

    auc: float
    average_precision: float


@dataclass(frozen=True)
class Coverage:
    """How much of a recurrence the volumes hold, and how high it ranks.

    Attributes
    ----------
    outline : "core" or "whole"
        Outline of the follow-up segmentation.
    recurrence_ml : float
    standard, model, geodesic : float
        Share of it inside the volume, in [0, 1].
    model_ranking, geodesic_ranking : RankingScore or None
        Scores of the model's ranking and of the distance through tissue; None if the brain outside
        the first core holds nothing of the recurrence, or nothing else.
    """

    outline: Literal["core", "whole"]
    recurrence_ml: float
    standard: float
    model: float
    geodesic: float
    model_ranking: RankingScore | None
    geodesic_ranking: RankingScore | None


def cover_recurrence(
    volumes: PlanningVolumes, recurrence: TumorMasks, speed: NDArray[np.float32]
) -> tuple[Coverage, ...]:
    """Compare a follow-up segmentation with volumes and rankings, for each outline it has.

    Parameters
    ----------
    volumes : PlanningVolumes
    recurrence : TumorMasks
        On the volumes' grid.
    speed : float32 array of the grid's shape
        Speed of a front in tissue, see `tissue_speed`.

    Returns
    -------
    tuple of Coverage
        One for each outline that is not empty.

    Raises
    ------
    ValueError
        If the recurrence lies on another grid.
    """
    if recurrence.grid != volumes.grid:
        raise ValueError(
            f"a recurrence is compared on the volumes' grid, {volumes.grid}, got {recurrence.grid}"
        )
    brain = volumes.ranking > 0
    outside = brain & ~volumes.outlines.core
    outline = getattr(volumes.outlines, volumes.gross)
    times = travel_time(outline, speed, volumes.grid.spacing_mm)
    nearness = -np.minimum(times[outside], np.finfo(np.float32).max)
    found = []
    outlines: tuple[Literal["core", "whole"], ...] = ("core", "whole")
    for name in outlines:
        mask = recurrence.core if name == "core" else recurrence.whole
        n = int(mask.sum())
        if n:
            shares = {
                plan: int((mask & volume).sum()) / n for plan, volume in volumes.by_name.items()
            }
            found.append(
                Coverage(
                    outline=name,
                    recurrence_ml=n * volumes.grid.voxel_ml,
                    **shares,
                    model_ranking=_score(volumes.ranking[outside], mask[outside]),
                    geodesic_ranking=_score(nearness, mask[outside]),
                )
            )
    return tuple(found)


def doubts_of_coverage(coverage: Sequence[Coverage]) -> list[str]:
    """Notices about a recurrence of which no volume holds anything."""
    if any(one.standard or one.model or one.geodesic for one in coverage):
        return []
    return [
        "No part of the recurrence lies in a planning volume: see that the follow-up is aligned "
        "with the registered image."
    ]


def _score(ranking: NDArray[np.float32], recurred: NDArray[np.bool_]) -> RankingScore | None:
    """Score a ranking of voxels of two kinds, ties included; None where all are of one kind."""
    from sklearn import metrics  # here: it takes a second, and few patients have a follow-up

    if recurred.all() or not recurred.any():
        return None
    return RankingScore(
        auc=float(metrics.roc_auc_score(recurred, ranking)),
        average_precision=float(metrics.average_precision_score(recurred, ranking)),
    )
