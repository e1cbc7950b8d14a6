"""The outlines of a database for an index: the stored ones, or others drawn again.

    whole = {u >= c_whole s},  core = {u >= c_core s},  s = 1 or max u

A tumour without cells, max u = 0, has no outline.

The database stores the outlines at the plan's thresholds with s = 1, drawn from the unrounded
density. Others are drawn from the stored densities, which are rounded to 0.4 %: a voxel whose
density lies that close to a threshold may fall on the other side of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.regions import Box, shape_of
from ...dbgen import Database
from ...dbgen.store.curve import Arrangement
from ...dbgen.store.embedded import companion_path
from ...dbgen.store.netcdf import computed_once
from ...errors import InputError
from ...solver import Thresholds
from .blocks import WORDS, block_places, block_shape, cut_blocks
from .index import Index
from .source import ABSOLUTE, NORMALISATIONS, OWN_MAXIMUM, Portion

INDEX_FOLDER = "index"
"""Name of the index of the stored outlines inside its database's folder."""


def level_text(level: float) -> str:
    """A threshold in as few digits as tell it from all others: 0.6, 1, 0.1000004."""
    short = f"{level:g}"
    return short if float(short) == level else repr(float(level))


@dataclass(frozen=True, eq=False)
class DatabaseOutlines:
    """A database's outlines at given thresholds: an OutlineSource.

    The first reading of a shard checks that it is the file that was written.

    Attributes
    ----------
    database : Database
    thresholds : Thresholds
    normalisation : {'absolute', 'own-maximum'}
        Unit of the thresholds: the carrying capacity, or the tumour's own maximum.

    Raises
    ------
    InputError
        If the normalisation is unknown, or the outlines are not the stored ones and the database
        stores no densities to draw them from.
    """

    database: Database
    thresholds: Thresholds
    normalisation: str

    def __post_init__(self) -> None:
        if self.normalisation not in NORMALISATIONS:
            raise InputError(
                f"the normalisation is one of {', '.join(NORMALISATIONS)}, "
                f"got {self.normalisation!r}"
            )
        if not (self._are_stored or self.database.stores_density):
            stored = self.database.thresholds
            raise InputError(
                f"{self.database.path} stores outlines at core {stored.core} and whole "
                f"{stored.whole} (absolute) and no densities; outlines at core "
                f"{self.thresholds.core} and whole {self.thresholds.whole} ({self.normalisation}) "
                "need a database generated with `--store density`"
            )

    @property
    def _are_stored(self) -> bool:
        return self.normalisation == ABSOLUTE and self.thresholds == self.database.thresholds

    @property
    def path(self) -> Path:
        """The folder of their index, inside the database's where it can be (`companion_path`)."""
        return companion_path(self.database, self.index_name)

    @property
    def index_name(self) -> str:
        """Name of the folder of their index."""
        if self._are_stored:
            return INDEX_FOLDER
        levels = map(level_text, (self.thresholds.core, self.thresholds.whole))
        name = "-".join([INDEX_FOLDER, *levels])
        if self.normalisation != ABSOLUTE:
            name += f"-{self.normalisation}"
        return name

    def open_index(self) -> Index:
        """Open their index.

        Returns
        -------
        Index

        Raises
        ------
        InputError
            If there is none (the message names the command that builds it), it is damaged, or
            belongs to another state of the database.
        """
        return self.open_index_at(self.path)

    def open_index_at(self, path: Path) -> Index:
        """Open their index in a folder; raises as `open_index`.

        Parameters
        ----------
        path : Path
            The folder of the index.

        Returns
        -------
        Index
        """
        index = Index.open(path, thresholds=self.thresholds, normalisation=self.normalisation)
        index.check_source(self)
        return index

    @property
    def n_samples(self) -> int:
        """Number of tumours."""
        return self.database.n_samples

    @property
    def checksum(self) -> str:
        """Checksum of the database."""
        return self.database.checksum

    @property
    def grid(self) -> Grid:
        """The simulation grid."""
        return self.database.grid

    @property
    def box(self) -> Box:
        """The part of the grid that holds the tissue."""
        return self.database.box

    @property
    def portions(self) -> tuple[Portion, ...]:
        """The shards."""
        return tuple(Portion(r.first, r.last, r.sha256) for r in self.database.records)

    @computed_once
    def tissue(self) -> NDArray[np.bool_]:
        """Voxels of the box where outlines may lie."""
        return self.database.reach

    def packed_outlines(self, start: int, stop: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Outlines (core, whole) of the samples start .. stop - 1; see OutlineSource.

        Parameters
        ----------
        start, stop : int
            The first sample, and the one after the last.

        Returns
        -------
        core, whole : (stop - start, bx, by, bz // 8) uint8 array

        Raises
        ------
        DatabaseError
            If a shard is damaged; the message names it.
        """
        if self._are_stored:
            return self.database.packed_outlines(start, stop)
        core, whole = zip(*(self._draw(i) for i in range(start, stop)), strict=True)
        return np.stack(core), np.stack(whole)

    def cut_outlines(self, start: int, stop: int) -> NDArray[np.uint64]:
        """The same in the blocks of an index, straight from the order in which they are stored.

        Parameters
        ----------
        start, stop : int
            The first sample, and the one after the last.

        Returns
        -------
        (2, stop - start, n_blocks, WORDS) uint64 array

        Raises
        ------
        DatabaseError
            If a shard is damaged; the message names it.
        """
        if not self._are_stored:
            return np.stack([cut_blocks(packed) for packed in self.packed_outlines(start, stop)])
        bits = self.database.arranged_outlines(start, stop, self._in_blocks)
        return bits.view("<u8").reshape(2, stop - start, -1, WORDS)

    @computed_once
    def _in_blocks(self) -> Arrangement:
        shape = shape_of(self.box)
        places = block_places(self.database.voxels, shape)
        return Arrangement(places, math.prod(block_shape(shape)) * WORDS * 8)

    def _draw(self, sample: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        u = self.database.density(sample).u[self.box]
        scale = u.max() if self.normalisation == OWN_MAXIMUM else np.float32(1)
        core, whole = (
            np.packbits((u >= np.float32(level) * scale) & (scale > 0), axis=-1)
            for level in self.thresholds.levels
        )
        return core, whole


def outlines_of(
    database: Database,
    *,
    thresholds: Thresholds | None = None,
    normalisation: str = ABSOLUTE,
) -> DatabaseOutlines:
    """The outlines of a database, at its own thresholds by default.

    Parameters
    ----------
    database : Database
    thresholds : Thresholds, optional
        Densities that the outlines show; the stored ones by default.
    normalisation : str
        Whether a threshold is a density or a share of the tumour's maximum.

    Returns
    -------
    DatabaseOutlines
    """
    return DatabaseOutlines(database, thresholds or database.thresholds, normalisation)
