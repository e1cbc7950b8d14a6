"""Planning volumes: the standard margin, and two other volumes of the same size.

    standard:  CTV = {x in the brain : distance(x, core) <= 15 mm}, x a voxel's centre
    model:     the outlined core and those voxels of the brain that rank highest
    geodesic:  the outlined core and those voxels that lie nearest to it through tissue

The rank is the density where the solver speaks, u >= 1e-6, and goes on below by

    1e-6 exp(-d / lambda),    d the distance to {u >= 1e-6} in mm,

the tail of a travelling front, over the whole brain. Through tissue, a way in grey matter counts
for more than one in white, and one through fluid for most (see `travel`). All volumes hold the same
number of voxels to the last one: ties of the ranking, as in a core where u = 1, are broken by the
smallest steps of float32, nearer to the tumour's centre first.

References
----------
M. Niyazi et al., "ESTRO-EANO guideline on target delineation and radiotherapy details for
glioblastoma", Radiotherapy and Oncology 184:109663, 2023: gross tumour volume = enhancing tumour
and cavity on the contrast-enhanced T1 without oedema, clinical target volume = 15 mm around it,
edited at anatomical barriers. The brain's surface is the only barrier of the standard and the
model's volume here; ventricles, falx, tentorium and brainstem are left to the planner. S. P. Raya,
J. K. Udupa, "Shape-based interpolation of multidimensional objects", IEEE Transactions on Medical
Imaging 9:32-42, 1990.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...atlas import Grid
from ...atlas.regions import bounding_box, signed_distance_mm, squared_distances
from ...errors import InputError
from ...solver import TumorDensity, TumorMasks
from ..images.field import Field
from ..travel import Terrain
from .geodesic import nearest_through_tissue

MARGIN_MM = 15.0
"""Margin of the clinical target volume around the gross tumour (Niyazi et al. 2023)."""

LEAST_DENSITY = 1e-6
"""Density at which the solver's density ends and the tail's ranking begins."""

THICKEST_MM = 1.5
"""Thickest part of a voxel for the margin, mm. A thicker voxel counts as an odd number of parts,
and the outline between slices lies where its signed distance is 0 (Raya and Udupa 1990); otherwise
half a thick slice would be missing."""

ROUNDING_MM = 1e-3
"""Tolerance, mm, for a header's rounding in a margin of a whole number of voxels, and for that of a
part of a voxel that lies on the outline's surface: it is outside, from whatever side it is reached.
"""

MOST_DECAYS = 70.0
"""Decay lengths between the isoline and the farthest voxel that float32 can hold below 1e-6; a
shorter lambda is lengthened to it, which changes no rank."""


VOLUME_LABELS: Mapping[str, int] = MappingProxyType({"standard": 1, "model": 2, "geodesic": 4})
"""Labels whose sums say which volumes overlap."""


@dataclass(frozen=True, eq=False)
class PlanningVolumes:
    """Three volumes of one size, on the patient's grid.

    Attributes
    ----------
    gross : "core" or "whole"
        The outline around which the margin is drawn: the whole tumour if there is no core.
    standard, model, geodesic : bool array
        The standard clinical target volume, the model's, and the one through tissue.
    ranking : float32 array
        In (0, 1], no two voxels of the brain alike; 0 outside it.
    outlines : TumorMasks
        The patient's, on the same grid.
    """

    gross: Literal["core", "whole"]
    standard: NDArray[np.bool_]
    model: NDArray[np.bool_]
    geodesic: NDArray[np.bool_]
    ranking: NDArray[np.float32]
    outlines: TumorMasks

    @property
    def grid(self) -> Grid:
        """The grid of all of them."""
        return self.outlines.grid

    @property
    def by_name(self) -> dict[str, NDArray[np.bool_]]:
        """The volumes by name, the standard one first."""
        return {"standard": self.standard, "model": self.model, "geodesic": self.geodesic}

    def laid(self, field: Field, outlines: TumorMasks) -> PlanningVolumes:
        """The same on the whole grid of a field whose box is theirs.

        Parameters
        ----------
        field : Field
        outlines : TumorMasks
            The patient's, on the whole grid.

        Returns
        -------
        PlanningVolumes
        """
        return PlanningVolumes(
            gross=self.gross,
            standard=field.laid(self.standard),
            model=field.laid(self.model),
            geodesic=field.laid(self.geodesic),
            ranking=field.laid(self.ranking),
            outlines=outlines,
        )

    def row(self) -> dict[str, float | str]:
        """Plain values by name, as `result.json` and the report show them.

        "leaves_out" is the part of the outlined whole tumour outside a volume, in ml and as a
        share; "only" is what no other volume holds, "all" what each of them holds.

        Returns
        -------
        dict
        """
        ml, whole = self.grid.voxel_ml, self.outlines.whole
        found: dict[str, float | str] = {"margin_around": self.gross, "margin_mm": MARGIN_MM}
        for name, volume in self.by_name.items():
            left_out = int((whole & ~volume).sum())
            found |= {
                f"{name}_ml": float(volume.sum() * ml),
                f"{name}_leaves_out_ml": float(left_out * ml),
                f"{name}_leaves_out": left_out / int(whole.sum()),
            }
        labels = self.labels()
        found |= {
            f"{name}_only_ml": float((labels == label).sum() * ml)
            for name, label in VOLUME_LABELS.items()
        }
        return found | {"all_ml": float((labels == sum(VOLUME_LABELS.values())).sum() * ml)}

    def labels(self) -> NDArray[np.uint8]:
        """Which volumes hold each voxel: the sum of their `VOLUME_LABELS`.

        Returns
        -------
        uint8 array of the grid's shape
        """
        labels = np.zeros(self.grid.shape, np.uint8)
        for name, volume in self.by_name.items():
            labels += np.uint8(VOLUME_LABELS[name]) * volume
        return labels


def plan_volumes(density: TumorDensity, terrain: Terrain, lambda_mm: float) -> PlanningVolumes:
    """Draw all volumes.

    Parameters
    ----------
    density : TumorDensity
        On the patient's grid.
    terrain : Terrain
        On the same grid; volumes lie in its brain.
    lambda_mm : float
        Width of the front, sqrt(dw / rho).

    Returns
    -------
    PlanningVolumes

    Raises
    ------
    ValueError
        If density and terrain are not on one grid.
    InputError
        If the outline lies outside the brain altogether.
    """
    if terrain.grid != density.grid:
        raise ValueError(
            f"density and terrain lie on one grid, got {density.grid} and {terrain.grid}"
        )
    masks, brain = terrain.outlines, terrain.brain
    gross, standard = draw_standard(masks, brain)
    ranking = rank_brain(density, brain, lambda_mm)
    n_voxels = int(standard.sum())
    held_first = np.where(masks.core & brain, np.float32(2), ranking)
    least = np.partition(held_first[brain], -n_voxels)[-n_voxels]
    geodesic = nearest_through_tissue(gross, terrain, n_voxels)
    return PlanningVolumes(gross, standard, held_first >= least, geodesic, ranking, masks)


def draw_standard(
    masks: TumorMasks, brain: NDArray[np.bool_]
) -> tuple[Literal["core", "whole"], NDArray[np.bool_]]:
    """The outline around which the margin is drawn, and the standard volume.

    Raises
    ------
    InputError
        If that outline lies outside the brain altogether.
    """
    gross: Literal["core", "whole"] = "core" if masks.core.any() else "whole"
    outline = masks.core if gross == "core" else masks.whole
    if not (outline & brain).any():
        raise InputError(f"the outline of the {gross} lies outside the brain mask")
    return gross, brain & _within_margin(outline, masks.grid.spacing_mm)


def _within_margin(
    outline: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """Voxels whose centre is at most the margin from the outline."""
    reach = np.ceil(MARGIN_MM / np.array(spacing_mm)).astype(int) + 1
    crop = bounding_box(outline, reach)
    within = np.zeros(outline.shape, bool)
    within[crop] = distance_from(outline[crop], spacing_mm) <= MARGIN_MM + ROUNDING_MM
    return within


def distance_from(
    outline: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Distance of each voxel's centre from an outline, as the margin measures it.

    Parameters
    ----------
    outline : (nx, ny, nz) bool array
    spacing_mm : tuple of three float
        Distance between voxel centres along each array axis.

    Returns
    -------
    (nx, ny, nz) float64 array
        mm, 0 inside. Between thick slices the outline lies as `THICKEST_MM` says.
    """
    spacing = np.array(spacing_mm)
    parts = np.where(spacing > THICKEST_MM, 2 * np.ceil((spacing - 1) / 2).astype(int) + 1, 1)
    fine = outline
    if (parts > 1).any():
        fine = _divided(signed_distance_mm(outline, spacing), parts) < -ROUNDING_MM
    distance = ndimage.distance_transform_edt(~fine, sampling=spacing / parts)
    centres = tuple(slice(int(n) // 2, None, int(n)) for n in parts)
    found: NDArray[np.float64] = distance[centres]
    return found


def _divided(values: NDArray[np.float64], parts: NDArray[np.int_]) -> NDArray[np.float64]:
    """Values at the centres of the parts of voxels, between voxels by linear interpolation."""
    for axis, n in enumerate(parts):
        last = values.shape[axis] - 1
        at = np.clip((np.arange((last + 1) * n) + 0.5) / n - 0.5, 0, last)
        before = np.minimum(at.astype(int), max(last - 1, 0))
        share = (at - before).reshape([-1 if a == axis else 1 for a in range(3)])
        start, end = (np.take(values, np.minimum(before + i, last), axis) for i in (0, 1))
        values = start + share * (end - start)
    return values


def rank_brain(
    density: TumorDensity, brain: NDArray[np.bool_], lambda_mm: float
) -> NDArray[np.float32]:
    """Rank all of the brain by the density and its tail.

    Parameters
    ----------
    density : TumorDensity
    brain : bool array of the grid's shape
    lambda_mm : float
        > 0.

    Returns
    -------
    float32 array
        See `PlanningVolumes.ranking`. From a density of 1e-6 on, a voxel of higher density ranks
        higher. Of n voxels with one value all but one are lowered, as are those with hardly less:
        by 1, 2, ... steps of float32, each 1.2e-7 of the value or less.

    Raises
    ------
    ValueError
        If the density reaches 1e-6 nowhere.
    """
    u, spacing = density.u, density.grid.spacing_mm
    seen = u >= LEAST_DENSITY
    if not seen.any():
        raise ValueError(f"a ranking needs a density of at least {LEAST_DENSITY:g} somewhere")
    box = bounding_box(brain | seen)
    distance = ndimage.distance_transform_edt(~seen[box], sampling=spacing)[brain[box]]
    decay = max(lambda_mm, float(distance.max(initial=0)) / MOST_DECAYS)
    values = np.where(seen[brain], u[brain], LEAST_DENSITY * np.exp(-distance / decay))
    values = values.astype(np.float32)
    voxels = np.argwhere(brain)
    centre = np.average(np.argwhere(seen), axis=0, weights=u[seen].astype(np.float64))
    order = np.lexsort((squared_distances(centre, brain, spacing), -values))
    ranked = np.zeros(density.grid.shape, np.float32)
    ranked[tuple(voxels[order].T)] = _strictly_falling(values[order])
    return ranked


def _strictly_falling(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Positive values that fall or stay, lowered by the least that makes each below the last.

    The bits of positive floats, read as integers, are in the order of the floats; then
    k'_i = min(k_i, k'_(i-1) - 1), which is a running minimum of k_i + i, less i.
    """
    bits = values.view(np.int32).astype(np.int64)
    place = np.arange(len(bits))
    return (np.minimum.accumulate(bits + place) - place).astype(np.int32).view(np.float32)


def isodensity_labels(density: TumorDensity, levels: Sequence[float]) -> NDArray[np.uint8]:
    """Nested regions inside isolines: i where i of the densities are reached."""
    reached = np.zeros(density.u.shape, np.uint8)
    for level in levels:
        reached += density.u >= level
    return reached
