"""Let a growth agree with the outlines that it was found for.

A growth that overlaps the outlines best still misses them by millimetres, for neither the tissue
nor the one diffusivity of the model is the patient's. The place of the outlines is known better
than any growth. So the growth gives the shape of the front, and the outlines its place:

    z(x) = F(t(x)),    t = t_core - (a + e) / 2,    e = t_core - t_whole - a, at most APART_MM

z is the logit of the density, t_core and t_whole the signed travel times from the outlines through
the patient's tissue (`travel`), smoothed (`smoothing`), a what lies between the growth's own
isolines, and F the profile of the growth, read off its own density by the same t from its own
isolines (`Front`). Where |e| is no more than `APART_MM`, t is the mean of the two times: both
outlines are drawn with errors, and their mean errs less than either. Where the outlines lie farther
apart or closer together than that, the whole one is taken as widened by oedema without cells, or
cut short, and the core's counts. Then two corrections:

- a share of the growth's own logit, where the growth has cells: it rests on all of both outlines
  together, and is the least noisy;
- near the core's outline, which contrast shows to a millimetre or two, z is what makes it the
  isoline of the core's threshold: the difference fades within `CORE_REACH_MM`. Inside, z does not
  fall below that threshold.

Where outlines and growth agree, nothing changes. Without a core, the density follows the whole
outline as it would follow a core's.

The constants were chosen on virtual patients whose tumours grew in another anatomy by another
solver; `glioquery trial` makes others, docs/trial.md has the figures.

References
----------
E. Konukoglu et al., Medical Image Analysis 14:111-125, 2010 (see `front`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...solver import Thresholds, TumorDensity, TumorMasks
from ..images.coarsening import coarsen_within
from ..images.nifti import Scan
from ..images.resampling import extend_from_tissue, resample_image, resample_masks
from ..travel import Terrain
from .front import Front, logit
from .smoothing import smooth_parts, smooth_times, smoothing_mm

GROWTH_SHARE = 0.25
"""Share of the growth's own logit in the agreed one."""

GROWTH_FROM, GROWTH_FULL = 1e-4, 1e-2
"""Densities of the growth at which its share begins and is full."""

CORE_REACH_MM = 3.0
"""Travel time from the core's outline over which the correction to it falls by e."""

APART_MM = 20.0
"""Largest difference between the outlines' distance and that of the growth's isolines, in travel
time, that moves the front. What exceeds it does not count: more than the oedema of the virtual
patients, on whom a bound of 6 loses coverage (docs/trial.md)."""

REACH_LAMBDAS = 12.0
"""Travel time from the outlines, as a multiple of lambda, up to which the front is followed, and
`travel.terrain.REACH_MM` at least: the density there is below 1e-5."""

PROFILE_MM = 2.0
"""Voxels in which the growth's profile is read."""

FINEST_MM = 0.8
"""Finer voxels are merged for the travel times."""

ROUNDING = 1e-6
"""Density by which the core's voxels lie above its threshold: more than float32 rounds."""

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

    def carried_to(self, terrain: Terrain, *, thresholds: Thresholds = Thresholds()) -> Agreement:
        """The agreement on another grid, by linear interpolation of the logits.

        Inside the core as it is outlined there, too, they do not fall below its threshold.

        Parameters
        ----------
        terrain : Terrain
            Terrain on the other grid.
        thresholds : Thresholds
            Densities that the outlines show.

        Returns
        -------
        Agreement
        """
        above = self.logits - np.float32(NOTHING)  # 0 where there are no cells, as beyond the image
        extended = extend_from_tissue(above, above > 0)
        carried = resample_image(Scan(extended, self.density.grid), terrain.grid).values
        logits = carried + np.float32(NOTHING)
        return self.of_logits(_raised(logits, terrain.outlines.core, thresholds.core), terrain)


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
        The density that agrees.

    Raises
    ------
    InputError
        If a speed is negative or not finite.
    """
    if max(round(FINEST_MM / s) for s in growth.grid.spacing_mm) > 1:
        coarse, speed = (
            coarsen_within(Scan(values, growth.grid), terrain.brain, FINEST_MM)
            for values in (growth.u, terrain.speed)
        )
        drawn, merged = terrain.outlines, resample_masks(terrain.outlines, coarse.grid)
        is_kept = merged.core.any() >= drawn.core.any() and merged.whole.any() >= drawn.whole.any()
        if is_kept:  # not of a few voxels
            there = agree(
                TumorDensity(coarse.values, coarse.grid),
                Terrain(merged, speed.values > 0, speed.values),
                lambda_mm=lambda_mm,
                thresholds=thresholds,
            )
            return there.carried_to(terrain, thresholds=thresholds)
    logits = _agree_on_grid(growth.u, terrain, lambda_mm, thresholds)
    return Agreement.of_logits(logits, terrain)


def _agree_on_grid(
    growth: NDArray[np.float32], terrain: Terrain, lambda_mm: float, thresholds: Thresholds
) -> NDArray[np.float32]:
    """Logits of the agreed density; -inf where no front comes within the terrain's reach."""
    levels = (thresholds.core, thresholds.whole)
    terrain = terrain.reaching(REACH_LAMBDAS * lambda_mm)
    # A profile is a mean over shells of voxels: those of the simulation grid do.
    coarse, coarse_speed = (
        coarsen_within(Scan(values, terrain.grid), terrain.brain, PROFILE_MM)
        for values in (growth, terrain.speed)
    )
    inside_core, inside_whole = (coarse.values >= level for level in levels)
    isolines = Terrain(
        TumorMasks(inside_core, inside_whole, coarse.grid),
        coarse_speed.values > 0,
        coarse_speed.values,
        terrain.reach_mm,
    )
    with ThreadPoolExecutor(2) as pool:
        (core, grown_core), (whole, grown_whole) = pool.map(
            _ways, (terrain,) * 2, (isolines,) * 2, ("from_core", "from_whole")
        )
    if core is None:
        core, grown_core, levels = whole, grown_whole, (thresholds.whole, thresholds.whole)
    logits = np.full(growth.shape, -np.inf, np.float32)
    if core is None:
        return logits
    placing, following, apart = _fronts(coarse.values, grown_core, grown_whole, lambda_mm, levels)
    if whole is None:  # no surface of it lies in the brain: the core's alone tells the time
        whole = core._replace(smooth=core.smooth - np.float32(apart))
    middle = _middle(core.smooth, whole.smooth, apart)
    reached = np.isfinite(middle)
    share = GROWTH_SHARE * rising(growth[reached])
    grown = logit(np.clip(growth[reached], GROWTH_FROM, 1 - GROWTH_FROM))
    placed = placing.at(middle[reached])
    placed += share * (grown - placed)
    along = core.times[reached]
    placed += np.exp(-np.abs(along) / CORE_REACH_MM) * (following.at(along) - placed)
    logits[reached] = _raised(placed, along < 0, levels[0])
    return logits


def _raised(
    logits: NDArray[np.float32], inside: NDArray[np.bool_], level: float
) -> NDArray[np.float32]:
    """The logits, no lower inside an outline than the one of its density."""
    return np.where(inside, np.maximum(logits, logit(level + ROUNDING)), logits)


class _Way(NamedTuple):
    """Travel times from an outline, as they are and smoothed."""

    times: NDArray[np.float32]
    smooth: NDArray[np.float32]


def _ways(terrain: Terrain, isolines: Terrain, name: str) -> tuple[_Way | None, _Way | None]:
    """The ways from a drawn outline and from the growth's isoline, smoothed as its deepest part."""
    drawn: NDArray[np.float32] | None = getattr(terrain, name)
    grown: NDArray[np.float32] | None = getattr(isolines, name)
    if drawn is None:
        return None, None
    way = _Way(drawn, smooth_parts(drawn, terrain.grid.spacing_mm))
    if grown is None:
        return way, None
    smooth = smooth_times(grown, isolines.grid.spacing_mm, smoothing_mm(drawn))
    return way, _Way(grown, smooth)


def _middle(
    core: NDArray[np.float32], whole: NDArray[np.float32], apart_mm: float
) -> NDArray[np.float32]:
    """The travel time t that both outlines tell; +inf where one front does not arrive."""
    both = np.isfinite(core) & np.isfinite(whole)
    excess = np.clip(core[both] - whole[both] - np.float32(apart_mm), -APART_MM, APART_MM)
    middle = np.full(core.shape, np.inf, np.float32)
    middle[both] = core[both] - (np.float32(apart_mm) + excess) / 2
    return middle


def _fronts(
    growth: NDArray[np.float32],
    core: _Way | None,
    whole: _Way | None,
    lambda_mm: float,
    levels: tuple[float, float],
) -> tuple[Front, Front, float]:
    """The growth's profile by `_middle` and by the first outline; time between its isolines.

    A growth that never reaches a level lends the profile from its other isoline, shifted.
    """

    def between(front: Front) -> tuple[float, float]:
        at_core, at_whole = (front.time_of(level) for level in levels)
        return at_core, at_whole - at_core

    if core is not None and whole is not None:
        _, apart = between(Front.of_growth(core.smooth, growth, lambda_mm))
        middle = _middle(core.smooth, whole.smooth, apart)
        following = Front.of_growth(core.times, growth, lambda_mm)
        at_core, _ = between(following)
        return Front.of_growth(middle, growth, lambda_mm), following.from_time(at_core), apart
    known = whole if core is None else core
    times = np.full(growth.shape, np.inf, np.float32) if known is None else known.times
    front = Front.of_growth(times, growth, lambda_mm)
    at_core, apart = between(front)
    return front.from_time(at_core + apart / 2), front.from_time(at_core), apart


def rising(growth: NDArray[np.float32]) -> NDArray[np.float32]:
    """From 0 where the growth has no cells to 1 where it has, smoothly in the logit."""
    low, high = (float(logit(u)) for u in (GROWTH_FROM, GROWTH_FULL))
    z = logit(np.clip(growth, GROWTH_FROM, GROWTH_FULL))
    x = (z - low) / (high - low)
    return x * x * (3 - 2 * x)
