"""Islands: specks of an outline far from its rest, which are probably noise, not tumour.

A component of an outline (26 neighbours) is an island if it is small, below 0.1 ml and below 2 %
of the largest component, and lies more than 10 mm from every component that is not small.

A margin of 15 mm around a single voxel measures 14 ml, so sixty false voxels multiply a planning
volume. 0.1 ml is a ball of 6 mm across, below what a radiologist measures as a lesion; a share of
the largest keeps the pieces of a small tumour, a distance the crumbs at the edge of any outline. On
five real segmentations crumbs lay within 7 mm of the outline, and islands, of 0.04 ml at most, from
12 mm on. Where slices are thicker than 5 mm, the distance is that of two slices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from ...atlas.regions import bounding_box
from ...solver import TumorMasks

MOST_ML = 0.1
MOST_SHARE = 0.02
"""Share of the largest component's volume; islands stay below both limits."""

LEAST_MM = 10.0
"""Distance between voxel centres; islands lie farther than this from all larger components."""


@dataclass(frozen=True)
class Islands:
    """The islands of a patient's outlines.

    Attributes
    ----------
    n_whole, whole_ml : int, float
        Number and volume of the whole tumour's islands, with any core in them.
    n_core, core_ml : int, float
        Number and volume of the core's islands inside the rest of the whole tumour.
    left_out : bool
        Whether they were left out of the outlines.
    """

    n_core: int
    core_ml: float
    n_whole: int
    whole_ml: float
    left_out: bool

    def row(self) -> dict[str, Any]:
        """Plain values by name, with the limits, as `result.json` shows them."""
        return {
            "left_out": self.left_out,
            "limits": {
                "most_ml": MOST_ML,
                "most_share_of_largest": MOST_SHARE,
                "least_distance_mm": LEAST_MM,
            },
            "core": {"n": self.n_core, "ml": self.core_ml},
            "whole": {"n": self.n_whole, "ml": self.whole_ml},
        }

    @property
    def notice(self) -> str | None:
        """A sentence for people; None where there is no island."""
        found = [
            f"{n} of the {name} ({ml:.2g} ml)"
            for name, n, ml in (
                ("core", self.n_core, self.core_ml),
                ("whole tumour", self.n_whole, self.whole_ml),
            )
            if n
        ]
        if not found:
            return None
        fate = (
            "left out of search and volumes; --keep-islands keeps them"
            if self.left_out
            else "kept, as --keep-islands asks; each widens the standard planning volume"
        )
        return (
            f"The outlines have islands: {' and '.join(found)}. They are components below "
            f"{MOST_ML:g} ml and {MOST_SHARE:.0%} of the largest, more than {LEAST_MM:g} mm from "
            f"the larger ones, and were {fate}."
        )


def part_islands(masks: TumorMasks, *, keep: bool = False) -> tuple[TumorMasks, Islands]:
    """Outlines without their islands, and the islands' numbers and volumes.

    A core's islands inside the whole tumour stay part of the whole tumour.

    Parameters
    ----------
    masks : TumorMasks
        Outlines on the voxels on which they were drawn.
    keep : bool
        Whether to return the outlines as they are.
    """
    spacing, ml = np.array(masks.grid.spacing_mm), masks.grid.voxel_ml
    of_whole, n_whole = _find(masks.whole, spacing, ml)
    whole, core = masks.whole & ~of_whole, masks.core & ~of_whole
    of_core, n_core = _find(core, spacing, ml)
    found = Islands(
        n_core=n_core,
        core_ml=float(of_core.sum() * ml),
        n_whole=n_whole,
        whole_ml=float(of_whole.sum() * ml),
        left_out=not keep,
    )
    return (masks if keep else TumorMasks(core & ~of_core, whole, masks.grid)), found


def _find(
    mask: NDArray[np.bool_], spacing_mm: NDArray[np.float64], voxel_ml: float
) -> tuple[NDArray[np.bool_], int]:
    """The islands of an outline as a mask, and their number."""
    islands = np.zeros_like(mask)
    box = bounding_box(mask)
    if not mask.any():
        return islands, 0
    labels, n = ndimage.label(mask[box], np.ones((3, 3, 3)))
    volumes = np.bincount(labels.ravel(), minlength=n + 1) * voxel_ml
    volumes[0] = 0
    is_small = volumes < min(MOST_ML, MOST_SHARE * volumes.max())
    is_small[0] = False
    if not is_small.any():
        return islands, 0
    at = np.argwhere(is_small[labels])
    others = np.argwhere((labels > 0) & ~is_small[labels])
    far = max(LEAST_MM, 2 * float(spacing_mm.max()))
    distance, _ = cKDTree(others * spacing_mm).query(
        at * spacing_mm, distance_upper_bound=far * (1 + 1e-6)
    )
    near = np.unique(labels[tuple(at[np.isfinite(distance)].T)])
    is_island = is_small.copy()
    is_island[near] = False
    islands[box] = is_island[labels]
    return islands, int(is_island.sum())
