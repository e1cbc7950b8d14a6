"""Seed and arms of virtual patients."""

from __future__ import annotations

from typing import Literal, get_args

Arm = Literal["a", "b", "c"]
"""Arms: cells alone; oedema without cells, to one side; tissue that the tumour has pushed."""

ARMS: tuple[Arm, ...] = get_args(Arm)

SEED = 2026
"""Seed of the patients of the trial and of the demonstration."""
