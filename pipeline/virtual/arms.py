"""What decides a virtual patient beside its number: the trial's seed, and its arms."""

from __future__ import annotations

from typing import Literal, get_args

Arm = Literal["a", "b", "c"]
"""Cells alone; oedema without cells, to one side; tissue that the tumour has pushed."""

ARMS: tuple[Arm, ...] = get_args(Arm)

SEED = 2026
"""Of the patients of the trial and of the demonstration."""
