"""Rankings of the brain by how soon a planner would treat a voxel: the map and its rivals."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ..images.field import Field
from ..inversion.result import Inversion
from ..prediction.planning import distance_from, rank_brain
from ..travel import tissue_speed, travel_time
from ..virtual.trial_patient import TrialPatient
from .ground import Ground

Ranking = NDArray[np.float32]
"""A number for each voxel of the brain in C order: the higher, the sooner treated."""

MARGIN, MAP, GROWTH, ORACLE = "margin_core", "map", "growth", "oracle"

RANKINGS: Mapping[str, str] = MappingProxyType(
    {
        MAP: "the map",
        GROWTH: "the growth alone",
        MARGIN: "margin around the core (standard)",
        "margin_whole": "margin around the whole",
        "margin_mean": "mean of both margins",
        "found_core": "through tissue as found, from the core",
        "found_whole": "through tissue as found, from the whole",
        "found_mean": "through tissue as found, mean of both",
        "true_core": "through the true tissue, from the core",
        "true_whole": "through the true tissue, from the whole",
        "true_mean": "through the true tissue, mean of both",
        ORACLE: "the truth (oracle)",
    }
)
"""What each ranking is, in words."""

REACH_MM = 60.0
"""Travel time, as distance in white matter, beyond which voxels rank by their plain distance."""

RIVALS = tuple(
    name for name in RANKINGS if name not in (MAP, GROWTH, ORACLE) and "true" not in name
)
"""Rankings that a planner could use instead of the map, for they need nothing hidden."""


def rank_all(patient: TrialPatient, inversion: Inversion, ground: Ground) -> dict[str, Ranking]:
    """All rankings of a patient's brain, by the names of `RANKINGS`.

    The ground lies on the grid of the patient's field, as the maps do.
    """
    brain, field = ground.brain, inversion.patient.field
    margins = (
        _margin(ground.core, ground.from_core, ground.grid)[brain],
        _margin(ground.whole, ground.from_whole, ground.grid)[brain],
    )
    found: dict[str, Ranking] = {
        MAP: ground.of_brain(inversion.maps.planning.ranking),
        GROWTH: ground.of_brain(_rank_growth(inversion)),
        ORACLE: ground.of_brain(field.cut(patient.density.u)),
        **_named("margin", *(-margin for margin in margins)),
    }
    for name, speed in (
        ("found", _speed_as_found(inversion, ground)),
        ("true", _true_speed(patient, field, ground)),
    ):
        ranked = (
            nearness(travel(outline, speed, ground.grid)[brain], margin)
            for outline, margin in zip((ground.core, ground.whole), margins, strict=True)
        )
        found |= _named(name, *ranked)
    return {name: found[name] for name in RANKINGS}


def travel(
    outline: NDArray[np.bool_], speed: NDArray[np.float32], grid: Grid
) -> NDArray[np.float32]:
    """Travel time from an outline, as far as the largest of the volumes goes."""
    return travel_time(outline, speed, grid.spacing_mm, reach_mm=REACH_MM)


def nearness(times: NDArray[np.float32], distance: NDArray[np.float32]) -> Ranking:
    """Rank by travel time; voxels that no front reaches come last, by their distance in mm."""
    reached = np.isfinite(times)
    last = float(times[reached].max(initial=0))
    return -np.where(reached, times, last + np.maximum(distance, 0)).astype(np.float32)


def _named(kind: str, core: Ranking, whole: Ranking) -> dict[str, Ranking]:
    """A way to measure how far voxels are from each outline, and the mean of both."""
    return {
        f"{kind}_core": core,
        f"{kind}_whole": whole,
        f"{kind}_mean": np.float32(0.5) * (core + whole),
    }


def _margin(
    outline: NDArray[np.bool_], signed_mm: NDArray[np.float32], grid: Grid
) -> NDArray[np.float32]:
    """Signed distance from an outline; outside, as the standard plan measures it."""
    outside = distance_from(outline, grid.spacing_mm)
    return np.where(outside > 0, outside, np.minimum(signed_mm, 0)).astype(np.float32)


def _rank_growth(inversion: Inversion) -> NDArray[np.float32]:
    patient = inversion.patient
    brain = patient.field.cut(patient.brain_with_tumour)
    return rank_brain(inversion.maps.growth, brain, inversion.answer.widest_lambda_mm)


def _speed_as_found(inversion: Inversion, ground: Ground) -> NDArray[np.float32]:
    """Speed of a front in the patient's tissue as the inversion knows it."""
    tissue = inversion.patient_tissue
    wm, gm, csf = (values[ground.box] for values in (tissue.wm, tissue.gm, tissue.csf))
    return tissue_speed(wm, gm, csf, ground.brain, ground.whole)


def _true_speed(patient: TrialPatient, field: Field, ground: Ground) -> NDArray[np.float32]:
    """Speed of a front in the patient's true tissue."""
    own = (field.cut(getattr(patient.anatomy, name)) for name in ("wm", "gm", "csf"))
    wm, gm, csf = (values[ground.box] for values in own)
    return tissue_speed(wm, gm, csf, ground.brain)
