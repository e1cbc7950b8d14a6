"""Let a growth agree with the outlines that it was found for.

A growth that overlaps the outlines best still misses them by millimetres, for neither the tissue
nor the one diffusivity of the model is the patient's. The place of the outlines is known better
than any growth. So the growth gives the shape of the front, and the outlines its place:

    z(x) = F((t_core(x) + t_whole(x)) / 2)

z is the logit of the density, t the signed travel time from an outline through the patient's tissue
(`travel`), and F the profile of the growth, read off its own density by the travel times from its
own isolines (`Front`). Both outlines are drawn with errors, and oedema without cells widens the
whole one: the mean of the two times errs less than either. Then two corrections:

- a share of the growth's own logit, where the growth has cells: it rests on all of both outlines
together, and is the least noisy; - near the core's outline, which contrast shows to a millimetre or
two, z is what makes it the
  isoline of the core's threshold: the difference fades within `CORE_REACH_MM`.

Where outlines and growth agree, nothing changes. Without a core, the density follows the whole
outline as it would follow a core's.

The constants were chosen on virtual patients whose tumours grew in another anatomy by another
solver; `glioquery trial` makes others, docs/results.md has the figures.

References
----------
E. Konukoglu et al., Medical Image Analysis 14:111-125, 2010 (see `front`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...solver import Thresholds, TumorDensity, TumorMasks
from ..images.coarsening import coarsen
from ..images.nifti import Scan
from ..images.resampling import extend_from_tissue, resample_image, resample_masks
from ..travel import Terrain
from .front import Front, logit

GROWTH_SHARE = 0.25
"""Share of the growth's own logit in the agreed one."""

GROWTH_FROM, GROWTH_FULL = 1e-4, 1e-2
"""Densities of the growth at which its share begins and is full."""

CORE_REACH_MM = 6.0
"""Travel time from the core's outline over which the correction to it falls by e."""

PROFILE_MM = 2.0
"""Voxels in which the growth's profile is read."""

FINEST_MM = 0.8
"""Finer voxels are merged for the travel times."""

NOTHING = -60.0
"""Logit where there are no cells."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """A density that agrees with the outlines.

    Attributes
    ----------
    density : TumorDensity
        0 outside the brain.
    logits : float32 array of the grid's shape
        Logit of the density; `NOTHING` where there are no cells.
    """

    density: TumorDensity
    logits: NDArray[np.float32]

    @classmethod
    def of_logits(cls, logits: NDArray[np.float32], terrain: Terrain) -> Agreement:
        """An agreement from logits on a terrain's grid; there are no cells outside its brain.

        Parameters
        ----------
        logits : float32 array of the grid's shape
        terrain : Terrain

        Returns
        -------
        Agreement
        """
        logits = np.where(terrain.brain, np.clip(logits, NOTHING, -NOTHING), np.float32(NOTHING))
        u = np.where(logits > NOTHING, 1 / (1 + np.exp(-logits)), 0).astype(np.float32)
        return cls(TumorDensity(u, terrain.grid), logits)

    def carried_to(self, terrain: Terrain) -> Agreement:
        """The agreement on another grid, by linear interpolation of the logits.

        Parameters
        ----------
        terrain : Terrain
            Terrain on the other grid.

        Returns
        -------
        Agreement
        """
        above = self.logits - np.float32(NOTHING)  # 0 where there are no cells, as beyond the image
        extended = extend_from_tissue(above, above > 0)
        carried = resample_image(Scan(extended, self.density.grid), terrain.grid).values
        return self.of_logits(carried + np.float32(NOTHING), terrain)


def agree(
    growth: TumorDensity,
    terrain: Terrain,
    *,
    lambda_mm: float,
    thresholds: Thresholds = Thresholds(),
) -> Agreement:
    """Place a growth's front where the outlines are.

    Parameters
    ----------
    growth : TumorDensity
        In the patient.
    terrain : Terrain
        On the same grid. There are cells in its brain alone.
    lambda_mm : float
        sqrt(dw / rho) of the growth; it continues the profile where the growth ends.
    thresholds : Thresholds
        Densities that the outlines show.

    Returns
    -------
    Agreement
        The density that agrees, and how it came about.

    Raises
    ------
    InputError
        If a speed is negative or not finite.
    """
    if max(round(FINEST_MM / s) for s in growth.grid.spacing_mm) > 1:
        coarse, speed = (
            coarsen(Scan(values, growth.grid), FINEST_MM) for values in (growth.u, terrain.speed)
        )
        outlines = resample_masks(terrain.outlines, coarse.grid)
        there = agree(
            TumorDensity(coarse.values, coarse.grid),
            Terrain(outlines, speed.values > 0, speed.values),
            lambda_mm=lambda_mm,
            thresholds=thresholds,
        )
        return there.carried_to(terrain)
    logits = _agree_on_grid(growth.u, terrain, lambda_mm, thresholds)
    return Agreement.of_logits(logits, terrain)


def _agree_on_grid(
    growth: NDArray[np.float32], terrain: Terrain, lambda_mm: float, thresholds: Thresholds
) -> NDArray[np.float32]:
    """Logits of the agreed density; -inf where no front comes, and beyond `travel.REACH_MM`."""
    levels = (thresholds.core, thresholds.whole)
    # A profile is a mean over shells of voxels: those of the simulation grid do.
    coarse, coarse_speed = (
        coarsen(Scan(values, terrain.grid), PROFILE_MM) for values in (growth, terrain.speed)
    )
    inside_core, inside_whole = (coarse.values >= level for level in levels)
    isolines = Terrain(
        TumorMasks(inside_core, inside_whole, coarse.grid),
        coarse_speed.values > 0,
        coarse_speed.values,
    )
    with ThreadPoolExecutor(2) as pool:
        core, whole, grown_core, grown_whole = pool.map(
            getattr,
            (terrain, terrain, isolines, isolines),
            ("from_core", "from_whole") * 2,
        )
    if whole is None:
        whole = core if core is not None else np.full(growth.shape, np.inf, np.float32)
    if core is None:
        followed, level = whole, thresholds.whole
        both_levels = (level, level)
        front, exact = _fronts(coarse.values, grown_whole, grown_whole, lambda_mm, both_levels)
        both = whole
    else:
        followed, level = core, thresholds.core
        front, exact = _fronts(coarse.values, grown_core, grown_whole, lambda_mm, levels)
        both = np.float32(0.5) * (core + whole)
    share = GROWTH_SHARE * rising(growth)
    grown = logit(np.clip(growth, GROWTH_FROM, 1 - GROWTH_FROM))
    reached = np.isfinite(both)
    placed = front.at(both[reached])
    placed += share[reached] * (grown[reached] - placed)
    along = followed[reached]
    placed += np.exp(-np.abs(along) / CORE_REACH_MM) * (exact.at(along) - placed)
    logits = np.full(growth.shape, -np.inf, np.float32)
    logits[reached] = placed
    return logits


def _fronts(
    growth: NDArray[np.float32],
    from_core: NDArray[np.float32] | None,
    from_whole: NDArray[np.float32] | None,
    lambda_mm: float,
    levels: tuple[float, float],
) -> tuple[Front, Front]:
    """The growth's profile by the mean of both times, and by that from the first outline.

    A growth that never reaches a level lends the profile from its other isoline, shifted.
    """
    core, whole = levels
    if from_core is not None and from_whole is not None:
        by_mean = Front.of_growth((from_core + from_whole) / 2, growth, lambda_mm)
        by_core = Front.of_growth(from_core, growth, lambda_mm)
        return by_mean, by_core.from_time(by_core.time_of(core))
    known = from_whole if from_core is None else from_core
    if known is None:
        known = np.full(growth.shape, np.inf, np.float32)
    front = Front.of_growth(known, growth, lambda_mm)
    at_core, at_whole = front.time_of(core), front.time_of(whole)
    return front.from_time((at_core + at_whole) / 2), front.from_time(at_core)


def rising(growth: NDArray[np.float32]) -> NDArray[np.float32]:
    """From 0 where the growth has no cells to 1 where it has, smoothly in the logit."""
    low, high = (float(logit(u)) for u in (GROWTH_FROM, GROWTH_FULL))
    z = logit(np.clip(growth, GROWTH_FROM, GROWTH_FULL))
    x = (z - low) / (high - low)
    return x * x * (3 - 2 * x)
