"""The index: what exact search needs of a database, in files that are mapped, not read.

An index is a directory. `index.json` says what it was built from and names the folder beside it
with the arrays, .npy files. Another index takes its place by arrays in another folder and then by
the one file that names them: a reader gets the old or the new one, never some of both.

    tissue.npy         (n_blocks, 8) uint64        where tumours can be, block by block
    volumes.npy        (2, n_samples) int32        voxels of core and whole
    members.npy        (n_groups, 64) int32        samples that are alike; -1 past the last one
    counts.npy         (n_groups, 2, n_coarse, 64) uint16
                                                   voxels of core and whole in a coarse block
    most.npy           (2, n_coarse, n_groups) uint16
                                                   most voxels that a member has there
    ends.npy           (2, 2, n_groups) int32      least and most voxels of core and whole
    full_starts.npy    (2 n_samples + 1) int64     first entry of an outline in `full_blocks`
    full_blocks.npy    (n_full) uint16             blocks in which the outline fills the tissue
    mixed_starts.npy   (2 n_samples + 1) int64     first entry of an outline in the next two
    mixed_blocks.npy   (n_mixed) uint16            blocks that are neither empty nor full ...
    mixed_bits.npy     (n_mixed, 8) uint64         ... and their bits

Core and whole of sample i are outlines 2i and 2i + 1. "Full" is a block filled up to the edge of
the tissue, which no outline leaves. Tissue is the same for a database of any size.

A query reads the rows of `most` for the coarse blocks that it touches, and these rows of `counts`
for the few groups that may hold a match: so the counts are stored group by group (see `groups`).
The bits are stored sample by sample, because they are read for fewer still.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Grid
from ...atlas.regions import Box, shape_of
from ...dbgen.machine.files import sha256_of
from ...dbgen.store.packed import unpack_outlines
from ...errors import InputError
from ...paths import StrPath
from ...solver import Thresholds, TumorMasks
from .bits import opened_bits
from .blocks import WORDS, block_shape, coarse_shape, join_blocks
from .manifest import ARRAYS, MANIFEST, REMEDY, map_array, read_manifest
from .source import ABSOLUTE, Indexed, Portion


@dataclass(frozen=True, eq=False)
class Index:
    """An opened index. Its arrays are read-only maps of the files; see the module for each.

    Attributes
    ----------
    path : Path
        The directory.
    folder : Path
        Where in it the arrays lie.
    n_samples : int
        Number of tumours; their ids are 0 .. n_samples - 1.
    thresholds : Thresholds
        Densities at which the outlines were drawn.
    normalisation : str
        Unit of the thresholds, one of `NORMALISATIONS`.
    database_checksum : str
        Checksum of the database that the index was built from.
    portions : tuple of Portion
        The portions of the database; with them an extension knows what is indexed.
    grid : Grid
        The grid on which queries are asked.
    box : tuple of three slice
        The part of it that the blocks cover.
    files : dict of str to dict
        Size in bytes and SHA-256 of each file.
    """

    path: Path
    folder: Path
    n_samples: int
    thresholds: Thresholds
    normalisation: str
    database_checksum: str
    portions: tuple[Portion, ...]
    grid: Grid
    box: Box
    files: dict[str, dict[str, Any]]
    tissue: NDArray[np.uint64]
    volumes: NDArray[np.int32]
    members: NDArray[np.int32]
    counts: NDArray[np.uint16]
    most: NDArray[np.uint16]
    ends: NDArray[np.int32]
    full_starts: NDArray[np.int64]
    full_blocks: NDArray[np.uint16]
    mixed_starts: NDArray[np.int64]
    mixed_blocks: NDArray[np.uint16]
    mixed_bits: NDArray[np.uint64]

    @classmethod
    def open(
        cls,
        path: StrPath,
        *,
        thresholds: Thresholds | None = None,
        normalisation: str | None = None,
    ) -> Index:
        """Open an index; nothing but its manifest is read.

        Parameters
        ----------
        path : path
            The directory that `build_index` made.
        thresholds, normalisation : optional
            Thresholds and normalisation that the index must have; not checked if left out.

        Returns
        -------
        Index

        Raises
        ------
        FileNotFoundError
            If there is no index at the path, or one of its files is missing.
        InputError
            If the index is of another schema version or of other thresholds, or a file is
            truncated or is not the array it should be.
        """
        path = Path(path)
        fields = read_manifest(path)
        try:
            arrays: dict[str, Any] = {name: map_array(name, fields) for name in ARRAYS}
        except FileNotFoundError:
            if read_manifest(path)["folder"] == fields["folder"]:
                raise
            # The index was replaced after its manifest was read.
            return cls.open(path, thresholds=thresholds, normalisation=normalisation)
        index = cls(path=path, **fields, **arrays)
        index._check_shapes()
        asked = thresholds or index.thresholds, normalisation or index.normalisation
        if asked != (index.thresholds, index.normalisation):
            raise InputError(
                f"expected outlines at {_say(*asked)}, but the index {path} holds those at "
                f"{_say(index.thresholds, index.normalisation)}: ask for these, or make an index "
                "of the others with `glioquery index DB --core-threshold --whole-threshold "
                "--normalise`"
            )
        return index

    @property
    def block_shape(self) -> tuple[int, int, int]:
        """Number of blocks along x, y, z."""
        return block_shape(shape_of(self.box))

    @property
    def drawn_at(self) -> dict[str, Any]:
        """Which outlines of the database these are: thresholds and their unit, for JSON."""
        return {
            "thresholds": {"core": self.thresholds.core, "whole": self.thresholds.whole},
            "normalisation": self.normalisation,
        }

    def packed_outlines(self, start: int, stop: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Outlines of the samples start .. stop - 1 as they were indexed; see OutlineSource.

        Parameters
        ----------
        start, stop : int
            The first sample, and the one after the last.

        Returns
        -------
        core, whole : (stop - start, bx, by, bz // 8) uint8 array

        Raises
        ------
        InputError
            If the index holds no such samples.
        """
        if not 0 <= start <= stop <= self.n_samples:
            raise InputError(
                f"samples are numbered 0 to {self.n_samples - 1}, got {start} to {stop - 1}"
            )
        blocks = np.zeros((2 * (stop - start), *self.tissue.shape), np.uint64)
        for kind in ("full", "mixed"):
            starts = getattr(self, f"{kind}_starts")[2 * start : 2 * stop + 1]
            entries = slice(starts[0], starts[-1])
            places = getattr(self, f"{kind}_blocks")[entries]
            owners = np.repeat(np.arange(len(blocks)), np.diff(starts))
            bits = self.tissue[places] if kind == "full" else self.mixed_bits[entries]
            blocks[owners, places] = bits
        packed = join_blocks(blocks, shape_of(self.box))
        return packed[0::2], packed[1::2]

    def outlines(self, sample: int) -> TumorMasks:
        """The outlines of one tumour on the index's grid.

        Parameters
        ----------
        sample : int
            Number of the tumour, from 0.

        Returns
        -------
        TumorMasks

        Raises
        ------
        InputError
            If the index holds no such sample.
        """
        core, whole = self.packed_outlines(sample, sample + 1)
        return unpack_outlines((core[0], whole[0]), self.box, self.grid)

    def require_samples(self, samples: Sequence[int]) -> NDArray[np.intp]:
        """The numbers of samples as an array, if the index holds them all.

        Parameters
        ----------
        samples : sequence of int

        Returns
        -------
        (n,) array of int

        Raises
        ------
        InputError
            If it does not, or they are no whole numbers.
        """
        ids = np.asarray(samples)
        are_whole = not ids.size or ids.dtype.kind in "iu"
        if not are_whole or ((ids < 0) | (ids >= self.n_samples)).any():
            raise InputError(f"samples are numbered 0 to {self.n_samples - 1}, got {list(samples)}")
        return ids.astype(np.intp)

    @cached_property
    def places(self) -> NDArray[np.intp]:
        """Where each sample stands among all members, (n_samples,), of an index of all groups."""
        return np.argsort(self.members.ravel()[: self.n_samples])

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(self.members)

    @cached_property
    def samples(self) -> NDArray[np.intp]:
        """The samples of the groups, ascending: all, or those of a part."""
        return np.sort(self.members[self.members >= 0]).astype(np.intp)

    def part(self, start: int, stop: int) -> Index:
        """The groups start .. stop - 1 as an index of their own; a view.

        Parameters
        ----------
        start, stop : int
            The first group, and the one after the last.

        Returns
        -------
        Index
            A search in it finds samples of these groups alone, by the numbers that they have.
        """
        return replace(
            self,
            members=self.members[start:stop],
            counts=self.counts[start:stop],
            most=self.most[..., start:stop],
            ends=self.ends[..., start:stop],
        )

    def check_source(self, source: Indexed) -> None:
        """Refuse a database that this index was not built from.

        Parameters
        ----------
        source : Indexed
            The database.

        Raises
        ------
        InputError
            If checksum, number of samples, thresholds, or grid differ.
        """
        # A database stands for its stored outlines, which are not normalised.
        asked = _say(source.thresholds, getattr(source, "normalisation", ABSOLUTE))
        if self.n_samples != source.n_samples:
            raise InputError(
                f"the index {self.path} is of {self.n_samples} tumours, the database has "
                f"{source.n_samples}; {REMEDY}"
            )
        pairs = [
            ("the content", self.database_checksum, source.checksum),
            ("the thresholds", _say(self.thresholds, self.normalisation), asked),
        ]
        for what, here, there in pairs:
            if here != there:
                raise InputError(
                    f"the index {self.path} belongs to another database: {what} was {here} when "
                    f"it was built, the database has {there}; {REMEDY}"
                )
        if self.grid != source.grid:
            raise InputError(
                f"the index {self.path} lies on a grid of {self.grid}, the database on one of "
                f"{source.grid}; {REMEDY}"
            )

    def verify(self) -> None:
        """Read every file whole and compare it with its checksum (opening compares sizes only).

        Raises
        ------
        InputError
            If a file was altered.
        """
        for name, expected in self.files.items():
            if sha256_of(self.folder / name) != expected["sha256"]:
                raise InputError(
                    f"{self.folder / name} was altered since the index was built: its SHA-256 is "
                    f"not the one that {MANIFEST} records; {REMEDY}"
                )

    def opened_bits(self) -> contextlib.AbstractContextManager[tuple[int, int]]:
        """The file of `mixed_bits`, open if a search has to read it.

        Returns
        -------
        context manager
            Of a descriptor and a number of bytes, see `bits.opened_bits`.
        """
        file = self.folder / "mixed_bits.npy"
        return opened_bits(file, self.files[file.name]["bytes"], self.mixed_bits.nbytes)

    def release_bits(self) -> None:
        """Give mapped bits back to the system, which keeps them in its page cache.

        Who reads all of them releases them now and then: pages that are mapped count as memory of
        this process.
        """
        array: Any = self.mixed_bits
        while isinstance(array, np.ndarray):
            array = array.base
        if isinstance(array, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            array.madvise(mmap.MADV_DONTNEED)

    def _check_shapes(self) -> None:
        n, (x, y, z) = self.n_samples, self.block_shape
        n_coarse = int(np.prod(coarse_shape((x, y, z))))
        n_groups, size = -(-n // self.members.shape[-1]), self.members.shape[-1]
        n_full, n_mixed = len(self.full_blocks), len(self.mixed_blocks)
        expected: dict[str, tuple[int, ...]] = {
            "tissue": (x * y * z, WORDS),
            "volumes": (2, n),
            "members": (n_groups, size),
            "counts": (n_groups, 2, n_coarse, size),
            "most": (2, n_coarse, n_groups),
            "ends": (2, 2, n_groups),
            "full_starts": (2 * n + 1,),
            "full_blocks": (n_full,),
            "mixed_starts": (2 * n + 1,),
            "mixed_blocks": (n_mixed,),
            "mixed_bits": (n_mixed, WORDS),
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.dtype(ARRAYS[name]):
                raise InputError(
                    f"{self.folder / name}.npy should hold {ARRAYS[name]} of shape {shape}, but "
                    f"holds {array.dtype.str} of shape {array.shape}; {REMEDY}"
                )


def _say(thresholds: Thresholds, normalisation: str = ABSOLUTE) -> str:
    share = "" if normalisation == ABSOLUTE else " max u"
    return f"u >= {thresholds.core}{share} (core) and u >= {thresholds.whole}{share} (whole)"
