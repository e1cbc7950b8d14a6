"""How good the strategies are: what each finds, compared with exact search.

For each query, the exact ranking by score is the truth. A strategy's *rank* is the place of its
first match in that ranking: one more than the number of tumours of a higher score. It is right in
the sense of Top-N if the rank is at most N. Its *regret* is the score it loses,

    regret = score of the best tumour - score of the strategy's first match,

and the *gap* of a query is the score between the best tumour and the second: where it is small, to
miss the best costs little.

Rows are kept in files while they are made. A row is taken up again where the database, the
strategy's state and the query are those it was made of.

References
----------
I. Ezhov et al., "A for-loop is all you need. For solving the inverse problem in the case of
personalized tumor growth modeling", PMLR 193:566-577, 2022, section 3, tables 1 and 2.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ...dbgen.machine.cores import processor
from ...dbgen.machine.files import write_json
from ...dbgen.machine.progress import Bars, Progress
from ...errors import InputError
from ...paths import StrPath
from ...solver import TumorMasks
from ...solver.own_settings import own_arithmetic
from ..exact import search
from ..index.index import Index
from ..match import Match
from ..strategies import open_strategy, search_with
from ..strategies.base import Strategy

DEPTH = 15
"""Places of the exact ranking that are examined."""

SAVE_EVERY_S = 5.0


@dataclass(frozen=True)
class QuerySet:
    """Queries of one kind.

    Attributes
    ----------
    name : str
        'real' or 'synthetic'.
    queries : sequence of str
        Names of the queries.
    load : callable
        Returns the outlines of query i, on the index's grid.
    """

    name: str
    queries: Sequence[str]
    load: Callable[[int], TumorMasks]


@dataclass(frozen=True)
class Contestant:
    """A strategy by name, and how many of its candidates are reranked (0: none)."""

    strategy: str
    rerank: int = 0

    @property
    def label(self) -> str:
        """Its name in tables."""
        return f"{self.strategy} + rerank {self.rerank}" if self.rerank else self.strategy


@dataclass(frozen=True)
class Row:
    """One query asked of one strategy.

    Attributes
    ----------
    queries, query, strategy : str
        Kind and name of the query, label of the contestant.
    sample, score, dice_core, dice_whole
        The strategy's first match.
    rank : int or None
        Its place in the exact ranking; None beyond `DEPTH`.
    best_sample, best_score, best_dice_core, best_dice_whole
        The first match of exact search.
    regret : float
    gap : float
        NaN in a database of one tumour.
    seconds : float
        Time of the query, scoring included.
    """

    queries: str
    query: str
    strategy: str
    sample: int
    score: float
    dice_core: float
    dice_whole: float
    rank: int | None
    best_sample: int
    best_score: float
    best_dice_core: float
    best_dice_whole: float
    regret: float
    gap: float
    seconds: float


@own_arithmetic()
def evaluate(
    index: Index,
    sets: Sequence[QuerySet],
    contestants: Sequence[Contestant],
    folder: StrPath,
    *,
    bars: Bars,
) -> list[Row]:
    """Send all queries to all contestants, except those whose rows are kept.

    Parameters
    ----------
    index : Index
    sets : sequence of QuerySet
    contestants : sequence of Contestant
        Other than `naive`, which `time_naive` times.
    folder : str or os.PathLike
        Folder that keeps the rows.
    bars : callable(task, unit)
        Makes progress bars.

    Returns
    -------
    list of Row
        One for each query and contestant.

    Raises
    ------
    InputError
        If a strategy is not ready, or reranks fewer candidates than are looked at; before any
        query is asked.
    """
    opened = {c.strategy: open_strategy(index, c.strategy) for c in contestants}
    depth = min(DEPTH, index.n_samples)
    for contestant in contestants:
        if contestant.rerank and contestant.rerank < depth:
            raise InputError(f"rerank is {depth} or more, got {contestant.rerank}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for queries in sets:
        with bars(f"{queries.name}: exact", "queries") as progress:
            exact = []
            for i in range(len(queries.queries)):
                exact.append(search(index, queries.load(i), k=depth))
                progress(i + 1, len(queries.queries))
        for contestant in contestants:
            with bars(f"{queries.name}: {contestant.label}", "queries") as progress:
                strategy = opened[contestant.strategy]
                rows += _ask_all(index, queries, exact, contestant, strategy, folder, progress)
    return rows


def _ask_all(
    index: Index,
    queries: QuerySet,
    exact: list[list[Match]],
    contestant: Contestant,
    strategy: Strategy,
    folder: Path,
    progress: Progress,
) -> list[Row]:
    path = folder / f"{queries.name}-{contestant.label.replace(' ', '')}.json"
    state = [index.database_checksum, index.drawn_at, strategy.fingerprint, contestant.rerank]
    state += [processor(), version("glioquery")]  # the times are theirs
    kept = _kept(path, state)
    rows: list[Row] = []
    saved, is_warm = time.monotonic(), False
    for i, name in enumerate(queries.queries):
        masks = queries.load(i)
        digest = _digest(masks)
        row = kept.get(digest)
        if row is None:
            if not is_warm:  # compiles, and reads the strategy's files for the first time
                _ask(index, queries.name, name, masks, exact[i], contestant, strategy)
                is_warm = True
            row = _ask(index, queries.name, name, masks, exact[i], contestant, strategy)
            kept[digest] = row
        rows.append(dataclasses.replace(row, query=name))
        progress(i + 1, len(queries.queries))
        if is_warm and (i + 1 == len(queries.queries) or time.monotonic() - saved > SAVE_EVERY_S):
            write_json(
                path,
                {"state": state, "rows": {k: dataclasses.asdict(r) for k, r in kept.items()}},
            )
            saved = time.monotonic()
    return rows


def _ask(
    index: Index,
    kind: str,
    name: str,
    masks: TumorMasks,
    exact: list[Match],
    contestant: Contestant,
    strategy: Strategy,
) -> Row:
    began = time.perf_counter()
    found = search_with(strategy, index, masks, k=len(exact), rerank=contestant.rerank)
    seconds = time.perf_counter() - began
    first, best = found[0], exact[0]
    better = sum(match.score > first.score for match in exact)
    return Row(
        queries=kind,
        query=name,
        strategy=contestant.label,
        sample=first.sample,
        score=first.score,
        dice_core=first.dice_core,
        dice_whole=first.dice_whole,
        rank=better + 1 if better < len(exact) else None,
        best_sample=best.sample,
        best_score=best.score,
        best_dice_core=best.dice_core,
        best_dice_whole=best.dice_whole,
        regret=best.score - first.score,
        gap=best.score - exact[1].score if len(exact) > 1 else float("nan"),
        seconds=seconds,
    )


def _kept(path: Path, state: list[Any]) -> dict[str, Row]:
    """Rows of a file by their queries' digests, if they were made in the same state."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["state"] != state:
            return {}
        return {digest: Row(**row) for digest, row in stored["rows"].items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def _digest(masks: TumorMasks) -> str:
    bits = np.packbits([masks.core, masks.whole])
    return hashlib.sha256(bits.tobytes()).hexdigest()
