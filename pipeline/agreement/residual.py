"""How far a density is from one that the growth equation could have made.

With time in units of 1 / rho and D = lambda^2 c^2, c the speed of the front in the tissue, the
equation says what a density does next,

    du/dt = div(lambda^2 c^2 grad u) + u (1 - u),

and a front that travels says the same: du/dt = v lambda c |grad u|, with one v for all of it (v = 2
far from its origin). The residual is the rest of the first with the best v,

    r = ||du/dt - v lambda c |grad u||| / ||du/dt||    over 0.01 <= u <= 0.99.

It is not 0 for a true growth, which is curved, young and in tissue of two speeds; a field that fits
any outline and is no growth has a larger one. Nothing diffuses through a face between tissue and
what is none, as in the solver: slopes are those of the faces between two voxels of tissue, and a
flux is the mean of those in the two voxels of such a face, for a density that was interpolated is
too rough for the solver's own differences.

References
----------
J. D. Murray, "Mathematical Biology II: Spatial Models and Biomedical Applications", 3rd edition,
Springer 2003, chapter 11: travelling fronts of this equation in white and grey matter.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ...atlas.regions import bounding_box
from ...solver import TumorDensity
from ..images.coarsening import coarsen_within
from ..images.nifti import Scan
from ..travel import CSF_SPEED

SPACING_MM = 2.0
"""Voxel size of the grid on which it is measured, that of the simulations."""

LEAST_DENSITY, MOST_DENSITY = 0.01, 0.99
"""Densities between which a front is."""


def equation_residual(density: TumorDensity, speed: NDArray[np.float32], lambda_mm: float) -> float:
    """The residual r of a density; NaN where there is no front.

    Parameters
    ----------
    density : TumorDensity
    speed : float32 array of the grid's shape
        c, speed of the front in units of its speed in white matter. Where it does not exceed the
        speed in fluid there is no tissue, and nothing diffuses.
    lambda_mm : float
        sqrt(dw / rho).

    Returns
    -------
    float
        At least 0, without a unit.
    """
    brain = speed > 0
    coarse = coarsen_within(Scan(density.u, density.grid), brain, SPACING_MM)
    if not (coarse.values >= LEAST_DENSITY).any():
        return math.nan
    box = bounding_box(coarse.values >= LEAST_DENSITY, 3)
    u = coarse.values[box].astype(np.float64)
    in_tissue = np.where(speed > CSF_SPEED, speed, 0)
    coarse_speed = coarsen_within(Scan(in_tissue, density.grid), brain, SPACING_MM)
    c = coarse_speed.values[box].astype(np.float64)
    if min(u.shape) < 3:
        return math.nan
    spacing = coarse.grid.spacing_mm
    change, steepness = u * (1 - u), np.zeros_like(u)
    for axis, width in enumerate(spacing):
        slope, spread = _across_faces(u, (lambda_mm * c) ** 2, axis, width)
        change += spread
        steepness += slope**2
    travel = lambda_mm * c * np.sqrt(steepness)
    front = (u >= LEAST_DENSITY) & (u <= MOST_DENSITY) & (c > 0)
    seen, going = change[front], travel[front]
    if not seen.any() or not going.any():
        return math.nan
    v = (seen @ going) / (going @ going)
    return float(np.linalg.norm(seen - v * going) / np.linalg.norm(seen))


def _across_faces(
    u: NDArray[np.float64], diffusivity: NDArray[np.float64], axis: int, width_mm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slope and divergence of the flux along an axis, from a voxel's faces inside the tissue."""
    u, diffusivity = np.moveaxis(u, axis, 0), np.moveaxis(diffusivity, axis, 0)
    is_open = (diffusivity[1:] > 0) & (diffusivity[:-1] > 0)

    def of_both(faces: NDArray[np.float64], sign: int) -> NDArray[np.float64]:
        at_voxels = np.zeros(u.shape)
        at_voxels[:-1] += faces
        at_voxels[1:] += sign * faces
        return at_voxels

    n_open = np.maximum(of_both(is_open.astype(np.float64), 1), 1)
    slope = of_both(np.where(is_open, np.diff(u, axis=0), 0) / width_mm, 1) / n_open
    flux = diffusivity * slope
    through = np.where(is_open, (flux[1:] + flux[:-1]) / 2, 0)
    spread = of_both(through, -1) / width_mm
    return np.moveaxis(slope, 0, axis), np.moveaxis(spread, 0, axis)
