"""A database that is exported: what is written, and what is refused."""

import json
import shutil

import numpy as np
import pytest
from published import unpack

import glioquery as gq
from glioquery.dbgen.datacard import describe_database
from glioquery.dbgen.machine.files import sha256_of, write_json
from glioquery.dbgen.sharing import export, exporting
from glioquery.errors import ExtraError, InputError

parquet = pytest.importorskip("pyarrow.parquet")


def test_an_export_is_the_database_its_table_and_its_description(database, exported, tmp_path):
    sums = dict(
        line.split("  ")[::-1] for line in (exported / "SHA256SUMS").read_text().split("\n")[:-1]
    )
    assert sums == {p.name: sha256_of(p) for p in exported.iterdir() if p.name != "SHA256SUMS"}
    assert set(sums) == {
        "eight.tar", "parameters.parquet", "croissant.json", "README.md", "LICENSE.txt",
    }  # fmt: skip
    unpack(exported / "eight.tar", tmp_path)
    assert gq.verify(tmp_path / "eight") == []
    assert gq.open_database(tmp_path / "eight").checksum == database.checksum
    assert not list((tmp_path / "eight").glob("index*"))

    table = parquet.read_table(exported / "parameters.parquet").to_pydict()
    for name, values in database.parameters.items():
        np.testing.assert_array_equal(table[name], values)
    is_query = {
        run: {s for s, r in zip(table["split"], table["run"], strict=True) if r == run}
        for run in table["run"]
    }
    assert sorted(map(list, is_query.values())) == [["database"]] * 3 + [["queries"]]


def test_a_database_that_is_extended_meanwhile_is_exported_as_it_was(database, exported, tmp_path):
    shutil.copytree(database.path, tmp_path / "db")
    opened = gq.open_database(tmp_path / "db")
    write_json(tmp_path / "db" / "database.json", database.header | {"n_samples": 12})
    write_json(tmp_path / "db" / "shards" / "shard-00001.json", {"first": 4})
    (tmp_path / "db" / "DATACARD.md").write_text("twelve")
    again = export(opened, tmp_path / "eight", held_out=0.25)
    assert (again / "SHA256SUMS").read_bytes() == (exported / "SHA256SUMS").read_bytes()


def test_a_database_whose_shards_change_meanwhile_is_not_exported(database, tmp_path, monkeypatch):
    shutil.copytree(database.path, tmp_path / "db")
    opened = gq.open_database(tmp_path / "db")

    def describe_and_extend(one):
        facts = describe_database(one)
        path = opened.shards[1].path
        path.write_bytes(b"more tumours")
        record = vars(opened.records[1]) | {"bytes": 12, "sha256": sha256_of(path)}
        write_json(path.with_suffix(".json"), record)
        return facts

    monkeypatch.setattr(exporting, "describe_database", describe_and_extend)
    with pytest.raises(InputError, match=r"shard-00001\.nc was extended or made again"):
        export(opened, tmp_path / "eight")
    assert [path.name for path in tmp_path.iterdir()] == ["db"]


def test_the_same_database_is_exported_to_the_same_bytes(database, exported, tmp_path):
    again = export(database, tmp_path / "eight", held_out=0.25)
    assert (again / "SHA256SUMS").read_bytes() == (exported / "SHA256SUMS").read_bytes()


def test_the_description_names_every_column_and_file(exported):
    said = json.loads((exported / "croissant.json").read_text())
    columns = parquet.read_schema(exported / "parameters.parquet").names
    (splits, tumours) = said["recordSet"]
    assert [f["source"]["extract"]["column"] for f in tumours["field"]] == columns
    assert [row["splits/name"] for row in splits["data"]] == ["database", "queries"]
    files = {
        f["@id"]: f.get("sha256") for f in said["distribution"] if f["@type"] == "cr:FileObject"
    }
    assert files == {name: sha256_of(exported / name) for name in files}
    assert said["license"] == "https://creativecommons.org/licenses/by-sa/3.0/"
    ids = {f["@id"] for f in said["distribution"]} | {r["@id"] for r in said["recordSet"]}
    ids |= {f["@id"] for r in said["recordSet"] for f in r["field"]}

    def references(value, key=None):
        if isinstance(value, dict):
            if set(value) == {"@id"}:
                yield value["@id"]
            for name, inner in value.items():
                if name != "@context":
                    yield from references(inner, name)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner, key)

    assert set(references(said)) <= ids


def test_what_cannot_be_exported_is_refused(database, exported, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="is there already"):
        export(database, exported)
    with pytest.raises(InputError, match=r"lies in \[0, 1\), got 1"):
        export(database, tmp_path / "new", held_out=1)
    with pytest.raises(InputError, match="the folder's name becomes the database's"):
        export(database, tmp_path / "a name")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ExtraError, match=r"pip install 'glioquery\[sharing\]'"):
        export(database, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(InputError, match="link is there already"):
        export(database, tmp_path / "link")
