"""Generating databases: the same samples however they are made, nothing lost, nothing mixed up."""

import contextlib
import dataclasses
import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from generating import in_this_process

from glioquery.dbgen import (
    Database,
    DatabaseError,
    ParameterSpace,
    Plan,
    Range,
    generate,
    generation,
    verify,
)
from glioquery.dbgen.machine.cluster import connected
from glioquery.dbgen.store.record import shard_path
from glioquery.dbgen.study import samples
from glioquery.dbgen.study.samples import draw_samples
from glioquery.solver import Accuracy, simulate


def same_samples(a, b):
    xr.testing.assert_identical(a.parameters, b.parameters)
    for one, other in zip(a.packed_outlines(0, len(a)), b.packed_outlines(0, len(b)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_samples_depend_on_seed_and_id_alone(ray, database, small_plan, tmp_path):
    other = generate(tmp_path / "db", 11, plan=small_plan, shard_size=3, store="outlines")
    same_samples(database, other)


def test_extending_keeps_the_first_samples(database, small_plan, tmp_path):
    generate(tmp_path / "db", 5, plan=small_plan, shard_size=4)
    extended = generate(tmp_path / "db", 11, plan=small_plan)
    same_samples(database, extended)
    assert extended.checksum == database.checksum


def test_another_seed_gives_other_samples(database, tmp_path):
    other = generate(tmp_path / "db", 2, plan=Plan(database.plan.space, seed=8))
    assert other.growth_parameters(0) != database.growth_parameters(0)


def test_samples_are_what_the_plan_says(database, tissue, small_plan):
    values = database.parameters
    assert ((values.whole_ml >= 5) & (values.whole_ml <= 15)).all()
    assert (values.core_ml >= 0.5).all()
    for name in ("dw", "rho", "days"):
        assert all(map(getattr(small_plan.space, name).holds, values[name].values))
    np.testing.assert_array_equal(values.run, np.arange(11) // 2)
    np.testing.assert_allclose(values.lambda_mm, np.sqrt(values.dw / values.rho))
    sample = draw_samples(tissue, small_plan, run=2)[1]
    assert sample.parameters == database.growth_parameters(5)


def test_stored_parameters_reproduce_the_sample(database, tissue):
    for i in (0, 5, 10):
        run = simulate(tissue, database.growth_parameters(i))
        stored = database.outlines(i)
        fresh = run.density.outlines()
        np.testing.assert_array_equal(stored.core, fresh.core)
        np.testing.assert_array_equal(stored.whole, fresh.whole)
        u, kept = run.density.u, database.density(i).u
        np.testing.assert_allclose(kept[u >= 1e-4], u[u >= 1e-4], rtol=0.01)
        assert np.abs(kept - u)[u < 1e-4].max() < 1e-6


def test_a_database_of_outlines_simulates_its_densities(database, small_plan, tmp_path):
    outlines_only = generate(tmp_path / "db", 3, plan=small_plan, store="outlines")
    assert not outlines_only.stores_density
    u, stored = outlines_only.density(2).u, database.density(2).u
    np.testing.assert_allclose(stored[u >= 1e-4], u[u >= 1e-4], rtol=0.01)


def test_any_netcdf_reader_understands_a_shard(database):
    with xr.open_dataset(database.path / "shards" / "shard-00001.nc") as shard:
        assert shard.sizes["sample"] == 4
        assert shard.dw.attrs["units"] == "mm2 day-1"
        x, y, z = (database.grid.axis_mm(a)[database.box[a]] for a in range(3))
        np.testing.assert_array_equal(shard.x, x)
        np.testing.assert_array_equal(shard.z, z)
        np.testing.assert_array_equal(shard.y, y)
        peak = shard.density[1].argmax(...)
        row = database.growth_parameters(5)
        at = [float(shard[a][int(peak[a])]) for a in "xyz"]
        assert np.linalg.norm(np.array(at) - row.origin_mm) < 20
        assert json.loads(shard.attrs["glioquery_database"])["plan"]["seed"] == 7


def test_progress_counts_samples(ray, small_plan, tmp_path):
    calls = []
    generate(
        tmp_path / "db", 5, plan=small_plan, shard_size=2,
        progress=lambda done, total: calls.append((done, total)),
    )  # fmt: skip
    assert calls[0] == (0, 5) and calls[-1] == (5, 5)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_another_plan_is_refused_by_its_differences(copy):
    with pytest.raises(DatabaseError, match=r"plan\.seed is 7, requested is 9"):
        generate(copy, 11, plan=Plan(Database.open(copy).plan.space, seed=9))
    with pytest.raises(DatabaseError, match=r"store is density, requested is outlines"):
        generate(copy, 11, store="outlines")
    with pytest.raises(DatabaseError, match=r"11 samples, fewer were requested \(4\)"):
        generate(copy, 4)
    assert verify(copy) == []


def test_an_extension_that_ended_at_once_takes_nothing_away(copy, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(generation, "connected", None)  # killed before the first new shard
        with pytest.raises(TypeError):
            generate(copy, 500)
    with pytest.raises(DatabaseError, match=r"incomplete: shard-00002\.nc is missing|incomplete"):
        Database.open(copy)
    assert len(generate(copy, 11)) == 11
    assert verify(copy) == []


def test_numbers_of_any_type_are_numbers(database, copy):
    assert len(generate(copy, 11.0)) == len(generate(copy, np.int64(11))) == 11
    assert json.loads((copy / "database.json").read_text())["n_samples"] == 11
    ranges = Range(*np.array([50, 1500])), Range(np.float32(0.5), 1)
    assert [type(one.low) for one in ranges] == [float, float]
    json.dumps(dataclasses.asdict(Accuracy(np.float32(0.25), np.float64(0.2))))


def test_shards_of_another_plan_are_made_again(database, small_plan, tmp_path):
    """As after a restored backup: each shard is whole, and of another seed."""
    with in_this_process():
        other = generate(tmp_path / "other", 11, plan=replace(small_plan, seed=8), shard_size=4)
    expected = other.parameters.dw.values.copy()
    for path in (database.path / "shards").iterdir():
        shutil.copy(path, other.path / "shards" / path.name)
    assert [fault.split(": ")[1] for fault in verify(other.path)] == [
        "was made from another plan"
    ] * 3
    with in_this_process():
        mended = generate(other.path, 11)
    np.testing.assert_array_equal(mended.parameters.dw.values, expected)
    assert verify(other.path) == []


def test_what_changed_before_the_lock_is_taken_counts(copy, monkeypatch):
    """Another process may extend the database between a call and its turn."""
    only_one = generation._only_one

    @contextlib.contextmanager
    def late(folder):
        monkeypatch.setattr(generation, "_only_one", only_one)
        assert len(generate(folder, 13)) == 13
        with only_one(folder):
            yield

    monkeypatch.setattr(generation, "_only_one", late)
    with pytest.raises(DatabaseError, match=r"13 samples, fewer were requested \(12\)"):
        generate(copy, 12)
    assert len(Database.open(copy)) == 13
    monkeypatch.setattr(generation, "_only_one", late)
    assert len(generate(copy)) == 13  # as many as there are, not as there were


@pytest.mark.parametrize("key", ["scheme", "atlas"])
def test_what_another_solver_or_atlas_began_is_not_continued(copy, key):
    header = json.loads((copy / "database.json").read_text())
    header["plan"][key] = "another" if key == "scheme" else {"name": "SRI24", "sha256": "0"}
    (copy / "database.json").write_text(json.dumps(header))
    with pytest.raises(DatabaseError, match=rf"plan\.{key}"):
        generate(copy, 20)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DatabaseError, match="holds no database"):
        Database.open(tmp_path)
    with pytest.raises(DatabaseError, match=r"not empty .*thesis\.txt"):
        generate(tmp_path, 3)


def test_a_file_where_the_folder_should_be_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    for path in (tmp_path / "thesis.txt", tmp_path / "thesis.txt" / "DB"):
        with pytest.raises(DatabaseError, match=f"cannot make the folder {path}: "):
            generate(path, 3)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("name", ["a\\b", os.fsdecode(b"a\xffb")], ids=["backslash", "latin"])
def test_a_path_that_netcdf_reads_otherwise_is_refused_before_any_work(tmp_path, name):
    for arguments in ({"n_samples": 3}, {}):
        with pytest.raises(DatabaseError, match=r"UTF-8 without a backslash, got .*: rename"):
            generate(tmp_path / name / "db", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_another_schema_version_is_refused(copy):
    header = json.loads((copy / "database.json").read_text())
    (copy / "database.json").write_text(json.dumps(header | {"schema_version": 99}))
    with pytest.raises(DatabaseError, match="schema glioquery-database 99"):
        Database.open(copy)


def test_samples_out_of_range_are_refused(database):
    for sample in (-1, 11):
        with pytest.raises(IndexError, match="samples 0 to 10"):
            database.density(sample)
    with pytest.raises(IndexError, match="samples 0 to 10"):
        database.packed_outlines(5, 12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, "n_samples"),
        ({"n_samples": True}, "expected a number, got True"),
        ({"n_samples": 2.5}, "n_samples is a whole number, got 2.5"),
        ({"n_samples": 3, "shard_size": 1.5}, "shard_size is a whole number"),
        ({"n_samples": 3, "shard_size": 0}, "shard_size"),
        ({"n_samples": 3, "store": "pictures"}, "store is"),
    ],
)
def test_arguments_are_checked(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(tmp_path / "db", **arguments)


def test_a_space_without_tumors_is_said(ray, tmp_path):
    hopeless = Plan(
        ParameterSpace(days=Range(50, 51), rho=Range(0.002, 0.003), dw=Range(0.02, 0.03))
    )
    with pytest.raises(ValueError, match="yields no acceptable tumour"):
        generate(tmp_path / "db", 1, plan=hopeless)


def test_a_call_that_made_nothing_binds_nobody(database, small_plan, tmp_path):
    hopeless = ParameterSpace(days=Range(50, 51), rho=Range(0.002, 0.003), dw=Range(0.02, 0.03))
    with pytest.raises(ValueError, match="yields no acceptable tumour"):
        generate(tmp_path / "db", 500, plan=Plan(hopeless))
    made = generate(tmp_path / "db", 11, plan=small_plan, shard_size=4)
    assert made.checksum == database.checksum


def test_only_the_first_run_may_find_a_space_empty(tissue, small_plan, monkeypatch):
    monkeypatch.setattr(samples, "MAX_ATTEMPTS", 1)
    needed = [draw_samples(tissue, small_plan, run)[0].attempt + 1 for run in range(1, 8)]
    assert max(needed) > 1
    monkeypatch.setattr(samples, "PATIENCE", max(needed) - 1)
    with pytest.raises(ValueError, match=f"no acceptable tumour in {max(needed) - 1} draws"):
        draw_samples(tissue, small_plan, 1 + needed.index(max(needed)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_workers": 0}, "number of workers is 1 or more, got 0"),
        ({"n_workers": 2, "address": "127.0.0.1:1"}, "give one of the two"),
    ],
)
def test_workers_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        connected(**arguments).__enter__()


@pytest.mark.parametrize("options", [{"n_workers": 0}, {"n_workers": 1, "address": "auto"}])
def test_workers_are_checked_before_a_folder_is_made(tmp_path, small_plan, options):
    with pytest.raises(ValueError, match="number of workers"):
        generate(tmp_path / "new", 2, plan=small_plan, **options)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_no_cluster_at_an_address(address):
    with pytest.raises(ConnectionError, match=f"no Ray cluster at {address}"):
        connected(address).__enter__()


def test_a_record_without_its_shard_is_no_finished_shard(small_plan, tmp_path):
    """As a process leaves it that is killed between the two."""
    with in_this_process():
        made = generate(tmp_path / "db", 2, plan=small_plan)
        other = replace(small_plan, seed=8)
        with pytest.raises(DatabaseError, match="seed is 7, requested is 8"):
            generate(tmp_path / "db", 2, plan=other)
        shard_path(made.path, 0).unlink()
        assert generate(tmp_path / "db", 2, plan=other).plan == other
