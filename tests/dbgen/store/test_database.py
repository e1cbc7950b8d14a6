"""Reading a database: iteration, selection by parameter, the whole as one lazy dataset."""

import pickle

import numpy as np
import pytest
import xarray as xr
from generating import in_this_process
from odd_names import ODD

from glioquery.dbgen import Database, generate, verify
from glioquery.query import Index, build_index


@pytest.fixture(scope="module")
def outlines_only(small_plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("outlines") / "db"
    with in_this_process():
        return generate(folder, 3, plan=small_plan, store="outlines")


def test_iteration_yields_sample_ids(database):
    assert list(database) == list(range(11)) == database.parameters.sample.values.tolist()
    assert len(database) == 11 and 10 in database and 11 not in database


def test_bounds_of_a_selection_are_inclusive(database):
    rho = database.parameters.rho.values
    low, high = np.sort(rho)[[2, 7]]
    chosen = database.select(rho=slice(low, high))
    assert chosen.dtype == np.int64
    np.testing.assert_array_equal(chosen, [i for i in database if low <= rho[i] <= high])
    assert low in rho[chosen] and high in rho[chosen] and len(chosen) < 11
    above = database.select(rho=slice(np.nextafter(low, 1), None))
    assert set(chosen) - set(above) == {i for i in database if rho[i] == low}


def test_bounds_of_a_selection_add_up(database):
    values = database.parameters
    chosen = database.select(run=2)
    np.testing.assert_array_equal(chosen, [4, 5])
    both = database.select(run=slice(1, 3), whole_ml=slice(None, 10.0))
    expected = (values.run >= 1) & (values.run <= 3) & (values.whole_ml <= 10)
    np.testing.assert_array_equal(both, np.flatnonzero(expected))
    assert 0 < len(both) < 6
    np.testing.assert_array_equal(database.select(), np.arange(11))
    assert database.select(dw=slice(1e6, None)).shape == (0,)


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (
            {"speed": slice(0, 1)},
            r"unknown variable 'speed': select by one of origin_x_mm, .*lambda_mm",
        ),
        ({"rho": slice(2, 1)}, r"rho is selected by .*low <= high"),
        ({"rho": slice(0, 1, 2)}, r"rho is selected by"),
        ({"rho": "fast"}, r"rho is selected by"),
        ({"rho": [0.1, 0.2]}, r"rho is selected by"),
        ({"rho": float("nan")}, r"rho is selected by"),
    ],
)
def test_a_bad_selection_is_named(database, bounds, message):
    with pytest.raises(ValueError, match=message):
        database.select(**bounds)


def test_the_whole_database_is_its_shards_joined(database):
    whole = database.to_xarray()
    for record, index in zip(database.records, range(3), strict=True):
        with xr.open_dataset(database.path / "shards" / f"shard-{index:05d}.nc") as shard:
            part = whole.isel(sample=slice(record.first, record.last))
            xr.testing.assert_identical(part.load().drop_vars("voxel_index"), shard.load())


def test_selections_of_the_whole_read_what_they_say(database):
    density = database.to_xarray().density
    full = np.stack([database.density(i).u[database.box] for i in database])
    np.testing.assert_array_equal(density.isel(sample=6), full[6])
    np.testing.assert_array_equal(density.isel(sample=[9, 0, 4, 3]), full[[9, 0, 4, 3]])
    np.testing.assert_array_equal(density.isel(sample=-1, y=10), full[-1, :, 10])
    some = density.isel(sample=slice(None, None, 3), x=[40, 3], y=slice(5, 60, 2), z=7)
    np.testing.assert_array_equal(some, full[::3, :, 5:60:2, 7][:, [40, 3]])
    assert density.isel(sample=[], z=1).values.shape == (0, *full.shape[1:3])
    ids = database.select(run=slice(2, 4))
    np.testing.assert_array_equal(density.sel(sample=ids), full[ids])
    pairs = density.isel(sample=xr.DataArray([5, 8], dims="p"), x=xr.DataArray([30, 31], dims="p"))
    np.testing.assert_array_equal(pairs, full[[5, 8], [30, 31]])


def test_the_whole_database_opens_without_reading_its_densities(database, monkeypatch):
    from glioquery.dbgen.store import lazy

    read = []
    inner = lazy._StackedShards._read
    monkeypatch.setattr(
        lazy._StackedShards, "_read", lambda self, key: read.append(self.name) or inner(self, key)
    )
    whole = database.to_xarray()
    near = whole.sel(sample=[2, 5]).sel(x=slice(-150, -100))
    repr(whole), whole.sizes, near.density.shape
    assert read == []
    assert near.density.max() > 0 and read == ["density"]


def test_the_whole_database_travels_to_another_process(database):
    density = pickle.loads(pickle.dumps(database.to_xarray())).density
    np.testing.assert_array_equal(density.isel(sample=3), database.density(3).u[database.box])


def test_a_database_of_outlines_opens_whole(outlines_only):
    whole = outlines_only.to_xarray()
    assert "density" not in whole
    mask = np.zeros(outlines_only.grid.shape, dtype=bool)
    bits = np.unpackbits(whole.core_bits[2].values, count=whole.sizes["voxel"])
    mask[outlines_only.box][tuple(whole.voxel_index.values.T)] = bits
    np.testing.assert_array_equal(mask, outlines_only.outlines(2).core)


def test_the_name_of_a_folder_is_no_syntax(copy, tmp_path):
    (tmp_path / ODD).mkdir()
    moved = Database.open(copy.rename(tmp_path / ODD / "db"))
    assert moved.outlines(7).whole.any()
    assert moved.density(7).u.max() > 0.6
    with moved.to_xarray() as lazy:
        assert float(lazy.density[7].max()) > 0.6
    index = build_index(moved, moved.path / "index")
    assert Index.open(index.path).outlines(7).whole.sum() == moved.outlines(7).whole.sum()
    assert verify(moved.path) == []
