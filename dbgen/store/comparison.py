"""Whether stored outlines are those of a density that was simulated again."""

from __future__ import annotations

import numpy as np

from ...solver import Thresholds, TumorDensity, TumorMasks

OUTLINE_TOLERANCE = 1e-4
"""Densities this near to a threshold may lie on either side of it on another processor."""


def differing_outlines(
    stored: TumorMasks, density: TumorDensity, thresholds: Thresholds
) -> list[str]:
    """Which of the stored outlines, 'core' and 'whole', are not those of a density.

    Voxels within 1e-4 of the threshold are left out: another processor may round them to the other
    side.

    Parameters
    ----------
    stored : TumorMasks
    density : TumorDensity
        The density to compare with, on the same grid.
    thresholds : Thresholds
        Densities at which the outlines were drawn.

    Returns
    -------
    list of str
        Some of "core" and "whole".
    """
    u = density.u
    differing = []
    for name in ("core", "whole"):
        level = getattr(thresholds, name)
        wrong = (u >= np.float32(level)) != getattr(stored, name)
        if wrong[np.abs(u - level) > OUTLINE_TOLERANCE].any():
            differing.append(name)
    return differing
