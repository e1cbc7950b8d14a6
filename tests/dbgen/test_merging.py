"""Merging: one database that holds what its parts hold, and says where it is from."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from generating import in_this_process

from glioquery.dbgen import (
    Database,
    DatabaseError,
    ParameterSpace,
    Plan,
    Range,
    generate,
    merge,
    verify,
)
from glioquery.dbgen.datacard import card_text, describe_database
from glioquery.query import build_index, outlines_of, search


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Three tumours of another space, sampler and seed, in two shards of another size."""
    space = ParameterSpace(
        sampler="identifiable", whole_ml=Range(4, 12), lambda_mm=Range(1, 3), snapshots_per_run=3
    )
    folder = tmp_path_factory.mktemp("other") / "db"
    with in_this_process():
        return generate(folder, 3, plan=Plan(space, seed=9), shard_size=2)


@pytest.fixture(scope="module")
def merged(database, other, tmp_path_factory):
    return merge(tmp_path_factory.mktemp("merged") / "db", [database.path, other.path])


@pytest.fixture
def copy(other, tmp_path):
    shutil.copytree(other.path, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_merged_database_holds_its_parts_one_after_the_other(merged, database, other):
    assert len(merged) == 14 and merged.parameters.sample.values.tolist() == list(range(14))
    np.testing.assert_array_equal(merged.parameters.run, [*database.parameters.run, 6, 6, 6])
    for name in merged.parameters:
        if name != "run":
            expected = [*database.parameters[name].values, *other.parameters[name].values]
            np.testing.assert_array_equal(merged.parameters[name], expected)
    both = zip(database.packed_outlines(0, 11), other.packed_outlines(0, 3), strict=True)
    for together, (one, two) in zip(merged.packed_outlines(0, 14), both, strict=True):
        np.testing.assert_array_equal(together, [*one, *two])
    for i, source in ((4, database), (10, database), (11, other), (13, other)):
        expected = source.density(i % 11).u
        np.testing.assert_array_equal(merged.density(i).u, expected)
        box = merged.to_xarray().density[i].values
        np.testing.assert_array_equal(box, expected[merged.box])
    for start, stop in ((0, 14), (3, 12), (8, 9), (11, 14), (12, 13)):
        rows = merged.packed_outlines(start, stop)
        full = merged.packed_outlines(0, 14)
        np.testing.assert_array_equal(rows, [bits[start:stop] for bits in full])


def test_what_the_parts_share_is_the_wholes(merged, database):
    assert merged.model == database.model and merged.accuracy == database.accuracy
    assert merged.thresholds == database.thresholds


def test_a_query_finds_what_it_finds_in_the_parts(merged, database, other, tmp_path):
    indices = [
        build_index(outlines_of(source), tmp_path / str(len(source)))
        for source in (database, other, merged)
    ]
    for asked in (database.outlines(3), other.outlines(1), database.outlines(8)):
        one, two, together = (
            [(-match.score, match.sample) for match in search(index, asked, k=index.n_samples)]
            for index in indices
        )
        assert together == sorted(one + [(score, i + 11) for score, i in two])


def test_a_merged_database_is_sound_and_says_where_it_is_from(merged, database, other):
    assert verify(merged.path) == []
    first, second = merged.parts
    assert (first.first, first.last, first.plan) == (0, 11, database.plan)
    assert (second.first, second.last, second.plan) == (11, 14, other.plan)
    recorded = merged.header["parts"]
    assert [part["checksum"] for part in recorded] == [database.checksum, other.checksum]
    assert not {"space", "sampler", "seed"} & set(merged.header["plan"])
    with pytest.raises(DatabaseError, match="merged from 2 databases"):
        _ = merged.plan
    facts = describe_database(merged)
    assert [part.sampler for part in facts.parts] == ["trajectory", "identifiable"]
    assert facts.n_runs == 7 and sum(facts.volume_counts) == 14
    seconds = sum(describe_database(part).core_seconds for part in (database, other))
    assert facts.core_seconds == pytest.approx(seconds)
    card = (merged.path / "DATACARD.md").read_text()
    assert card == card_text(facts)
    for said in ("tumours 0 to 10 | `trajectory`, seed 7", "11 to 13 | `identifiable`, seed 9"):
        assert said in card


def test_a_part_outside_its_own_space_is_seen(merged, tmp_path):
    shutil.copytree(merged.path, tmp_path / "db")
    header = json.loads((tmp_path / "db" / "database.json").read_text())
    header["parts"][1]["space"]["lambda_mm"] = {"low": 1, "high": 3, "scale": "uniform"}
    header["parts"][1]["space"]["whole_ml"] = {"low": 0.1, "high": 0.2, "scale": "uniform"}
    header["parts"][1]["space"]["core_min_ml"] = 0
    (tmp_path / "db" / "database.json").write_text(json.dumps(header))
    faults = verify(tmp_path / "db")
    assert [fault[:14] for fault in faults] == ["shard-00003.nc", "shard-00004.nc"]
    assert all("whole_ml leaves its range 0.1 to 0.2" in fault for fault in faults)


def test_merging_step_by_step_is_merging_at_once(merged, database, other, tmp_path):
    third = generate(tmp_path / "third", 1, plan=Plan(ParameterSpace(whole_ml=Range(5, 9)), seed=2))
    at_once = merge(tmp_path / "all", [database.path, other.path, third.path])
    by_steps = merge(tmp_path / "steps", [merged.path, third.path])
    assert at_once.header == by_steps.header
    assert at_once.checksum == by_steps.checksum
    assert len(at_once.parts) == 3


def test_a_merged_database_is_not_generated_further(merged):
    for arguments in ({}, {"n_samples": 20}, {"plan": Plan()}):
        with pytest.raises(DatabaseError, match="was merged from 2 databases and is not generated"):
            generate(merged.path, **arguments)


def test_a_missing_shard_of_a_merged_database_is_named(merged, tmp_path):
    shutil.copytree(merged.path, tmp_path / "db")
    (tmp_path / "db" / "shards" / "shard-00003.nc").unlink()
    with pytest.raises(DatabaseError, match=r"shard-00003\.nc is missing.* merging its parts"):
        Database.open(tmp_path / "db")


def change_model(header):
    header["plan"]["model"]["settings"]["face_mean"] = "arithmetic"


def change_thresholds(header):
    header["plan"]["thresholds"]["core"] = 0.7


def change_scheme(header):
    header["plan"]["scheme"] = "another"


def change_store(header):
    header["store"] = "outlines"


def change_box(header):
    header["box"][0][0] += 1


@pytest.mark.parametrize(
    "change", [change_model, change_thresholds, change_scheme, change_store, change_box]
)
def test_databases_of_another_kind_are_refused(database, copy, tmp_path, change):
    header = json.loads((copy / "database.json").read_text())
    change(header)
    (copy / "database.json").write_text(json.dumps(header))
    key = change.__name__.removeprefix("change_")
    with pytest.raises(DatabaseError, match=f"cannot be merged: {key} is .* in the other"):
        merge(tmp_path / "out", [database.path, copy])
    assert not (tmp_path / "out").exists()


def test_tumours_are_not_held_twice(database, merged, other, tmp_path):
    for sources in ([database.path] * 2, [merged.path, other.path]):
        with pytest.raises(DatabaseError, match="very parameters of tumours of the first"):
            merge(tmp_path / "out", sources)
    with pytest.raises(DatabaseError, match="two databases or more to merge, got 1"):
        merge(tmp_path / "out", [database.path])


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """Makes databases of two points of a sweep, whose values of rho are given."""
    folder = tmp_path_factory.mktemp("sweeps")

    def sweep(*rho):
        values = {"sampler": "grid", "origin_mm": [[-150, 100, 60]], "dw": 0.1, "days": 60}
        space = ParameterSpace.from_dict(values | {"rho": list(rho)})
        with in_this_process():
            return generate(folder / "-".join(map(str, rho)), plan=Plan(space), store="outlines")

    return sweep


def test_a_tumour_of_two_sweeps_is_not_held_twice(sweeps, tmp_path):
    one, other, third = sweeps(0.1, 0.12), sweeps(0.12, 0.1), sweeps(0.12, 0.13)
    for second, n in ((other, 2), (third, 1)):
        with pytest.raises(DatabaseError) as told:
            merge(tmp_path / "out", [one.path, second.path])
        said = f"{one.path} and {second.path} cannot be merged: {n} of the 2 tumours of the second"
        assert str(told.value).startswith(said) and "\n" not in str(told.value)
    assert len(merge(tmp_path / "out", [one.path, sweeps(0.14, 0.15).path])) == 4


def test_another_limit_of_the_core_makes_no_other_tumours(database, tmp_path):
    space = replace(database.plan.space, core_min_ml=database.core_min_ml * 0.9)
    with in_this_process():
        same = generate(tmp_path / "same", 2, plan=replace(database.plan, space=space))
    with pytest.raises(DatabaseError, match="2 of the 2 tumours of the second"):
        merge(tmp_path / "out", [database.path, same.path])


@pytest.mark.parametrize("is_there", [True, False], ids=["to a folder", "to nothing"])
def test_a_link_is_followed(database, other, tmp_path, is_there):
    if is_there:
        (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    merged = merge(tmp_path / "link", [database.path, other.path])
    assert merged.path == (tmp_path / "real").resolve() and (tmp_path / "link").is_symlink()
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link"}
    assert len(Database.open(tmp_path / "link")) == 14


def test_a_path_that_netcdf_reads_otherwise_is_refused(database, other, tmp_path):
    with pytest.raises(DatabaseError, match=r"UTF-8 without a backslash, got .*: rename"):
        merge(tmp_path / "a\\b", [database.path, other.path])
    shutil.copytree(other.path, tmp_path / "c\\d")
    with pytest.raises(DatabaseError, match=r"UTF-8 without a backslash, got .*: rename"):
        merge(tmp_path / "out", [database.path, tmp_path / "c\\d"])
    assert [path.name for path in tmp_path.iterdir()] == ["c\\d"]


def test_a_damaged_part_leaves_nothing_behind(database, copy, tmp_path):
    shard = copy / "shards" / "shard-00001.nc"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DatabaseError, match=r"shard-00001\.nc is damaged, its SHA-256"):
        merge(tmp_path / "out", [database.path, copy])
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_what_stands_at_the_path_is_left_alone(database, other, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("precious")
    with pytest.raises(DatabaseError, match="not empty"):
        merge(tmp_path / "out", [database.path, other.path])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]
