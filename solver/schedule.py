"""How long each time step is: as long as its error allows.

Two scales bound a step. Growth: Strang splitting errs with (rho dt)^2, least where the front is
wide against a voxel. Smoothness: a young tumour is close to a Gaussian of variance sd^2 + 2 D t,
and diffusion over dt is resolved while it widens that variance by a small share; a later seed
begins that again. The length of a step is a function of the time alone, never of what is asked of
the run, so that runs of different length share their steps; and it scales exactly with (dw, rho,
1 / days).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import InputError
from .seed import SEED_SD_MM

SCHEME = "strang-rkl2-2"
"""Name of the time integration, recorded with what it computes; the number rises with every change
that moves a step."""

MAX_STEPS = 200_000
"""Most time steps of a run, as `Accuracy.require_end` reckons them: 800 for the fastest growth of
the default space, 180,000 for it at the least tolerance that `Accuracy.for_error` takes."""

DEFAULT_ERROR = 5e-3
"""Relative L2 error of the density that the default bounds keep."""


@dataclass(frozen=True)
class Accuracy:
    """Shares that bound a time step.

    Attributes
    ----------
    growth : float
        Largest rho dt of a front of lambda = sqrt(D / rho) that is narrow against a voxel. A wide
        one may take `leeway` times as long.
    widening : float
        Largest 2 D dt / (sd^2 + 2 D t), the relative widening of a Gaussian in one step, with the
        same leeway.

    Notes
    -----
    Measured over 100 draws of the default space: a narrow front's error is that of its whole long
    run (3e-3 at lambda = 0.7 mm), a wide one's an eighth of it at equal growth. With the leeway all
    draws come near the same error, at 0.83 of the work (docs/verification.md).
    """

    growth: float = 0.39
    widening: float = 0.25

    def __post_init__(self) -> None:
        object.__setattr__(self, "growth", float(self.growth))  # NumPy's numbers, too
        object.__setattr__(self, "widening", float(self.widening))
        if not (0 < self.growth <= 2 and 0 < self.widening <= 2):
            raise InputError(
                "growth and widening lie in (0, 2], "
                f"got growth={self.growth}, widening={self.widening}"
            )

    @classmethod
    def for_error(cls, relative_l2: float) -> Accuracy:
        """Bounds that keep the time error below a tolerance, in relative L2 of the density.

        The error is of second order: the bounds scale with the root of the tolerance. At the
        default, 5e-3, they are those that were measured.

        Parameters
        ----------
        relative_l2 : float
            The tolerance.

        Returns
        -------
        Accuracy

        Raises
        ------
        InputError
            Unless 1e-7 <= relative_l2 <= 0.05, where that scaling was seen to hold.
        """
        if not 1e-7 <= relative_l2 <= 0.05:
            raise InputError(f"a time error lies in [1e-7, 0.05], got {relative_l2}")
        return cls().refined(math.sqrt(DEFAULT_ERROR / relative_l2))

    def refined(self, factor: float) -> Accuracy:
        """Steps `factor` times as short.

        Parameters
        ----------
        factor : float
            Factor by which steps get shorter.

        Returns
        -------
        Accuracy
        """
        return Accuracy(self.growth / factor, self.widening / factor)

    def require_end(self, pace: Pace, days: float) -> None:
        """See that a run comes to its end in about `MAX_STEPS` steps at most.

        Their number follows from the longest steps that its growth and its diffusion allow.

        Parameters
        ----------
        pace : Pace
            The rates of the growth.
        days : float
            Its duration.

        Raises
        ------
        InputError
            If it takes more.
        """
        from .supertime import longest_step  # here: it imports JAX

        longest = longest_step(pace.explicit_limit_days)
        n_steps = pace.rho * days / self.growth + (days / longest if longest else math.inf)
        if n_steps > MAX_STEPS:
            raise InputError(
                f"dw {pace.dw:g} mm^2/day, rho {pace.rho:g} 1/day and {days:g} days take about "
                f"{n_steps:.2g} time steps, and a run has at most {MAX_STEPS}: give a smaller dw "
                "or rho, or fewer days"
            )

    def steps(self, pace: Pace, days: float) -> list[float]:
        """Lengths of all the steps of a run, which add up to its duration.

        Parameters
        ----------
        pace : Pace
            The rates of the growth.
        days : float
            Its duration.

        Returns
        -------
        list of float
            In days.

        Raises
        ------
        InputError
            If they are too many (see `require_end`).
        """
        self.require_end(pace, days)
        lengths: list[float] = []
        now = 0.0
        while now < days:
            step = self.step_days(pace, now)
            end = now + step
            lengths.append(step if end <= days else days - now)
            now = end
        return lengths

    def step_days(self, pace: Pace, now: float) -> float:
        """Length of the step that begins at a time, in days since the seed.

        Parameters
        ----------
        pace : Pace
            The rates of the growth.
        now : float
            Time at which the step begins, days since the seed.

        Returns
        -------
        float
            In days.
        """
        from .supertime import longest_step, thrifty_step  # here: it imports JAX

        until_late = pace.late_days - now
        is_early = until_late > 1e-9 * pace.late_days or math.isinf(pace.late_days)
        if not is_early:
            now -= pace.late_days
        bounds = [longest_step(pace.explicit_limit_days)]
        if pace.rho > 0:
            bounds.append(self.growth * leeway(pace) / pace.rho)
        if pace.diffusivity > 0:
            widening = self.widening * leeway(pace)
            bounds.append(widening * (SEED_SD_MM**2 / (2 * pace.diffusivity) + now))
        if math.isinf(min(bounds)):  # nothing grows and nothing spreads
            return until_late if is_early else math.inf
        step = thrifty_step(min(bounds), pace.explicit_limit_days)
        return min(step, until_late) if is_early else step


@dataclass(frozen=True)
class Pace:
    """What the length of a run's steps depends on.

    Attributes
    ----------
    dw, rho : float
        Diffusivity and rate of the tumour cells, mm^2/day and 1/day.
    diffusivity : float
        Diffusivity of the fastest field, mm^2/day.
    explicit_limit_days : float
        Longest step of explicit Euler that is stable; infinite where nothing diffuses.
    spacing_mm : float
        Largest voxel spacing.
    late_days : float
        Time of the last seed, which begins a tumour as smooth as the first was; a step ends there.
        Infinite where it never comes.
    """

    dw: float
    rho: float
    diffusivity: float
    explicit_limit_days: float
    spacing_mm: float
    late_days: float = 0.0


def leeway(pace: Pace) -> float:
    """How much longer a step may be for the width of the front: 1.25 (lambda / h)^0.6, 1 to 1.6."""
    if pace.rho == 0:
        return 1.0
    front = math.sqrt(pace.dw / pace.rho) / pace.spacing_mm
    return min(max(1.25 * front**0.6, 1.0), 1.6)
