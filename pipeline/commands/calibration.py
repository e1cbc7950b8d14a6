"""The command about intervals: calibrate."""

from __future__ import annotations

from typing import Annotated

import typer

from ...query.index.opening import open_database
from ..terminal.printing import show, show_table
from ..terminal.progress import progress_bar
from ..uncertainty.interval_factors import FILE, N_TUMOURS, QUANTITIES, SEED
from .opening import open_index
from .options import DatabaseFolder, Json


def calibrate_command(
    database: DatabaseFolder,
    n: Annotated[int, typer.Option("--n", help="Simulated tumours to calibrate on.")] = N_TUMOURS,
    seed: Annotated[int, typer.Option(help="Of their draws, another than the database's.")] = SEED,
    as_json: Json = False,
) -> None:
    """Calibrate the intervals that `invert` gives with a database; the same command resumes."""
    source = open_database(database)

    from ..virtual.calibration import calibrate

    found = calibrate(source, open_index(source), n=n, seed=seed, bars=progress_bar)
    facts = {"calibration": str(source.path / FILE), "tumours": dict(found.n_tumours)}
    if as_json:
        show({**facts, "factors": found.factors}, as_json)
        return
    show(facts, as_json)
    show_table(
        [
            {"factor of": name, **{kind: found.factors[kind][name] for kind in found.factors}}
            for name in QUANTITIES
        ]
    )
