"""The paper's baseline: a parallel for-loop over all stored volumes, pair by pair, through Ray.

References
----------
I. Ezhov et al., "A for-loop is all you need. For solving the inverse problem in the case of
personalized tumor growth modeling", PMLR 193:566-577, 2022, section 2.3.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...dbgen.machine.cluster import connected, remote
from ...dbgen.machine.tasks import results_of
from ...solver import TumorMasks
from ..dice import OUTLINES, dice_from_counts
from ..index.index import Index
from ..match import nearest

TASKS_PER_CORE = 4


@dataclass(frozen=True, eq=False)
class Naive:
    """The loop over the first `n_volumes` tumours of an index, all by default."""

    index: Index
    n_volumes: int | None = None
    name: str = "naive"

    @property
    def fingerprint(self) -> str:
        """The loop has no state of its own."""
        return ""

    def rank(self, masks: TumorMasks, n: int) -> NDArray[np.intp]:
        """Ids of the n tumours of highest score."""
        return nearest(-self.scores(masks), n)

    def scores(self, masks: TumorMasks) -> NDArray[np.float64]:
        """The score of every tumour of the loop, in [0, 2]."""
        masks.require_grid(self.index.grid, "the index")
        n = self.index.n_samples if self.n_volumes is None else self.n_volumes
        inside = [getattr(masks, name)[self.index.box] for name in OUTLINES]
        volumes = [int(getattr(masks, name).sum()) for name in OUTLINES]
        with connected() as ray:
            task = remote(ray, score_volumes, num_cpus=1, max_retries=0)
            query = ray.put((inside, volumes))
            n_tasks = TASKS_PER_CORE * max(1, int(ray.cluster_resources().get("CPU", 1)))
            cuts = np.unique(np.linspace(0, n, n_tasks + 1).astype(int)).tolist()
            path = self.index.path.absolute()

            def begin(span: tuple[int, int]) -> Any:
                return task.remote(path, query, *span)

            results = results_of(ray, begin, itertools.pairwise(cuts))
            return np.concatenate([scores for _, scores in results])


def score_volumes(
    path: Path, query: tuple[list[NDArray[np.bool_]], list[int]], start: int, stop: int
) -> NDArray[np.float64]:
    """Scores of the samples start .. stop - 1, one volume after the other."""
    index = Index.open(path)
    scores = np.zeros(stop - start)
    for sample in range(start, stop):
        stored = index.packed_outlines(sample, sample + 1)
        for ours, volume, bits in zip(*query, stored, strict=True):
            theirs = np.unpackbits(bits[0], axis=-1).view(bool)
            scores[sample - start] += dice_from_counts((ours & theirs).sum(), volume + theirs.sum())
    return scores
