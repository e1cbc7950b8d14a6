"""Which patients take part in a trial, and in which arms; checked without slow imports."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import InputError
from ..virtual.arms import ARMS, SEED, Arm

N_PATIENTS = 40
ALL_ARMS = "".join(ARMS)


@dataclass(frozen=True)
class TrialPlan:
    """Which patients take part.

    Attributes
    ----------
    n_patients : int
    first : int
        Number of the first one. A trial must not use patients on which a constant was chosen.
    arms : str
        Some of the letters of `ARMS`.
    seed : int

    Raises
    ------
    InputError
        If there is no patient or arm, an arm is not known, or a number is negative.
    """

    n_patients: int = N_PATIENTS
    first: int = 0
    arms: str = ALL_ARMS
    seed: int = SEED

    def __post_init__(self) -> None:
        if self.n_patients < 1 or self.first < 0 or self.seed < 0:
            raise InputError(
                "a trial has 1 patient or more, the first one's number and the seed are 0 or more, "
                f"got {self.n_patients} patients from {self.first} on with seed {self.seed}"
            )
        if not self.arms or len(set(self.arms)) < len(self.arms) or set(self.arms) - set(ARMS):
            raise InputError(
                f"arms are some of the letters {ALL_ARMS}, each once, got {self.arms!r}"
            )

    @property
    def patients(self) -> range:
        """Numbers of the patients."""
        return range(self.first, self.first + self.n_patients)

    @property
    def cases(self) -> list[tuple[int, Arm]]:
        """Each patient in each arm."""
        arms = [arm for arm in ARMS if arm in self.arms]
        return [(number, arm) for number in self.patients for arm in arms]
