"""How long each time step is: as long as its error allows.

Two scales bound a step. Growth: Strang splitting errs with (rho dt)^2. Smoothness: a young tumour
is close to a Gaussian of variance sd^2 + 2 D t, and diffusion over dt is resolved while it widens
that variance by a small share. The length of a step is a function of the time alone, never of what
is asked of the run, so that runs of different length share their steps; and it scales exactly
with (dw, rho, 1 / days).
"""

from __future__ import annotations

from dataclasses import dataclass

from .seed import SEED_SD_MM


@dataclass(frozen=True)
class Accuracy:
    """Shares that bound a time step.

    Attributes
    ----------
    growth : float
        Largest rho dt.
    widening : float
        Largest 2 D dt / (sd^2 + 2 D t), the relative widening of a Gaussian in one step.
    """

    growth: float = 0.4
    widening: float = 0.2

    def __post_init__(self) -> None:
        if not (0 < self.growth <= 2 and 0 < self.widening <= 2):
            raise ValueError(
                "growth and widening lie in (0, 2], "
                f"got growth={self.growth}, widening={self.widening}"
            )

    def refined(self, factor: float) -> Accuracy:
        """Steps `factor` times as short."""
        return Accuracy(self.growth / factor, self.widening / factor)

    def steps(self, days: float, dw: float, rho: float, longest: float) -> list[float]:
        """Lengths of all the steps of a run, which add up to its duration; see `step_days`."""
        lengths: list[float] = []
        now = 0.0
        while now < days:
            step = self.step_days(now, dw, rho, longest)
            end = now + step
            lengths.append(step if end <= days else days - now)
            now = end
        return lengths

    def step_days(self, days: float, dw: float, rho: float, longest: float) -> float:
        """Length of the step that begins at a time.

        Parameters
        ----------
        days : float
            Time since the seed.
        dw : float
            Largest diffusivity, mm^2/day.
        rho : float
            Fastest rate, 1/day.
        longest : float
            Longest step that can be kept stable, days.
        """
        bounds = [longest]
        if rho > 0:
            bounds.append(self.growth / rho)
        if dw > 0:
            bounds.append(self.widening * (SEED_SD_MM**2 / (2 * dw) + days))
        return min(bounds)
