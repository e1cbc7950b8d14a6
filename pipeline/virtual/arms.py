"""The arms of the trial: what a scan of a virtual patient shows beside the tumour's cells."""

from __future__ import annotations

from typing import Literal, get_args

Arm = Literal["a", "b", "c"]
"""Cells alone; oedema without cells, to one side; tissue that the tumour has pushed."""

ARMS: tuple[Arm, ...] = get_args(Arm)
