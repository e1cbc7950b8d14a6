"""An index says what it is, and refuses what it is not."""

import dataclasses
import errno
import fcntl
import functools
import json
import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest

from glioquery.atlas import Grid
from glioquery.dbgen import DatabaseError
from glioquery.dbgen.machine.files import new_owner, reserved_array
from glioquery.dbgen.machine.tasks import UnfitNodeError
from glioquery.query import Index, build_index, search
from glioquery.query.index import build, writing
from glioquery.query.index import index as index_module
from glioquery.query.index.build import _make_piece_there
from glioquery.query.index.manifest import ARRAYS
from glioquery.query.index.outlines import DatabaseOutlines, level_text
from glioquery.solver import Thresholds


def edit_manifest(index, **fields):
    file = index.path / "index.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_opening_gives_back_what_was_built(source, index):
    again = Index.open(index.path, thresholds=Thresholds())
    again.check_source(source)
    again.verify()
    assert (again.n_samples, again.database_checksum) == (90, source.checksum)
    assert (again.grid, again.box) == (source.grid, source.box)
    np.testing.assert_array_equal(again.volumes[0], source.core.sum(axis=(1, 2, 3)))
    np.testing.assert_array_equal(again.volumes[1], source.whole.sum(axis=(1, 2, 3)))
    assert again.counts.sum() == again.volumes.sum()


def test_only_mixed_blocks_keep_their_bits(source, index):
    # Sample 86 is the whole brain: full wherever it is not empty.
    starts = index.mixed_starts[2 * 86 : 2 * 86 + 3]
    assert starts[0] == starts[2]
    n_full = np.diff(index.full_starts)[2 * 86 : 2 * 86 + 2]
    np.testing.assert_array_equal(n_full, np.count_nonzero(index.tissue.any(axis=1)))
    # Sample 85 is nothing.
    assert np.diff(index.mixed_starts)[170:172].sum() == 0
    assert np.diff(index.full_starts)[170:172].sum() == 0


def test_the_size_of_chunks_changes_nothing(source, index, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "SPAN", 7)
    assert build_index(source, tmp_path / "other").files == index.files


def test_one_voxel_in_one_sample(make_source, source, tumor, tmp_path):
    # No mixed block at all: arrays without elements, which cannot be mapped.
    one = np.zeros((1, *source.grid.shape), bool)
    one[0, 9, 9, 9] = True
    single = make_source(one, one, source.grid, source.box, one[0][source.box])
    index = build_index(single, tmp_path / "single")
    assert len(index.mixed_bits) == 0
    assert search(index, tumor(86), k=1)[0].dice_core == 2 / (1 + source.core[86].sum())


def test_progress_runs_to_its_end(source, tmp_path, monkeypatch):
    monkeypatch.setattr(build, "SPAN", 40)
    calls = []
    build_index(source, tmp_path / "index", progress=lambda *call: calls.append(call))
    assert calls == [(0, 90), (40, 90), (80, 90), (90, 90)]


def test_a_build_that_fails_leaves_the_old_index_alone(source, index, monkeypatch):
    monkeypatch.setattr(build, "SPAN", 40)
    core = source.core.copy()
    core[0] = False  # the first part is another one
    broken = dataclasses.replace(source, core=core, checksum="another")

    def packed_outlines(start, stop):
        if start >= 40:
            raise OSError("the disk went away")
        return source.packed_outlines(start, stop)

    broken.packed_outlines = packed_outlines
    with pytest.raises(OSError, match="went away"):
        build_index(broken, index.path)
    assert list(index.path.parent.iterdir()) == [index.path]
    Index.open(index.path).check_source(source)


def test_building_again_replaces_an_index_and_nothing_else(source, index, tmp_path):
    build_index(dataclasses.replace(source, checksum="grown"), index.path)
    assert Index.open(index.path).database_checksum == "grown"
    assert list(tmp_path.iterdir()) == [index.path]
    (tmp_path / "precious").mkdir()
    with pytest.raises(FileExistsError, match="not an index"):
        build_index(source, tmp_path / "precious")


def test_an_index_that_is_replaced_while_it_is_opened_is_the_new_one(source, index, monkeypatch):
    grown = dataclasses.replace(
        source, core=source.core[:80], whole=source.whole[:80], checksum="another"
    )
    mapped = []
    inner = index_module.map_array

    def map_array(name, fields):
        mapped.append(name)
        if len(mapped) == 3:  # other processes do not ask whether somebody is reading
            build_index(grown, index.path)
        return inner(name, fields)

    monkeypatch.setattr(index_module, "map_array", map_array)
    opened = Index.open(index.path)
    opened.check_source(grown)
    opened.verify()
    np.testing.assert_array_equal(opened.outlines(79).whole, source.whole[79])


def test_an_opened_index_outlives_its_replacement(source, index):
    expected = [index.outlines(i).whole for i in range(90)]
    build_index(dataclasses.replace(source, checksum="another"), index.path)
    np.testing.assert_array_equal([index.outlines(i).whole for i in range(90)], expected)


def test_two_builds_at_one_path_follow_each_other(source, tmp_path):
    began, go_on, read = Event(), Event(), []

    def packed_outlines(start, stop, who):
        read.append(who)
        began.set()
        assert go_on.wait(60)
        return source.packed_outlines(start, stop)

    sources = [dataclasses.replace(source) for _ in range(3)]
    for who, one in enumerate(sources):
        one.packed_outlines = functools.partial(packed_outlines, who=who)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(build_index, sources[0], tmp_path / "index")
        assert began.wait(60)
        others = [pool.submit(build_index, one, tmp_path / "index") for one in sources[1:]]
        time.sleep(0.2)
        go_on.set()
        checksums = {future.result().database_checksum for future in [first, *others]}
    assert checksums == {source.checksum}
    assert set(read) == {0}  # the others found it done
    assert list(tmp_path.iterdir()) == [tmp_path / "index"]
    Index.open(tmp_path / "index").verify()


def test_builds_of_different_databases_at_one_path_leave_a_whole_index(source, tmp_path):
    sources = [dataclasses.replace(source, checksum=f"number {i}") for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda one: build_index(one, tmp_path / "index"), sources))
    left = Index.open(tmp_path / "index")
    left.verify()
    assert left.database_checksum in {one.checksum for one in sources}
    assert sorted(path.name for path in left.path.iterdir()) == [left.folder.name, "index.json"]
    assert list(tmp_path.iterdir()) == [left.path]


def test_where_files_have_no_locks_an_index_is_built_nevertheless(source, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    build_index(source, tmp_path / "index")
    again = build_index(dataclasses.replace(source, checksum="another"), tmp_path / "index")
    again.verify()
    assert again.database_checksum == "another"
    assert list(tmp_path.iterdir()) == [tmp_path / "index"]
    # Nobody waits there. What others are about to name stays; what ended ones left goes.
    process = subprocess.Popen(["true"])
    process.wait()
    ended = new_owner().replace(f"-{os.getpid()}-", f"-{process.pid}-")
    others = again.path / f"arrays-{new_owner()}"
    others.mkdir()
    (again.path / f"arrays-{ended}").mkdir()
    (tmp_path / f".index.{ended}.part").mkdir()
    last = build_index(source, tmp_path / "index")
    names = {path.name for path in last.path.iterdir()}
    assert names == {last.folder.name, others.name, "index.json"}
    assert list(tmp_path.iterdir()) == [tmp_path / "index"]


def test_what_killed_builds_left_is_removed(source, index, tmp_path):
    left = tmp_path / ".index.abcdefgh.partial" / "arrays-12345678"
    left.mkdir(parents=True)
    (left / "coarse.npy").write_bytes(bytes(1000))
    another = tmp_path / ".index-0.5-0.2.abcdefgh.partial"  # somebody may be building that
    another.mkdir()
    (index.path / "arrays-12345678").mkdir()  # killed after it was moved
    new = build_index(dataclasses.replace(source, checksum="another"), index.path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [another.name, "index"]
    assert sorted(path.name for path in new.path.iterdir()) == [new.folder.name, "index.json"]


def test_an_index_that_lacks_nothing_needs_no_place_for_a_lock(source, index, monkeypatch):
    inner = Path.open

    def refuse(path, *arguments, **options):
        if path.name.endswith(".lock"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return inner(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert build_index(source, index.path).files == index.files


def test_an_index_of_an_older_version_is_replaced(source, index):
    for file in index.folder.iterdir():
        file.rename(index.path / file.name)
    index.folder.rmdir()
    manifest = json.loads((index.path / "index.json").read_text())
    del manifest["arrays"]
    manifest["schema_version"] = 2
    (index.path / "index.json").write_text(json.dumps(manifest))
    new = build_index(source, index.path)
    new.verify()
    assert sorted(path.name for path in new.path.iterdir()) == [new.folder.name, "index.json"]


def test_an_index_that_cannot_be_written_says_where_and_why(source, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "counts.npy")

    monkeypatch.setattr(writing.Writer, "append", refuse)
    with pytest.raises(OSError, match=r"No space left on device, where the index .*/index"):
        build_index(source, tmp_path / "index")
    assert list(tmp_path.iterdir()) == []


def test_the_space_of_a_mapped_array_is_taken_before_it_is_written(tmp_path):
    array = reserved_array(tmp_path / "array.npy", "<u2", (3, 200_000))
    assert (tmp_path / "array.npy").stat().st_blocks * 512 >= array.nbytes
    array[2, 5:7] = 3
    array.flush()
    again = np.load(tmp_path / "array.npy")
    assert again.shape == (3, 200_000) and again.dtype == np.uint16
    assert again.sum() == 6 and again[2, 6] == 3


@pytest.mark.parametrize("is_supported", [True, False])
def test_a_disk_too_small_for_a_mapped_array_is_an_error(tmp_path, monkeypatch, is_supported):
    if not is_supported:
        monkeypatch.delattr(os, "posix_fallocate")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system takes the rights to do so")
    try:
        with pytest.raises(OSError, match=r"No space left.*array\.npy"):
            reserved_array(disk / "array.npy", "<u2", (3, 400_000))
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_many_threads_search_one_index(source, index, tumor):
    expected = [search(index, tumor(i), k=5) for i in range(90)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda i: search(index, tumor(i), k=5), range(90))) == expected


def test_a_database_that_breaks_its_promises_is_refused(source, tmp_path):
    odd = (*source.box[:2], slice(5, 28))
    with pytest.raises(ValueError, match="multiple of 8"):
        build_index(dataclasses.replace(source, box=odd), tmp_path / "index")
    with pytest.raises(ValueError, match="inside the grid"):
        build_index(
            dataclasses.replace(source, box=(slice(0, 26), *source.box[1:])), tmp_path / "index"
        )
    with pytest.raises(ValueError, match="no sample"):
        build_index(
            dataclasses.replace(source, core=source.core[:0], whole=source.whole[:0]),
            tmp_path / "index",
        )
    vast = Grid((1, 8, 8 * 65_537), np.eye(4))
    box = tuple(slice(0, n) for n in vast.shape)
    with pytest.raises(ValueError, match="65536 blocks of 8 x 8 x 8 voxels at most"):
        build_index(dataclasses.replace(source, grid=vast, box=box), tmp_path / "index")
    unlike = dataclasses.replace(source)
    unlike.packed_outlines = lambda start, stop: (source.core[start:stop],) * 2
    with pytest.raises(ValueError, match="packed outlines are uint8 of shape"):
        build_index(unlike, tmp_path / "index")
    assert not any(tmp_path.iterdir())


def test_samples_that_are_not_there_are_refused(index):
    for start, stop in ((-1, 0), (-2, -1), (90, 91), (80, 91), (5, 4)):
        with pytest.raises(ValueError, match=f"numbered 0 to 89, got {start} to {stop - 1}"):
            index.packed_outlines(start, stop)
    with pytest.raises(ValueError, match="numbered 0 to 89"):
        index.outlines(-1)
    assert len(index.packed_outlines(90, 90)[0]) == 0


def test_an_index_behind_a_link_is_built_where_the_link_leads(source, tmp_path):
    """The link may lead to another file system, to which no folder can be moved in one step."""
    far, near = tmp_path / "far", tmp_path / "near"
    far.mkdir()
    near.mkdir()
    (near / "index").symlink_to(far / "index")
    fewer = dataclasses.replace(
        source, core=source.core[:50], whole=source.whole[:50], checksum="of fewer"
    )
    build_index(fewer, near / "index", n_workers=1)
    index = build_index(source, near / "index", n_workers=1)
    assert index.path == near / "index" and index.n_samples == 90
    assert [path.name for path in near.iterdir()] == ["index"]
    assert (far / "index" / "index.json").is_file() and (near / "index").is_symlink()


def test_thresholds_that_differ_have_indexes_of_different_names():
    texts = {0.6: "0.6", 0.2: "0.2", 1.0: "1", 1e-5: "1e-05", 0.1000004: "0.1000004"}
    assert {level: level_text(level) for level in texts} == texts
    assert level_text(np.float64(1 / 3)) == "0.3333333333333333"


def test_a_worker_names_its_node_where_it_does_not_see_the_database(source, tmp_path):
    class Unreadable(DatabaseOutlines):
        def __init__(self, path):
            object.__setattr__(self, "database", SimpleNamespace(path=path))

        def cut_outlines(self, start, stop):
            raise DatabaseError("shard-00000.nc is damaged")

    node = socket.gethostname()
    with pytest.raises(UnfitNodeError, match=f"node {node} does not see {tmp_path}: name a folder"):
        _make_piece_there(Unreadable(tmp_path), None, 0, 2)
    (tmp_path / "database.json").touch()
    with pytest.raises(DatabaseError, match=rf"^on node {node}: shard-00000\.nc is damaged"):
        _make_piece_there(Unreadable(tmp_path), None, 0, 2)


def test_a_missing_index_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="glioquery index DB"):
        Index.open(tmp_path / "none")


def test_another_schema_version_is_refused(index):
    edit_manifest(index, schema_version=99)
    with pytest.raises(ValueError, match="version 99, this glioquery reads version 3"):
        Index.open(index.path)


def test_other_thresholds_are_refused(index):
    with pytest.raises(ValueError, match=r"expected outlines at .*0\.7 \(core\).*0\.6 \(core\)"):
        Index.open(index.path, thresholds=Thresholds(core=0.7))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checksum": "another"}, "the content was of these tumours"),
        ({"thresholds": Thresholds(core=0.5)}, "the thresholds was u >= 0.6"),
        ({"normalisation": "own-maximum"}, r"the thresholds was .* has u >= 0.6 max u"),
    ],
)
def test_another_database_is_refused(source, index, change, message):
    with pytest.raises(ValueError, match=f"belongs to another database: {message}"):
        index.check_source(dataclasses.replace(source, **change))


def test_a_database_that_grew_is_refused(source, index):
    grown = dataclasses.replace(
        source,
        core=np.concatenate([source.core, source.core]),
        whole=np.concatenate([source.whole, source.whole]),
    )
    with pytest.raises(ValueError, match=r"is of 90 tumours, the database has 180; build it again"):
        index.check_source(grown)


@pytest.mark.parametrize("name", ARRAYS)
def test_damage_is_found(index, name):
    file = index.folder / f"{name}.npy"
    content = file.read_bytes()

    altered = bytearray(content)
    altered[-1] ^= 1
    file.write_bytes(altered)
    opened = Index.open(index.path)  # sizes agree, so only the full check can see it
    with pytest.raises(ValueError, match=rf"{name}\.npy was altered.*`glioquery index DB`"):
        opened.verify()

    file.write_bytes(b"\0" * len(content))
    with pytest.raises(ValueError, match="no longer a NumPy array"):
        Index.open(index.path)

    file.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=f"should have {len(content)} bytes, but has"):
        Index.open(index.path)

    file.unlink()
    with pytest.raises(FileNotFoundError, match=f"{name}.npy is missing"):
        Index.open(index.path)


def test_an_array_of_another_shape_is_refused(index):
    edit_manifest(index, n_samples=91)
    with pytest.raises(ValueError, match=r"should hold <i4 of shape \(2, 91\)"):
        Index.open(index.path)


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"schema_version": 3}'])
def test_a_manifest_that_is_none_is_refused(index, content):
    (index.path / "index.json").write_text(content)
    with pytest.raises(ValueError, match=r"index\.json .*`glioquery index DB"):
        Index.open(index.path)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="reads Linux's /proc")
def test_released_bits_do_not_count_as_memory(index):
    def resident_kb():
        lines = iter(Path("/proc/self/smaps").read_text().splitlines())
        for line in lines:
            if line.endswith(str(index.folder / "mixed_bits.npy")):
                return next(int(x.split()[1]) for x in lines if x.startswith("Rss:"))
        raise AssertionError("the bits are not mapped")

    bits = index.mixed_bits.copy()
    assert resident_kb() > 0
    index.release_bits()
    assert resident_kb() == 0
    np.testing.assert_array_equal(index.mixed_bits, bits)
