"""A finished database on disk, read the same whether it stores densities or outlines only."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import (
    SIMULATION_GRID,
    Atlas,
    Grid,
    load_atlas,
)
from ...atlas.regions import Box, embed, shape_of
from ...paths import StrPath
from ...solver import (
    GrowthParameters,
    Thresholds,
    Tissue,
    TumorDensity,
    TumorMasks,
)
from ...solver.declarations import COMMON, Declared
from .comparison import differing_outlines
from .curve import Arrangement, decode_outline, packed_places
from .fetched import located
from .header import (
    DatabaseError,
    Part,
    declared_in,
    identity,
    mending,
    parts_of,
    read_header,
    require_atlas,
)
from .netcdf import computed_once
from .packed import unpack_outlines
from .record import ShardRecord, find_records, shard_path
from .selection import select_rows
from .shard import VOXEL_INDEX, VOXELS, bits_of, read_voxels, variables_of
from .stored import StoredShard

if TYPE_CHECKING:
    import xarray as xr

    from ...solver import Accuracy, Simulation
    from ...solver.models import GrowthModel
    from ..study.plan import Plan


@dataclass(frozen=True, eq=False)
class Database:
    """Simulated tumours, their parameters and their outlines.

    Open one with `Database.open`. Samples are numbered 0 to n_samples - 1. As with a mapping, its
    length is the number of samples and iteration yields their ids, which every method takes:
    `for sample in database: database.outlines(sample)`.

    Threads may share a database; they take turns where they read its files.

    Attributes
    ----------
    path : Path
    header : dict
        The contents of `database.json`.
    records : tuple of ShardRecord
        One for each shard, in order.
    """

    path: Path
    header: dict[str, Any]
    records: tuple[ShardRecord, ...]

    @classmethod
    def open(cls, path: StrPath) -> Database:
        """Open a database and see that it is complete.

        Sizes are compared here, which is quick; `verify` compares checksums and contents.

        Parameters
        ----------
        path : str or os.PathLike
            The folder, or the name of a database that was fetched.

        Returns
        -------
        Database

        Raises
        ------
        DatabaseError
            If the folder holds no database, one of another schema or another atlas than the one in
            use, or shards are missing or not of their recorded size; the message names them.
        """
        folder = located(path).absolute()  # workers may run elsewhere
        header = read_header(folder)
        require_atlas(folder, header)
        return cls(folder, header, find_records(folder, header))

    @property
    def n_samples(self) -> int:
        """Number of tumours."""
        return int(self.header["n_samples"])

    @property
    def grid(self) -> Grid:
        """The simulation grid."""
        return SIMULATION_GRID

    @property
    def box(self) -> Box:
        """The part of the grid that densities and outlines are stored on."""
        x, y, z = (slice(*ends) for ends in self.header["box"])
        return x, y, z

    @property
    def stores_density(self) -> bool:
        """Whether densities are stored, or re-simulated on demand."""
        return bool(self.header["store"] == "density")

    @property
    def stores_ventricles(self) -> bool:
        """Whether the ventricles are stored that each tumour has pushed."""
        return "ventricle_bits" in bits_of(self.header)

    @computed_once
    def atlas(self) -> Atlas:
        """The atlas that its tumours grew in.

        Raises
        ------
        DatabaseError
            If the atlas in use has changed since the database was opened.
        """
        require_atlas(self.path, self.header)
        return load_atlas()

    @property
    def tissue(self) -> Tissue:
        """The atlas's tissue."""
        return Tissue.from_atlas(self.atlas)

    @computed_once
    def thresholds(self) -> Thresholds:
        """Densities at which the stored outlines were drawn."""
        return Thresholds(**self.header["plan"]["thresholds"])

    @computed_once
    def parts(self) -> tuple[Part, ...]:
        """One part, or those that were merged; they differ only in what is drawn."""
        return tuple(parts_of(self.header))

    @property
    def plan(self) -> Plan:
        """What decided the samples.

        Raises
        ------
        DatabaseError
            If the database was merged: each of its `parts` has a plan of its own.
        """
        if len(self.parts) > 1:
            raise DatabaseError(
                f"{self.path} was merged from {len(self.parts)} databases, each with a plan of its "
                "own: see `parts`"
            )
        return self.parts[0].plan

    @property
    def model(self) -> GrowthModel:
        """The growth model, one for all parts."""
        return self.parts[0].plan.model

    @computed_once
    def declared(self) -> Declared:
        """What the growth model declares of its parameters, beside those of all models."""
        return declared_in(self.header)

    @property
    def core_min_ml(self) -> float:
        """Least volume of a core that any of its parts keeps."""
        return min(part.plan.space.core_min_ml for part in self.parts)

    @property
    def accuracy(self) -> Accuracy:
        """Bounds of the time step of its simulations."""
        return self.parts[0].plan.accuracy

    @computed_once
    def checksum(self) -> str:
        """SHA-256 that identifies the content, from the plan and the shards' checksums."""
        digest = hashlib.sha256(identity(self.header["plan"]).encode())
        for record in self.records:
            digest.update(record.sha256.encode())
        return digest.hexdigest()

    @computed_once
    def parameters(self) -> xr.Dataset:
        """All variables along `sample`, in memory, with units (see FORMAT.md).

        Raises
        ------
        DatabaseError
            If the parameters of a shard are damaged; the message names the shard.
        """
        import xarray as xr  # here and below: 40 MB that workers, who import this module, can spare

        tables = [shard.table() for shard in self.shards]
        columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
        return xr.Dataset(
            {
                name: ("sample", columns[name], {"units": units, "long_name": text})
                for name, (_, units, text) in variables_of(self.header).items()
            },
            coords={"sample": ("sample", columns["sample"], {"long_name": "sample id"})},
        )

    def select(self, **bounds: slice | float) -> NDArray[np.int64]:
        """The samples whose variables lie within bounds, by rising id.

        Parameters
        ----------
        **bounds : slice or number
            For any variable of `parameters`, one value or `slice(low, high)`. Both ends are
            included, as in xarray's selection by label, and None leaves an end open:
            `database.select(rho=slice(0.01, 0.05), lambda_mm=slice(2, None))`.

        Returns
        -------
        (k,) int64 array
            Sample ids, as `density`, `outlines` and `to_xarray().sel(sample=...)` take them. Empty
            if no sample fits; all samples without bounds.

        Raises
        ------
        InputError
            If there is no variable of that name (the message lists those there are), or a bound is
            not a number or a slice from a lower to a higher one.
        """
        names = variables_of(self.header)
        return select_rows({name: self.parameters[name].values for name in names}, bounds)

    def to_xarray(self) -> xr.Dataset:
        """The whole database as one dataset: every variable and coordinate of its shards.

        Variables along `sample` alone are in memory. Outlines (`core_bits`, `whole_bits`) and,
        where they are stored, densities (`density`) are read from the shards when their values are
        asked for: select first, then compute, as in `database.to_xarray().density.isel(sample=[3,
        17]).mean("sample")`.

        Returns
        -------
        xarray.Dataset

        Raises
        ------
        DatabaseError
            If a shard that is read, now or later, is damaged; the message names it.
        """
        import xarray as xr

        from .lazy import lazy_variable, read_variable

        names = [*bits_of(self.header)] + (["density"] if self.stores_density else [])
        with self.shards[0].opened() as first:
            axes = {axis: read_variable(first, axis) for axis in "xyz"}
            attributes = {name: first.getncattr(name) for name in first.ncattrs()}
        joined = {name: lazy_variable(name, self.shards) for name in names}
        axes["voxel_index"] = xr.Variable(("voxel", "axis"), self.voxels, VOXEL_INDEX)
        return self.parameters.assign_coords(axes).assign(joined).assign_attrs(attributes)

    def growth_parameters(self, sample: int) -> GrowthParameters:
        """The parameters of one tumour.

        Parameters
        ----------
        sample : int
            Number of the tumour, from 0.

        Returns
        -------
        GrowthParameters

        Raises
        ------
        IndexError
            If the database holds no such sample.
        """
        row = self.parameters.isel(sample=self._checked(sample))
        names = [one.name for one in (*COMMON, *self.declared.parameters)]
        return GrowthParameters.of({name: float(row[name]) for name in names})

    def packed_outlines(self, start: int, stop: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Outlines of samples start <= i < stop as bits.

        Parameters
        ----------
        start, stop : int
            The first sample, and the one after the last.

        Returns
        -------
        core, whole : (stop - start, bx, by, bz / 8) uint8 array
            On `box`, eight voxels along z in a byte, the first in the highest bit.

        Raises
        ------
        IndexError
            If the range is empty or leaves the samples.
        """
        x, y, z = shape_of(self.box)
        core, whole = self.arranged_outlines(start, stop, self._packing)
        return core.reshape(-1, x, y, z // 8), whole.reshape(-1, x, y, z // 8)

    def arranged_outlines(
        self, start: int, stop: int, arrangement: Arrangement
    ) -> NDArray[np.uint8]:
        """Outlines of samples start <= i < stop as bits in an order of one's own.

        Parameters
        ----------
        start, stop : int
            The first sample, and the one after the last.
        arrangement : Arrangement
            The order of the bits of `voxels`.

        Returns
        -------
        (2, stop - start, n_bytes) uint8 array
            Cores and wholes.
        """
        pieces = [
            arrangement.arrange(np.concatenate(stored)).reshape(2, -1, arrangement.n_bytes)
            for stored in self._bits(("core_bits", "whole_bits"), start, stop)
        ]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1)

    def outlines(self, sample: int) -> TumorMasks:
        """The two outlines of one tumour on the simulation grid.

        Parameters
        ----------
        sample : int
            Number of the tumour, from 0.

        Returns
        -------
        TumorMasks

        Raises
        ------
        IndexError
            If the database holds no such sample.
        """
        i = self._checked(sample)
        core, whole = self.packed_outlines(i, i + 1)
        return unpack_outlines((core[0], whole[0]), self.box, self.grid)

    def ventricles(self, sample: int) -> NDArray[np.bool_]:
        """The ventricles as one tumour has pushed them, on the simulation grid.

        Parameters
        ----------
        sample : int
            Number of the tumour, from 0.

        Returns
        -------
        bool array of the grid's shape

        Raises
        ------
        IndexError
            If the database holds no such sample.
        DatabaseError
            If the database stores no ventricles.
        """
        i = self._checked(sample)
        (bits,) = self.ventricle_bits(i, i + 1)
        mask = decode_outline(bits, self.voxels, shape_of(self.box))
        return embed(mask, self.box, self.grid.shape)

    def ventricle_bits(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Ventricles, as samples start <= i < stop have pushed them, as bits.

        Parameters
        ----------
        start, stop : int
            The first sample, and the one after the last.

        Returns
        -------
        (stop - start, ceil(n / 8)) uint8 array
            A bit for each of the n `voxels`, in their order, the first in the highest bit.

        Raises
        ------
        DatabaseError
            If the database stores no ventricles.
        """
        if not self.stores_ventricles:
            raise DatabaseError(
                f"{self.path} stores no ventricles: its model "
                f"({self.header['plan']['model']['name']}) pushes nothing, or an older version of "
                "glioquery made it"
            )
        return np.concatenate([bits for (bits,) in self._bits(("ventricle_bits",), start, stop)])

    def density(self, sample: int) -> TumorDensity:
        """The density of one tumour: as stored, or simulated again from its parameters.

        Parameters
        ----------
        sample : int
            Number of the tumour, from 0.

        Returns
        -------
        TumorDensity

        Raises
        ------
        IndexError
            If the database holds no such sample.
        DatabaseError
            If a density simulated again does not have the stored outlines, apart from voxels within
            1e-4 of a threshold: the database was made by another solver.
        """
        i = self._checked(sample)
        if not self.stores_density:
            density = self.simulate_again(i).density
            for name in differing_outlines(self.outlines(i), density, self.thresholds):
                raise DatabaseError(
                    f"sample {i} of {self.path}, simulated again, has another {name} outline than "
                    "the stored one: the database was made by another version of the solver"
                )
            return density
        ((shard, rows),) = self._rows(i, i + 1)
        with shard.opened() as file:
            u = np.asarray(file["density"][rows])[0]
        return TumorDensity(embed(u, self.box, self.grid.shape), self.grid)

    def simulate_again(self, sample: int) -> Simulation:
        """Simulate one tumour from its stored parameters; its density is not rounded.

        Parameters
        ----------
        sample : int
            Number of the tumour, from 0.

        Returns
        -------
        Simulation

        Raises
        ------
        IndexError
            If the database holds no such sample.
        """
        from ...solver import simulate  # here: it imports JAX, which a search can spare

        return simulate(
            self.tissue,
            self.growth_parameters(sample),
            model=self.model,
            thresholds=self.thresholds,
            accuracy=self.accuracy,
            treatments=self.parts[0].plan.events,  # those of all parts
        )

    def require_intact(self) -> None:
        """Compare every shard with its checksum; a read does so for the shards that it reads.

        Raises
        ------
        DatabaseError
            If one is damaged; the message names it and the command that makes it again.
        """
        for shard in self.shards:
            shard.require_intact()

    def __getstate__(self) -> dict[str, Any]:
        """What travels to another process, which reads for itself what it needs."""
        return {"path": self.path, "header": self.header, "records": self.records}

    def __len__(self) -> int:
        return self.n_samples

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.n_samples))

    def _checked(self, sample: int) -> int:
        if not 0 <= sample < self.n_samples:
            raise IndexError(
                f"{self.path} holds samples 0 to {self.n_samples - 1}, there is no {sample}"
            )
        return int(sample)

    def _bits(
        self, names: Sequence[str], start: int, stop: int
    ) -> Iterator[list[NDArray[np.uint8]]]:
        """Variables of bits of samples start <= i < stop, shard by shard."""
        for shard, rows in self._rows(start, stop):
            with shard.opened() as file:
                file.set_auto_maskandscale(False)  # these are no numbers
                bits = [np.asarray(file[name][rows]) for name in names]
            yield bits  # decoded while others may read

    def _rows(self, start: int, stop: int) -> Iterator[tuple[StoredShard, slice]]:
        """The shards that hold samples start <= i < stop, and which of their rows."""
        if not 0 <= start < stop <= self.n_samples:
            raise IndexError(
                f"{self.path} holds samples 0 to {self.n_samples - 1}, there is no range "
                f"{start} to {stop}"
            )
        firsts = [record.first for record in self.records]
        for index in range(bisect_right(firsts, start) - 1, bisect_left(firsts, stop)):
            first, last = self.records[index].first, self.records[index].last
            yield self.shards[index], slice(max(start, first) - first, min(stop, last) - first)

    @computed_once
    def shards(self) -> tuple[StoredShard, ...]:
        """The files with its samples, in order, each with the record of what it holds."""
        return tuple(
            StoredShard(
                shard_path(self.path, index), record, variables_of(self.header), self._remedy
            )
            for index, record in enumerate(self.records)
        )

    def _remedy(self) -> str:
        return f"{mending(self.path, self.header)} makes it again"

    @property
    def reach(self) -> NDArray[np.bool_]:
        """Voxels of `box` where outlines may lie: the tissue, and fluid where tumours push it."""
        mask = np.zeros(shape_of(self.box), np.bool_)
        mask[tuple(self.voxels.T)] = True
        return mask

    @computed_once
    def _packing(self) -> Arrangement:
        x, y, z = shape_of(self.box)
        return Arrangement(packed_places(self.voxels, (x, y, z)), x * y * (z // 8))

    @computed_once
    def voxels(self) -> NDArray[np.int16]:
        """The voxels of `box`, (n, 3), that the bits of a stored outline stand for."""
        try:
            return read_voxels(self.path / VOXELS)
        except OSError as error:
            raise DatabaseError(
                f"{self.path / VOXELS} is missing or not readable ({error.strerror}): "
                f"{mending(self.path, self.header)} writes it again"
            ) from None
