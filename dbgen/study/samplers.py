"""The ways to draw from a parameter space, by name; `sampling` holds what each draws."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InputError


@dataclass(frozen=True)
class Sampler:
    """What a sampler requires of a parameter space.

    Attributes
    ----------
    independent : bool
        Whether each tumour is drawn by itself, so that a run yields one.
    sweeps : bool
        Whether it takes every point of a grid, or row of a table, once: run r is point r, its
        tumour is kept whatever size it has, and never drawn again.
    has_points : bool
        Whether its design has a number of points, which the study gives.
    """

    independent: bool
    sweeps: bool = False
    has_points: bool = False


SAMPLERS = {
    "trajectory": Sampler(independent=False),
    "uniform": Sampler(independent=True),
    "sobol": Sampler(independent=True),
    "latin-hypercube": Sampler(independent=True, has_points=True),
    "identifiable": Sampler(independent=False),
    "grid": Sampler(independent=True, sweeps=True),
    "table": Sampler(independent=True, sweeps=True),
}
"""Samplers by the names that studies use."""


def find_sampler(name: object) -> Sampler:
    """Find a sampler by its name.

    Parameters
    ----------
    name : object
        A key of `SAMPLERS`.

    Returns
    -------
    Sampler

    Raises
    ------
    InputError
        If there is no such sampler; the message lists all.
    """
    if not isinstance(name, str) or name not in SAMPLERS:
        raise InputError(f"unknown sampler {name!r}: choose one of {', '.join(SAMPLERS)}")
    return SAMPLERS[name]
