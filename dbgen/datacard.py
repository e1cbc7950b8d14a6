"""What a database holds, in numbers and as a page for people: `DATACARD.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .database import Database
from .files import completed
from .shard import VARIABLES

CARD = "DATACARD.md"
N_VOLUME_BINS = 10
BAR_LENGTH = 40
STORED = ("dw", "rho", "days", "lambda_mm", "rho_t", "whole_ml", "core_ml")
"""Variables whose stored values are summarised."""


@dataclass(frozen=True)
class DatabaseFacts:
    """A database in numbers.

    Attributes
    ----------
    path : Path
    checksum : str
        Identifies the content, see `Database.checksum`.
    package_version : str
        Version of glioquery that began it.
    model : dict
        Name, equation and settings of the growth model.
    space : dict
        Ranges and limits that were asked for.
    sampler : str
    seed : int
    thresholds : dict
        Densities of the two outlines.
    store : {'density', 'outlines'}
    n_samples, n_runs, n_draws : int
        Tumours; accepted runs they are snapshots of; runs simulated for that, the rejected ones
        included.
    acceptance : float
        n_runs / n_draws.
    stored : dict
        Least value, median and greatest value of each parameter and volume, by name.
    volume_edges_ml : tuple of float
        Edges of the histogram of the whole outlines' volumes: equal steps of the cube root.
    volume_counts : tuple of int
        Tumours between them.
    core_seconds : float
        Time of one core that all tumours took, rejected draws included.
    processors : dict
        Tumours by what they were simulated on.
    n_bytes : int
        Size of the shards on disk.
    """

    path: Path
    checksum: str
    package_version: str
    model: dict[str, Any]
    space: dict[str, Any]
    sampler: str
    seed: int
    thresholds: dict[str, float]
    store: str
    n_samples: int
    n_runs: int
    n_draws: int
    acceptance: float
    stored: dict[str, tuple[float, float, float]]
    volume_edges_ml: tuple[float, ...]
    volume_counts: tuple[int, ...]
    core_seconds: float
    processors: dict[str, int]
    n_bytes: int


def describe_database(database: Database) -> DatabaseFacts:
    """Gather the facts of a finished database."""
    header, plan = database.header, database.header["plan"]
    values = database.parameters
    _, first_of_run = np.unique(values.run, return_index=True)
    n_draws = int((values.attempt.values[first_of_run] + 1).sum())
    low, high = plan["space"]["whole_ml"]["low"], plan["space"]["whole_ml"]["high"]
    inner = np.linspace(np.cbrt(low), np.cbrt(high), N_VOLUME_BINS + 1)[1:-1] ** 3
    edges = np.array([low, *inner, high])
    counts, _ = np.histogram(values.whole_ml, edges)
    processors: dict[str, int] = {}
    for record in database.records:
        name = record.processor or "not recorded"
        processors[name] = processors.get(name, 0) + record.last - record.first
    return DatabaseFacts(
        path=database.path,
        checksum=database.checksum,
        package_version=header["package_version"],
        model={key: plan["model"][key] for key in ("name", "equation", "settings")},
        space=plan["space"],
        sampler=plan["sampler"],
        seed=plan["seed"],
        thresholds=plan["thresholds"],
        store=header["store"],
        n_samples=database.n_samples,
        n_runs=len(first_of_run),
        n_draws=n_draws,
        acceptance=len(first_of_run) / n_draws,
        stored={
            name: (
                float(values[name].min()),
                float(values[name].median()),
                float(values[name].max()),
            )
            for name in STORED
        },
        volume_edges_ml=tuple(edges.tolist()),
        volume_counts=tuple(counts.tolist()),
        core_seconds=sum(record.seconds for record in database.records),
        processors=processors,
        n_bytes=sum(record.bytes for record in database.records),
    )


def write_card(database: Database) -> Path:
    """Write the database's card into its folder, complete or not at all."""
    path = database.path / CARD
    with completed(path) as temporary:
        temporary.write_text(card_text(describe_database(database)), encoding="utf-8")
    return path


def card_text(facts: DatabaseFacts) -> str:
    """The card, in Markdown."""
    space = facts.space
    units = {name: units for name, (_, units, _) in VARIABLES.items()}
    asked = {
        name: f"{space[name]['low']:g} to {space[name]['high']:g}"
        for name in ("dw", "rho", "days", "whole_ml")
    } | {"core_ml": f"at least {space['core_min_ml']:g}"}
    drawn = {name: space[name]["scale"] for name in ("dw", "rho", "days")}
    settings = ", ".join(f"{k} = {v}" for k, v in facts.model["settings"].items())
    each = facts.core_seconds / facts.n_samples
    parameters = [
        (name, units[name], asked.get(name, "derived"), drawn.get(name, ""), *map(_number, ends))
        for name, ends in facts.stored.items()
    ]
    content = [
        ("tumours", f"{facts.n_samples:,}"),
        ("tumours a run of the solver", f"{space['snapshots_per_run']}"),
        ("runs drawn", f"{facts.n_draws:,}"),
        ("runs accepted", f"{facts.n_runs:,}, {100 * facts.acceptance:.3g} %"),
        ("sampler", f"`{facts.sampler}`, seed {facts.seed}"),
        ("outlines", ", ".join(f"{k} {{u >= {v:g}}}" for k, v in facts.thresholds.items())),
        ("stored", "densities and outlines" if facts.store == "density" else "outlines"),
        ("size on disk", f"{facts.n_bytes / 1e6:,.3g} MB"),
        ("time of one core", f"{facts.core_seconds:,.0f} s, {each:.2g} s a tumour"),
        *(("simulated on", f"{name}: {n:,} tumours") for name, n in facts.processors.items()),
        ("content", f"`{facts.checksum}`"),
    ]
    return f"""# Data card: {facts.n_samples:,} simulated gliomas

Growth of gliomas simulated in the SRI24 atlas by glioquery {facts.package_version}. `database.json`
describes the database in full, each shard repeats it. Written by `glioquery generate`.

## Growth model

`{facts.model["name"]}`: {facts.model["equation"]}

Settings: {settings or "none"}.

## Content

{_table(("what", "this database"), content)}

## Parameters

{_table(("name", "unit", "range", "drawn", "least", "median", "greatest"), parameters)}

Origins are drawn uniformly in the tissue. From one scan lambda_mm = sqrt(dw / rho) and
rho_t = rho days are identifiable; dw, rho and days are not.

## Volumes of the whole outline

```
{_histogram(facts.volume_edges_ml, facts.volume_counts)}
```

## Licence

CC BY-SA 3.0: derived from SRI24 (T. Rohlfing et al., Human Brain Mapping 31:798-819, 2010).
"""


def _number(value: float) -> str:
    return f"{value:.3g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _histogram(edges: Sequence[float], counts: Sequence[int]) -> str:
    most = max(counts)
    return "\n".join(
        f"{low:6.1f} to {high:6.1f} ml {count:7,} {'#' * round(BAR_LENGTH * count / most)}".rstrip()
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    )
