"""What all query strategies share: they rank the tumours of a database, each by its own measure.

A strategy sees a compressed form of the outlines and returns ids, nearest first. What it found is
then scored exactly, with the Dice of the full volumes; a strategy that is asked to *rerank* its
first m candidates also orders these by that score.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...solver import TumorMasks
from ..exact import check_request, score_samples
from ..index.index import Index
from ..match import Match


class Strategy(Protocol):
    """A way to rank the tumours of a database.

    Attributes
    ----------
    name : str
    fingerprint : str
        Differs if the answers may differ; it covers trained weights, for example.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - described above
    @property
    def fingerprint(self) -> str: ...  # noqa: D102

    def rank(self, masks: TumorMasks, n: int) -> NDArray[np.intp]:
        """Ids of the n nearest tumours by the strategy's own measure, nearest first.

        Equal tumours stand by ascending id. There are fewer than n if the strategy considers fewer.

        Parameters
        ----------
        masks : TumorMasks
            The outlines of the query.
        n : int
            How many tumours to rank.

        Returns
        -------
        int array
            At most n ids.
        """
        ...


def search_with(
    strategy: Strategy, index: Index, masks: TumorMasks, *, k: int = 15, rerank: int = 0
) -> list[Match]:
    """Find k tumours by a strategy.

    Parameters
    ----------
    strategy : Strategy
    index : Index
        Index of the database that the strategy was opened for.
    masks : TumorMasks
        The outlines, on the index's grid.
    k : int
        Number of matches; fewer where the strategy considers fewer samples.
    rerank : int
        Number of candidates, at least k, that are ordered by their exact score; 0 keeps the
        strategy's own order.

    Returns
    -------
    list of Match
        Best first by the strategy's measure, or by score where reranked. Scores are exact.

    Raises
    ------
    InputError
        If k or rerank is out of range, or the masks lie on another grid.
    """
    check_request(k)
    if rerank and rerank < k:
        raise InputError(f"the candidates to rerank are k = {k} or more, got {rerank}")
    masks.require_grid(index.grid, "the index")
    ids = strategy.rank(masks, min(max(k, rerank), index.n_samples))
    found = score_samples(index, masks, ids.tolist())
    if rerank:
        found.sort(key=lambda match: (-match.score, match.sample))
    return found[:k]
