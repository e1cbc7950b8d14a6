"""An index says what it is, and refuses what it is not."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from glioquery.query import Index, build, build_index, search
from glioquery.query.index import ARRAYS
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
    assert again.coarse.sum() == again.volumes.sum()


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
    unlike = dataclasses.replace(source)
    unlike.packed_outlines = lambda start, stop: (source.core[start:stop],) * 2
    with pytest.raises(ValueError, match="packed outlines are uint8 of shape"):
        build_index(unlike, tmp_path / "index")
    assert not any(tmp_path.iterdir())


def test_a_missing_index_names_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match="glioquery index DB"):
        Index.open(tmp_path / "none")


def test_another_schema_version_is_refused(index):
    edit_manifest(index, schema_version=99)
    with pytest.raises(ValueError, match="version 99, this glioquery reads version 2"):
        Index.open(index.path)


def test_other_thresholds_are_refused(index):
    with pytest.raises(ValueError, match=r"0\.7 \(core\).* were asked for.*0\.6 \(core\)"):
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
    with pytest.raises(ValueError, match=r"number of samples was 90 .* has 180"):
        index.check_source(grown)


@pytest.mark.parametrize("name", ARRAYS)
def test_damage_is_found(index, name):
    file = index.path / f"{name}.npy"
    content = file.read_bytes()

    altered = bytearray(content)
    altered[-1] ^= 1
    file.write_bytes(altered)
    opened = Index.open(index.path)  # sizes agree, so only the full check can see it
    with pytest.raises(ValueError, match=rf"{name}\.npy was altered.*`glioquery index DB`"):
        opened.verify()

    file.write_bytes(b"\0" * len(content))
    with pytest.raises(ValueError, match="not a NumPy array any more"):
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


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"schema_version": 2}'])
def test_a_manifest_that_is_none_is_refused(index, content):
    (index.path / "index.json").write_text(content)
    with pytest.raises(ValueError, match=r"index\.json .*`glioquery index DB"):
        Index.open(index.path)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="reads Linux's /proc")
def test_released_bits_do_not_count_as_memory(index):
    def resident_kb():
        lines = iter(Path("/proc/self/smaps").read_text().splitlines())
        for line in lines:
            if line.endswith(str(index.path / "mixed_bits.npy")):
                return next(int(x.split()[1]) for x in lines if x.startswith("Rss:"))
        raise AssertionError("the bits are not mapped")

    bits = index.mixed_bits.copy()
    assert resident_kb() > 0
    index.release_bits()
    assert resident_kb() == 0
    np.testing.assert_array_equal(index.mixed_bits, bits)
