"""Synthetic queries: tumours of a database's own space that are not in it."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ...dbgen import Database, Plan, generate
from ...dbgen.machine.progress import Progress, silent
from ...dbgen.study.samplers import find_sampler
from ...errors import InputError
from ...paths import StrPath
from ...solver.declarations import COMMON


def plan_queries(database: Database, seed: int | None = None) -> Plan:
    """The plan of synthetic queries: the database's plan with another seed, one tumour a run.

    Parameters
    ----------
    database : Database
        Database in which the queries search.
    seed : int, optional
        Seed of the queries; by default the database's seed plus one.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        If the database was merged and has no space of its own, the seed is the database's, or its
        sampler draws the same tumours whatever the seed.
    """
    if len(database.parts) > 1:
        raise InputError(
            f"{database.path} was merged from {len(database.parts)} databases and has no space of "
            "its own to draw queries from: evaluate its parts, or give --synthetic 0 and --cases"
        )
    plan = database.plan
    if find_sampler(plan.space.sampler).sweeps:
        raise InputError(
            f"the sampler {plan.space.sampler!r} of {database.path} draws the same tumours "
            "whatever the seed: give --synthetic 0 and --cases"
        )
    seed = (plan.seed + 1) % 2**32 if seed is None else seed
    if seed == plan.seed:
        raise InputError(f"{database.path} was drawn with seed {seed}: choose another for queries")
    # Snapshots of one run are alike: a query of each run says more.
    drawn = plan.drawn_anew(seed)
    space = dataclasses.replace(drawn.space, snapshots_per_run=1)
    return dataclasses.replace(drawn, space=space)


def draw_queries(
    database: Database,
    n: int,
    folder: StrPath,
    *,
    seed: int | None = None,
    progress: Progress = silent,
) -> Database:
    """Draw tumours of a database's space with another seed, one of each run.

    Parameters
    ----------
    database : Database
    n : int
        Number of tumours.
    folder : str or os.PathLike
        Where they are kept, as a database of their own that stores outlines; one that was begun
        there is completed.
    seed : int, optional
        Seed of the draws; the database's own seed plus one by default.
    progress : callable

    Returns
    -------
    Database

    Raises
    ------
    InputError
        As `plan_queries`, or if a tumour drawn is in the database.
    DatabaseError
        If the folder holds tumours of another space or seed.
    """
    plan = plan_queries(database, seed)
    drawn = generate(folder, n, plan=plan, store="outlines", progress=progress)
    names = [one.name for one in (*COMMON, *database.declared.parameters)]
    known = {row.tobytes() for row in _growths(database, names)}
    for sample, row in enumerate(_growths(drawn, names)):
        if row.tobytes() in known:
            raise InputError(f"synthetic query {sample} is in {database.path}: choose another seed")
    return drawn


def _growths(database: Database, names: list[str]) -> NDArray[np.float64]:
    """Named parameters (n, k) of all samples."""
    columns = [database.parameters[name].values.astype(np.float64) for name in names]
    return np.stack(columns, axis=1)
