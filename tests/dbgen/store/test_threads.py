"""One database, many threads and processes: NetCDF's libraries end Python if two are in them."""

import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from glioquery.dbgen.store.embedded import embedded_database
from glioquery.dbgen.store.netcdf import opened

PACKAGES = Path(__file__).parents[3]

READ_IN_THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from glioquery.dbgen import Database
from glioquery.dbgen.store.embedded import embedded_database

large, dense = embedded_database(), Database.open(sys.argv[1])
whole = large.to_xarray()

def work(i):
    masks = large.outlines(37 * i % 6500)
    bits = whole.core_bits[91 * i % 6500].values
    u = dense.density(i % 11).u
    same = dense.to_xarray().density[i % 11].values
    rho = Database.open(dense.path).parameters.rho[i % 11].item()
    return masks.whole.sum(), bits.sum(), u.sum(), same.sum(), rho

with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(work, range(24)))
np.testing.assert_array_equal(found[::8], [work(i) for i in range(0, 24, 8)])
"""

FORK_AMID_READINGS = """
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event
import xarray as xr
from glioquery.dbgen.store.embedded import embedded_database

database = embedded_database()
own = xr.open_dataset(database.path / "voxels.nc")
done = Event()

def read(reading):
    i = 0
    while not done.is_set():
        reading(i % 6500)
        i += 1
    return i

readings = [database.outlines] * 2 + [lambda i: own.voxel_index[:, i % 3].load()] * 2
with ThreadPoolExecutor(len(readings)) as pool:
    under_way = [pool.submit(read, reading) for reading in readings]
    for i in range(8):
        child = os.fork()
        if not child:
            os._exit(0 if database.outlines(i).whole.any() else 1)
        assert os.waitpid(child, 0)[1] == 0, i
    done.set()
    assert all(future.result() for future in under_way)
"""


def run(script, *arguments):
    """A process of its own: what is tested for ends Python, or never ends."""
    command = [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])


def test_many_threads_read_one_database(database):
    run(READ_IN_THREADS, database.path)


def test_a_child_forked_amid_readings_reads():
    run(FORK_AMID_READINGS)


def test_many_threads_read_a_pickled_variable(database):
    densities = pickle.dumps(database.to_xarray().density)

    def work(i):
        return pickle.loads(densities)[i].values

    with ThreadPoolExecutor(8) as pool:
        for i, found in enumerate(pool.map(work, range(11))):
            np.testing.assert_array_equal(found, database.density(i).u[database.box])


@pytest.mark.parametrize(
    "name", ["parameters", "parts", "thresholds", "checksum", "voxels", "shards"]
)
def test_what_a_database_computes_once_is_one_for_all_threads(name):
    for _ in range(5):
        database, barrier = embedded_database(), Barrier(8)

        def work(_, database=database, barrier=barrier):
            barrier.wait()
            return getattr(database, name)

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(work, range(8)))
        assert all(value is found[0] for value in found)


def test_a_file_that_is_being_written_lets_others_read(
    database, atlas, tissue, small_plan, tmp_path
):
    from glioquery.dbgen.store.shard import write_shard
    from glioquery.dbgen.workers import _draw

    read = []

    def samples():
        for sample in _draw(tissue, small_plan, 0, 2):
            with ThreadPoolExecutor(1) as pool:
                read.append(pool.submit(database.density, 0).result(timeout=60))
            yield sample

    write_shard(
        tmp_path / "shard.nc", samples(), first=0, last=2, tissue=tissue,
        description={"plan": small_plan.describe(atlas)}, store_density=True, snapshots_per_run=2,
    )  # fmt: skip
    assert len(read) == 2
    with opened(tmp_path / "shard.nc") as one:
        rho = np.asarray(one["rho"][:])
    np.testing.assert_array_equal(rho, database.parameters.rho[:2])


def test_netcdf_files_are_opened_in_one_module():
    """Anything else that opens one would not wait for the others."""
    opening = re.compile(r"netCDF4\.Dataset\(|(open|load)_(mf)?dataset\(|\.to_netcdf\(|h5py")
    found = [
        path.relative_to(PACKAGES).as_posix()
        for package in ("atlas", "solver", "dbgen", "query", "pipeline")
        for path in (PACKAGES / package).rglob("*.py")
        if opening.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["dbgen/store/netcdf.py"]
