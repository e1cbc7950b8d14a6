"""Synthetic queries: tumours of a database's own space that are not in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..dbgen import Database, generate

GROWTH = ("origin_x_mm", "origin_y_mm", "origin_z_mm", "dw", "rho", "days")


def draw_queries(
    database: Database,
    n: int,
    folder: Path,
    *,
    seed: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Database:
    """Draw tumours of a database's space with another seed, one of each run.

    Parameters
    ----------
    database : Database
    n : int
        Number of tumours.
    folder : Path
        Where they are kept, as a database of their own that stores outlines; one that was begun
        there is completed.
    seed : int, optional
        Of the draws; the database's own seed plus one by default.
    progress : callable

    Returns
    -------
    Database

    Raises
    ------
    ValueError
        If the seed is the database's own, or a tumour drawn is in the database.
    DatabaseError
        If the folder holds tumours of another space or seed.
    """
    plan = database.plan
    seed = (plan.seed + 1) % 2**32 if seed is None else seed
    if seed == plan.seed:
        raise ValueError(f"{database.path} was drawn with seed {seed}: choose another for queries")
    # Snapshots of one run are alike: a query of each run says more.
    space = dataclasses.replace(plan.space, snapshots_per_run=1)
    plan = dataclasses.replace(plan, space=space, seed=seed)
    drawn = generate(folder, n, plan=plan, store="outlines", progress=progress)
    known = {row.tobytes() for row in _growths(database)}
    for sample, row in enumerate(_growths(drawn)):
        if row.tobytes() in known:
            raise ValueError(
                f"synthetic query {sample} is in {database.path}: its sampler draws the same "
                "tumours whatever the seed, give real cases instead"
            )
    return drawn


def _growths(database: Database) -> NDArray[np.float64]:
    """Growth parameters (n, 6) of all samples."""
    columns = [database.parameters[name].values.astype(np.float64) for name in GROWTH]
    return np.stack(columns, axis=1)
