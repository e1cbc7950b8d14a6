"""Several tumours in one brain: one growth for each component of the core, u = max_i u_i.

Since {max_i u_i >= c} is the union of the {u_i >= c}, the outlines of a combination are unions of
stored outlines, and combinations are judged without a simulation. Components are handled from the
largest to the smallest. For each, the candidates are the stored tumours most similar to its part of
the outlines. The one chosen gives the best overlap together with those already chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ...atlas.regions import bounding_box
from ...dbgen import Database
from ...query import Index, Match, dice_of_masks, search
from ...solver import TumorDensity, TumorMasks

LEAST_ML = 1.0
"""Volume of a component of the core that may be a tumour of its own."""

MOST_TUMORS = 4

N_TRIED = 15
"""Growths that are tried for each component."""


@dataclass(frozen=True, eq=False)
class SeveralTumors:
    """A combination of stored tumours.

    Attributes
    ----------
    samples : tuple of int
        Their ids, that of the largest component first.
    score, dice_core, dice_whole : float
        Overlap of their union with the patient's outlines.
    """

    samples: tuple[int, ...]
    score: float
    dice_core: float
    dice_whole: float


def split_outlines(masks: TumorMasks) -> list[TumorMasks]:
    """The parts of a patient's outlines around each large component of the core.

    Returns
    -------
    list of TumorMasks
        By falling size of the component, at most `MOST_TUMORS`; each voxel of both outlines
        belongs to the component nearest to it.
    """
    labels, n = ndimage.label(masks.core, np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    large = [
        i for i in np.argsort(-sizes, kind="stable") if sizes[i] * masks.grid.voxel_ml >= LEAST_ML
    ]
    large = large[:MOST_TUMORS]
    if not large:
        return []
    box = bounding_box(masks.core | masks.whole)
    part = labels[box]
    wanted = np.isin(part, [i + 1 for i in large])
    _, indices = ndimage.distance_transform_edt(~wanted, masks.grid.spacing_mm, return_indices=True)
    nearest = np.zeros_like(labels)
    nearest[box] = part[tuple(indices)]
    return [
        TumorMasks(masks.core & (nearest == i + 1), masks.whole & (nearest == i + 1), masks.grid)
        for i in large
    ]


def combine(database: Database, index: Index, masks: TumorMasks) -> SeveralTumors | None:
    """Try a patient's tumour as several.

    Parameters
    ----------
    database : Database
    index : Index
    masks : TumorMasks
        The patient's outlines on the index's grid.

    Returns
    -------
    SeveralTumors or None
        None where the core has fewer than two components of at least `LEAST_ML`.
    """
    parts = split_outlines(masks)
    if len(parts) < 2:
        return None
    chosen: list[int] = []
    union = TumorMasks(np.zeros_like(masks.core), np.zeros_like(masks.whole), masks.grid)
    for part in parts:
        found: Sequence[Match] = search(index, part, k=N_TRIED)
        candidates = [
            (match.sample, _joined(union, database.outlines(match.sample))) for match in found
        ]
        sample, union = max(candidates, key=lambda c: sum(dice_of_masks(masks, c[1])))
        chosen.append(sample)
    core, whole = dice_of_masks(masks, union)
    return SeveralTumors(tuple(chosen), core + whole, core, whole)


def join(densities: Sequence[TumorDensity]) -> TumorDensity:
    """The largest of several densities, voxel by voxel."""
    u = np.maximum.reduce([density.u for density in densities])
    return TumorDensity(u, densities[0].grid)


def _joined(a: TumorMasks, b: TumorMasks) -> TumorMasks:
    return TumorMasks(a.core | b.core, a.whole | b.whole, a.grid)
