"""What a database holds, in numbers and as a page for people: `DATACARD.md`."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..solver.declarations import RATES, Declared
from .machine.files import write_text
from .store.database import Database
from .store.shard import count_draws, variables_of
from .study.samplers import find_sampler
from .study.space import ParameterSpace
from .study.values import Choices

CARD = "DATACARD.md"
N_VOLUME_BINS = 10
BAR_LENGTH = 40
MAX_POINTS = 8
"""Origins that are listed one by one."""


@dataclass(frozen=True)
class Licence:
    """The licence under which a database may be passed on.

    Attributes
    ----------
    text : str
    url : str, optional
        Address of the licence itself.
    """

    text: str
    url: str | None = None

    def __str__(self) -> str:
        return self.text if self.url is None else f"{self.text} {self.url}"


LICENCES = {
    "SRI24": Licence(
        "CC BY-SA 3.0: derived from SRI24 (T. Rohlfing et al., Human Brain Mapping 31:798-819, "
        "2010).",
        "https://creativecommons.org/licenses/by-sa/3.0/",
    )
}
"""Licence of simulations in an atlas, by the atlas's name."""


@dataclass(frozen=True)
class PartFacts:
    """The request behind a database, or behind one part of a merged database.

    Attributes
    ----------
    n_samples : int
    sampler : str
    seed : int
    space : dict
        Values and limits.
    settings : dict
        Values of its growth model.
    """

    n_samples: int
    sampler: str
    seed: int
    space: dict[str, Any]
    settings: dict[str, Any]


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
        Name and equation of the growth model, and the settings that all parts have.
    parameters : dict
        What the model declares of its own parameters.
    units : dict
        Unit of each variable in `stored`.
    parts : tuple of PartFacts
        One, or more if the database was merged.
    atlas : str
        Name of the atlas in which the tumours grew.
    thresholds : dict
        Densities of the two outlines.
    store : {'density', 'outlines'}
    ventricles : bool
        Whether the ventricles are stored that the tumours have pushed.
    n_samples, n_runs, n_draws : int
        Tumours; accepted runs that they are snapshots of; simulated runs, rejected ones included.
    acceptance : float
        n_runs / n_draws.
    n_outside : int
        Tumours whose size lies outside the limits of their space: a sweep keeps all of its points.
    stored : dict
        Least value, median and greatest value of each parameter and volume, by name.
    volume_edges_ml : tuple of float
        Edges of the histogram of the whole outlines' volumes: equal steps of the cube root.
    volume_counts : tuple of int
        Tumours between consecutive edges.
    core_seconds : float
        Processor time that all tumours took, rejected draws included.
    processors : dict
        Tumours by the processor that simulated them.
    n_bytes : int
        Size of the shards on disk.
    """

    path: Path
    checksum: str
    package_version: str
    model: dict[str, Any]
    parameters: dict[str, Any]
    units: dict[str, str]
    parts: tuple[PartFacts, ...]
    atlas: str
    thresholds: dict[str, float]
    store: str
    ventricles: bool
    n_samples: int
    n_runs: int
    n_draws: int
    acceptance: float
    n_outside: int
    stored: dict[str, tuple[float, float, float]]
    volume_edges_ml: tuple[float, ...]
    volume_counts: tuple[int, ...]
    core_seconds: float
    processors: dict[str, int]
    n_bytes: int


def describe_database(database: Database) -> DatabaseFacts:
    """Gather the facts of a finished database.

    Parameters
    ----------
    database : Database

    Returns
    -------
    DatabaseFacts
    """
    header, plan, declared = database.header, database.header["plan"], database.declared
    parameters = [one.name for one in (*RATES, *declared.parameters)]
    stored = [*parameters, *(c.name for c in declared.all_combinations), "whole_ml", "core_ml"]
    values = database.parameters
    n_runs, n_draws = count_draws(values.run.values, values.attempt.values)
    outside = _outside(database)
    edges = _volume_edges(database, values.whole_ml.values[outside])
    counts, _ = np.histogram(values.whole_ml, edges)
    processors: dict[str, int] = {}
    for record in database.records:
        name = record.processor or "not recorded"
        processors[name] = processors.get(name, 0) + record.last - record.first
    parts = tuple(
        PartFacts(
            part.last - part.first,
            part.space.sampler,
            part.seed,
            {key: value for key, value in part.space.to_dict().items() if key != "sampler"},
            part.description["model"]["settings"],
        )
        for part in database.parts
    )
    return DatabaseFacts(
        path=database.path,
        checksum=database.checksum,
        package_version=header["package_version"],
        model={key: plan["model"][key] for key in ("name", "equation")}
        | {"settings": _shared(part.settings for part in parts)},
        parameters=declared.describe(),
        units={name: variables_of(header)[name][1] for name in stored},
        parts=parts,
        atlas=plan["atlas"]["name"],
        thresholds=plan["thresholds"],
        store=header["store"],
        ventricles=database.stores_ventricles,
        n_samples=database.n_samples,
        n_runs=n_runs,
        n_draws=n_draws,
        acceptance=n_runs / n_draws,
        n_outside=int(outside.sum()),
        stored={
            name: (
                float(values[name].min()),
                float(values[name].median()),
                float(values[name].max()),
            )
            for name in stored
        },
        volume_edges_ml=tuple(edges.tolist()),
        volume_counts=tuple(counts.tolist()),
        core_seconds=sum(record.seconds for record in database.records),
        processors=processors,
        n_bytes=sum(record.bytes for record in database.records),
    )


def _shared(settings: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The settings that are the same in all of some."""
    first, *others = settings
    return {
        name: value
        for name, value in first.items()
        if all(name in other and other[name] == value for other in others)
    }


def _outside(database: Database) -> NDArray[np.bool_]:
    """For each tumour, whether its size lies outside the limits of its space."""
    values = database.parameters
    whole, core = values.whole_ml.values, values.core_ml.values
    outside = np.zeros(database.n_samples, dtype=bool)
    for part in database.parts:
        rows, space = slice(part.first, part.last), part.space
        outside[rows] = (
            (whole[rows] < space.whole_ml.low)
            | (whole[rows] > space.whole_ml.high)
            | (core[rows] < space.core_min_ml)
        )
    return outside


def _volume_edges(database: Database, outside_ml: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges that hold the requested sizes, and those of the tumours outside them."""
    limits = [part.space.whole_ml for part in database.parts]
    low = min([limit.low for limit in limits] + outside_ml.tolist())
    high = max([limit.high for limit in limits] + outside_ml.tolist())
    inner = np.linspace(np.cbrt(low), np.cbrt(high), N_VOLUME_BINS + 1)[1:-1] ** 3
    return np.array([low, *inner, high])


def licence_of(atlas: str) -> Licence:
    """The licence of what is simulated in an atlas.

    Parameters
    ----------
    atlas : str
        Name of the atlas.

    Returns
    -------
    Licence
    """
    own = Licence(f"The licence of the atlas {atlas}, from which the database derives.")
    return LICENCES.get(atlas, own)


def write_card(database: Database) -> Path:
    """Write the database's card into its folder, complete or not at all.

    Parameters
    ----------
    database : Database

    Returns
    -------
    Path
        The card's.
    """
    path = database.path / CARD
    write_text(path, card_text(describe_database(database)))
    return path


def _stored_in_words(facts: DatabaseFacts) -> str:
    """What is stored of each tumour."""
    stored = "densities and outlines" if facts.store == "density" else "outlines"
    return f"{stored}, and the pushed ventricles" if facts.ventricles else stored


def card_text(facts: DatabaseFacts) -> str:
    """The card, in Markdown."""
    declared = Declared.of(facts.parameters)
    spaces = [
        ParameterSpace.from_dict(part.space | {"sampler": part.sampler}, declared.parameters)
        for part in facts.parts
    ]
    own = {one.name for one in declared.parameters}
    names = dict.fromkeys(name for part in facts.parts for name in part.settings)
    settings = ", ".join(
        f"{k} = {_joined(str(part.settings[k]) for part in facts.parts if k in part.settings)}"
        for k in names
    )
    each = facts.core_seconds / facts.n_samples
    parameters = [
        (
            name,
            facts.units[name],
            _joined(_asked(name, space, own) for space in spaces),
            _joined(_drawn(name, space) for space in spaces),
            *map(_number, ends),
        )
        for name, ends in facts.stored.items()
    ]
    content = [
        ("tumours", f"{facts.n_samples:,}"),
        *_part_rows(facts),
        ("tumours a run of the solver", _joined(str(s.snapshots_per_run) for s in spaces)),
        *(("conditions", text) for text in [_joined(map(_conditions, spaces))] if text),
        ("runs drawn", f"{facts.n_draws:,}"),
        ("runs accepted", f"{facts.n_runs:,}, {100 * facts.acceptance:.3g} %"),
        ("tumours outside the limits of size", f"{facts.n_outside:,}"),
        ("outlines", ", ".join(f"{k} {{u >= {v:g}}}" for k, v in facts.thresholds.items())),
        ("stored", _stored_in_words(facts)),
        ("size on disk", f"{facts.n_bytes / 1e6:,.3g} MB"),
        ("processor time", f"{facts.core_seconds:,.0f} s, {each:.2g} s a tumour"),
        *(("simulated on", f"{name}: {n:,} tumours") for name, n in facts.processors.items()),
        ("content", f"`{facts.checksum}`"),
    ]
    return f"""# Data card: {facts.n_samples:,} simulated gliomas

Growth of gliomas simulated in the atlas {facts.atlas} by glioquery {facts.package_version}.
`database.json` describes the database in full. Written by `glioquery` when it was complete.

## Growth model

`{facts.model["name"]}`: {facts.model["equation"]}

Settings: {settings or "none"}.

## Content

{_table(("what", "this database"), content)}

## Parameters

{_table(("name", "unit", "asked for", "drawn", "least", "median", "greatest"), parameters)}

Origins: {_joined(map(_origins, spaces))}. {_told_by_a_scan(declared)}

## Volumes of the whole outline

```
{_histogram(facts.volume_edges_ml, facts.volume_counts)}
```

## Licence

{licence_of(facts.atlas)}
"""


def _conditions(space: ParameterSpace) -> str:
    return ", ".join(f"`{condition}`" for condition in space.where)


def _part_rows(facts: DatabaseFacts) -> Iterator[tuple[str, str]]:
    """How each part was drawn."""
    first = 0
    for part in facts.parts:
        name = "sampler"
        if len(facts.parts) > 1:
            name = f"sampler of tumours {first} to {first + part.n_samples - 1}"
        yield name, f"`{part.sampler}`, seed {part.seed}"
        first += part.n_samples


def _told_by_a_scan(declared: Declared) -> str:
    """Which combinations of the parameters one scan determines, wrapped to lines."""
    told = [f"{one.name} = {one.formula}" for one in declared.all_combinations]
    scaled = list(declared.symmetry)
    if not scaled:
        return f"{' and '.join(told)} follow from the parameters."
    return textwrap.fill(
        f"From one scan {' and '.join(told)} are identifiable; {', '.join(scaled[:-1])} and "
        f"{scaled[-1]} are not.",
        width=100,
    )


def _asked(name: str, space: ParameterSpace, own: Collection[str]) -> str:
    """What a space says about a stored variable."""
    if name == "core_ml":
        return f"at least {space.core_min_ml:g}"
    asked = space.values().get(name) or getattr(space, name, None)
    if asked is None:
        return "the model's" if name in own else "derived"
    return str(asked)


def _drawn(name: str, space: ParameterSpace) -> str:
    """How a sampler comes to a variable's value."""
    asked = space.values().get(name) or getattr(space, name, None)
    if asked is None or name == "whole_ml":
        return ""
    if space.table is not None:
        return "table"
    if name == "days" and not find_sampler(space.sampler).independent:
        return "when the volume is reached"
    if name in ("dw", "rho") and space.lambda_mm is not None:
        return "by lambda_mm"
    if isinstance(asked, Choices):
        return "list"
    return "fixed" if asked.is_fixed else asked.scale


def _origins(space: ParameterSpace) -> str:
    if space.table is not None:
        return f"those of {len(space.table)} rows of a table"
    if space.origin_mm is None:
        return "uniform in the tissue"
    if len(space.origin_mm) > MAX_POINTS:
        return f"{len(space.origin_mm)} points"
    return ", ".join(f"({x:g}, {y:g}, {z:g})" for x, y, z in space.origin_mm) + " mm"


def _joined(texts: Iterable[str]) -> str:
    """The texts of all parts, each once."""
    return "; ".join(text for text in dict.fromkeys(texts) if text)


def _number(value: float) -> str:
    return f"{value:.3g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def _histogram(edges: Sequence[float], counts: Sequence[int]) -> str:
    most = max(counts)
    return "\n".join(
        f"{low:6.1f} to {high:6.1f} ml {count:7,} {'#' * round(BAR_LENGTH * count / most)}".rstrip()
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    )
